//! Which GPU there is, and which one computes.

use crate::failure::guarded;
use burn::tensor::wgpu::wgpu;
use burn::tensor::{Device, DeviceKind, DeviceType, read_sync};
use std::fmt;
use std::sync::{Mutex, PoisonError};

/// Something that can compute, as its driver describes it.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// The part's name.
    pub name: String,
    /// What it is reached by: `Vulkan`, `Metal`, `Dx12`.
    pub api: String,
    /// The driver and its version.
    pub driver: String,
    /// Whether it is a program on the CPU (llvmpipe, SwiftShader, WARP) rather than a GPU.
    pub software: bool,
    /// Bytes of the largest buffer.
    pub max_buffer: u64,
    /// Bytes of a buffer that a kernel can see.
    pub max_binding: u64,
    /// Bytes that the threads of a group share.
    pub shared_memory: u32,
    /// Threads of the largest group.
    pub group: u32,
    /// How Burn calls it; `None` if it cannot.
    kind: Option<DeviceKind>,
}

/// A GPU that is ready.
#[derive(Clone, Debug)]
pub struct Gpu {
    pub(crate) device: Device,
    pub(crate) name: String,
    /// Bytes of a tensor that kernels can see.
    pub(crate) max_binding: u64,
}

impl fmt::Display for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Why there is no GPU to compute on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoGpu {
    /// No driver shows one.
    None,
    /// There are only programs that play one; they have to be asked for.
    Software(String),
    /// There is one, and it cannot be used.
    Unusable(String),
}

impl fmt::Display for NoGpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoGpu::None => f.write_str("no GPU was found: `lenet doctor` lists what the drivers show"),
            NoGpu::Software(name) => {
                write!(
                    f,
                    "no GPU was found, only {name}, a program on the CPU: --allow-software takes it, slow as it is"
                )
            }
            NoGpu::Unusable(why) => write!(f, "the GPU cannot be used: {why}"),
        }
    }
}

impl std::error::Error for NoGpu {}

/// Names that programs go by that play a GPU, whatever kind they claim to be.
const SOFTWARE: [&str; 5] = ["llvmpipe", "lavapipe", "swiftshader", "microsoft basic render", "warp"];

/// What the drivers of this machine show.
pub fn adapters() -> Vec<Adapter> {
    guarded(list).unwrap_or_default()
}

fn list() -> Vec<Adapter> {
    let backends = wgpu::Backends::VULKAN | wgpu::Backends::METAL | wgpu::Backends::DX12;
    let descriptor = wgpu::InstanceDescriptor { backends, ..wgpu::InstanceDescriptor::new_without_display_handle() };
    let instance = wgpu::Instance::new(descriptor);
    // Each kind counts from 0, on each way to it.
    let mut seen: Vec<(wgpu::Backend, wgpu::DeviceType)> = Vec::new();
    let describe = |adapter: wgpu::Adapter| {
        let (info, limits) = (adapter.get_info(), adapter.limits());
        let number = seen.iter().filter(|s| **s == (info.backend, info.device_type)).count();
        seen.push((info.backend, info.device_type));
        let lower = info.name.to_lowercase();
        Adapter {
            software: info.device_type == wgpu::DeviceType::Cpu || SOFTWARE.iter().any(|name| lower.contains(name)),
            api: format!("{:?}", info.backend),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_string(),
            max_buffer: limits.max_buffer_size,
            max_binding: limits.max_storage_buffer_binding_size,
            shared_memory: limits.max_compute_workgroup_storage_size,
            group: limits.max_compute_invocations_per_workgroup,
            kind: match info.device_type {
                wgpu::DeviceType::DiscreteGpu => Some(DeviceKind::DiscreteGpu(number)),
                wgpu::DeviceType::IntegratedGpu => Some(DeviceKind::IntegratedGpu(number)),
                wgpu::DeviceType::VirtualGpu => Some(DeviceKind::VirtualGpu(number)),
                wgpu::DeviceType::Cpu => Some(DeviceKind::Cpu),
                wgpu::DeviceType::Other => None,
            },
            name: info.name,
        }
    };
    read_sync(instance.enumerate_adapters(backends)).into_iter().map(describe).collect()
}

/// How good a choice an adapter is, the lowest first; none for what is not to be chosen.
fn rank(adapter: &Adapter, allow_software: bool) -> Option<u8> {
    match adapter.kind {
        _ if adapter.software => allow_software.then_some(3),
        Some(DeviceKind::DiscreteGpu(_)) => Some(0),
        Some(DeviceKind::IntegratedGpu(_)) => Some(1),
        Some(_) => Some(2),
        None => None,
    }
}

/// What is open already: Burn opens each kind of device once a process.
static OPEN: Mutex<Vec<(DeviceKind, Gpu)>> = Mutex::new(Vec::new());

/// Opens the best GPU: a card of its own before one that shares the CPU's memory. A program that plays one is taken only
/// where it is allowed and there is nothing better.
///
/// # Errors
/// There is none, or it cannot be used.
pub fn open(allow_software: bool) -> Result<Gpu, NoGpu> {
    if let Some(gpu) = beyond_wgpu() {
        return Ok(gpu);
    }
    let all = adapters();
    let ranked = all.iter().filter_map(|a| Some((rank(a, allow_software)?, a)));
    match ranked.min_by_key(|(rank, _)| *rank) {
        Some((_, adapter)) => open_adapter(adapter),
        None => Err(all.iter().find(|a| a.software).map_or(NoGpu::None, |a| NoGpu::Software(a.name.clone()))),
    }
}

fn open_adapter(adapter: &Adapter) -> Result<Gpu, NoGpu> {
    let Some(kind) = adapter.kind.clone() else { return Err(NoGpu::None) };
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, gpu)) = open.iter().find(|(k, _)| *k == kind) {
        return Ok(gpu.clone());
    }
    let unusable = |why: String| NoGpu::Unusable(format!("{} ({}): {why}", adapter.name, adapter.api));
    let device = guarded(|| Device::wgpu_options().device_kind(kind.clone()).init())
        .map_err(unusable)?
        .map_err(|e| unusable(e.to_string()))?;
    let software = if adapter.software { ", a program on the CPU" } else { "" };
    let name = format!("GPU, {}, {}{software}", adapter.name, adapter.api);
    let gpu = Gpu { device, name, max_binding: adapter.max_binding };
    open.push((kind, gpu.clone()));
    Ok(gpu)
}

/// A device of CUDA or ROCm, where the build has them and the machine does.
fn beyond_wgpu() -> Option<Gpu> {
    let kinds: &[(DeviceType, &str)] = &[
        #[cfg(feature = "cuda")]
        (DeviceType::Cuda, "CUDA"),
        #[cfg(feature = "rocm")]
        (DeviceType::Rocm, "ROCm"),
    ];
    kinds.iter().find_map(|(kind, api)| {
        // Without a driver, Burn's lookup panics.
        let (device, name) = guarded(|| {
            let device = Device::enumerate(kind.clone()).into_vec().into_iter().next()?;
            let name = device.identity().map_or("a device without a name".into(), |i| i.name);
            Some((device, name))
        })
        .ok()??;
        // Positions are 32-bit integers.
        Some(Gpu { device, name: format!("GPU, {name}, {api}"), max_binding: 1 << 31 })
    })
}
