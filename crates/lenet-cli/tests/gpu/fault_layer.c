/* A Vulkan layer that plays a card in trouble, between the loader and a real driver:
 *   FAULT_LOST_AFTER=N     after N submissions the device is lost
 *   FAULT_MEMORY=BYTES     the device has no more memory than this
 * Interface: https://vulkan.lunarg.com/doc/view/latest/linux/LoaderLayerInterface.html; one instance and device a process.
 * cc -shared -fPIC -o libfault.so fault_layer.c */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vk_layer.h>

static PFN_vkGetInstanceProcAddr next_instance;
static PFN_vkGetDeviceProcAddr next_device;
static VkInstance instance;
static VkDevice device;
static atomic_ulong submissions, allocated;

static unsigned long limit(const char *name) {
    const char *value = getenv(name);
    return value ? strtoul(value, NULL, 10) : ~0ul;
}

static int is_lost(void) { return atomic_load(&submissions) > limit("FAULT_LOST_AFTER"); }

#define NEXT(function) ((PFN_##function)next_device(device, #function))

static VKAPI_ATTR VkResult VKAPI_CALL submit(VkQueue queue, uint32_t n, const VkSubmitInfo *infos, VkFence fence) {
    atomic_fetch_add(&submissions, 1);
    return is_lost() ? VK_ERROR_DEVICE_LOST : NEXT(vkQueueSubmit)(queue, n, infos, fence);
}

static VKAPI_ATTR VkResult VKAPI_CALL submit2(VkQueue queue, uint32_t n, const VkSubmitInfo2 *infos, VkFence fence) {
    atomic_fetch_add(&submissions, 1);
    return is_lost() ? VK_ERROR_DEVICE_LOST : NEXT(vkQueueSubmit2)(queue, n, infos, fence);
}

static VKAPI_ATTR VkResult VKAPI_CALL wait_idle(VkDevice d) {
    return is_lost() ? VK_ERROR_DEVICE_LOST : NEXT(vkDeviceWaitIdle)(d);
}

static VKAPI_ATTR VkResult VKAPI_CALL wait_fences(VkDevice d, uint32_t n, const VkFence *fences, VkBool32 all, uint64_t t) {
    return is_lost() ? VK_ERROR_DEVICE_LOST : NEXT(vkWaitForFences)(d, n, fences, all, t);
}

static VKAPI_ATTR VkResult VKAPI_CALL wait_semaphores(VkDevice d, const VkSemaphoreWaitInfo *info, uint64_t t) {
    return is_lost() ? VK_ERROR_DEVICE_LOST : NEXT(vkWaitSemaphores)(d, info, t);
}

static VKAPI_ATTR VkResult VKAPI_CALL counter(VkDevice d, VkSemaphore semaphore, uint64_t *value) {
    return is_lost() ? VK_ERROR_DEVICE_LOST : NEXT(vkGetSemaphoreCounterValue)(d, semaphore, value);
}

static VKAPI_ATTR VkResult VKAPI_CALL allocate(VkDevice d, const VkMemoryAllocateInfo *info, const VkAllocationCallbacks *a,
                                               VkDeviceMemory *memory) {
    unsigned long before = atomic_fetch_add(&allocated, info->allocationSize);
    if (before + info->allocationSize > limit("FAULT_MEMORY")) {
        atomic_fetch_sub(&allocated, info->allocationSize);
        return VK_ERROR_OUT_OF_DEVICE_MEMORY;
    }
    return NEXT(vkAllocateMemory)(d, info, a, memory);
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *a,
                                                      VkInstance *created) {
    VkLayerInstanceCreateInfo *link = (VkLayerInstanceCreateInfo *)info->pNext;
    while (link->sType != VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO || link->function != VK_LAYER_LINK_INFO)
        link = (VkLayerInstanceCreateInfo *)link->pNext;
    next_instance = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkResult result = ((PFN_vkCreateInstance)next_instance(NULL, "vkCreateInstance"))(info, a, created);
    instance = *created;
    return result;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice physical, const VkDeviceCreateInfo *info,
                                                    const VkAllocationCallbacks *a, VkDevice *created) {
    VkLayerDeviceCreateInfo *link = (VkLayerDeviceCreateInfo *)info->pNext;
    while (link->sType != VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO || link->function != VK_LAYER_LINK_INFO)
        link = (VkLayerDeviceCreateInfo *)link->pNext;
    next_device = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    PFN_vkGetInstanceProcAddr next = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkResult result = ((PFN_vkCreateDevice)next(instance, "vkCreateDevice"))(physical, info, a, created);
    device = *created;
    return result;
}

static PFN_vkVoidFunction own(const char *name) {
    static const struct { const char *name; void *function; } all[] = {
        {"vkAllocateMemory", allocate},         {"vkDeviceWaitIdle", wait_idle},
        {"vkGetSemaphoreCounterValue", counter}, {"vkGetSemaphoreCounterValueKHR", counter},
        {"vkQueueSubmit", submit},              {"vkQueueSubmit2", submit2},
        {"vkQueueSubmit2KHR", submit2},         {"vkWaitForFences", wait_fences},
        {"vkWaitSemaphores", wait_semaphores},  {"vkWaitSemaphoresKHR", wait_semaphores},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcmp(all[i].name, name) == 0) return (PFN_vkVoidFunction)all[i].function;
    return NULL;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL device_function(VkDevice d, const char *name) {
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)device_function;
    PFN_vkVoidFunction next = next_device(d, name), here = own(name);
    return next && here ? here : next;
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instance_function(VkInstance i, const char *name) {
    if (strcmp(name, "vkGetInstanceProcAddr") == 0) return (PFN_vkVoidFunction)instance_function;
    if (strcmp(name, "vkGetDeviceProcAddr") == 0) return (PFN_vkVoidFunction)device_function;
    if (strcmp(name, "vkCreateInstance") == 0) return (PFN_vkVoidFunction)create_instance;
    if (strcmp(name, "vkCreateDevice") == 0) return (PFN_vkVoidFunction)create_device;
    return own(name) ? own(name) : next_instance(i, name);
}

VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *version) {
    version->loaderLayerInterfaceVersion = 2;
    version->pfnGetInstanceProcAddr = instance_function;
    version->pfnGetDeviceProcAddr = device_function;
    version->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
