//! The GPU of this machine, for builds that know any.

use crate::args::{Device, DeviceArgs};
use crate::failure::Failure;
use lenet::data::Dataset;
use lenet::engine::Engine;
use lenet::spec::Network;
use serde_json::Value;

/// Whether this build can do what was asked for, before anything else is done.
pub fn check(args: &DeviceArgs) -> Result<(), Failure> {
    match args.device {
        Device::Gpu if cfg!(not(feature = "gpu")) => {
            let what = "this build computes on the CPU alone: leave --device out, or build with `--features gpu`";
            Err(Failure::Usage(format!("--device gpu: {what}")))
        }
        _ => Ok(()),
    }
}

/// Builds without GPUs always take the CPU.
#[cfg(not(feature = "gpu"))]
pub fn engine<'a>(_: &DeviceArgs, _: &Network, _: [&'a Dataset; 2]) -> Result<Option<Box<dyn Engine + 'a>>, Failure> {
    Ok(None)
}

/// What `lenet doctor` says of GPUs: lines, and the same as JSON.
#[cfg(not(feature = "gpu"))]
pub fn describe() -> (Vec<String>, Value) {
    (vec!["not used: this build computes on the CPU".into()], Value::Null)
}

/// An engine for a network on these training and test images, if a GPU is to compute; none for the CPU. Of one that was only
/// preferred it is said why it is not there.
#[cfg(feature = "gpu")]
pub fn engine<'a>(
    args: &DeviceArgs,
    network: &Network,
    data: [&'a Dataset; 2],
) -> Result<Option<Box<dyn Engine + 'a>>, Failure> {
    let several = several_processes();
    match args.device {
        Device::Cpu => return Ok(None),
        Device::Gpu if several => {
            return Err(Failure::Usage("--device gpu: several processes train on CPUs, leave --device out".into()));
        }
        Device::Auto if several => return Ok(None),
        Device::Auto | Device::Gpu => {}
    }
    let gpu = match lenet_gpu::open(args.allow_software) {
        Ok(gpu) => gpu,
        Err(reason) if args.device == Device::Auto => {
            eprintln!("computing on the CPU: {reason}");
            return Ok(None);
        }
        Err(reason) => return Err(Failure::Failed(format!("--device gpu: {reason}"))),
    };
    let engine = lenet_gpu::GpuEngine::new(network.clone(), gpu, data);
    Ok(Some(Box::new(engine.map_err(Failure::failed)?)))
}

/// Whether this process is one of several that train together.
#[cfg(feature = "gpu")]
fn several_processes() -> bool {
    #[cfg(feature = "mpi")]
    return lenet_mpi::Cluster::joined().is_some();
    #[cfg(not(feature = "mpi"))]
    false
}

/// What `lenet doctor` says of GPUs: lines, and the same as JSON.
#[cfg(feature = "gpu")]
pub fn describe() -> (Vec<String>, Value) {
    use crate::text::bytes;
    let adapters = lenet_gpu::adapters();
    if adapters.is_empty() {
        let line = "none: no driver shows one (Vulkan, Metal or DirectX 12 are asked)";
        return (vec![line.into()], Value::Array(Vec::new()));
    }
    let line = |a: &lenet_gpu::Adapter| {
        let software = if a.software { ", a program on the CPU: used with --allow-software alone" } else { "" };
        format!(
            "{} ({}, {}): buffers of {}, {} of them in a kernel, groups of {} threads with {}{software}",
            a.name,
            a.api,
            a.driver,
            bytes(a.max_buffer),
            bytes(a.max_binding),
            a.group,
            bytes(u64::from(a.shared_memory)),
        )
    };
    let json = |a: &lenet_gpu::Adapter| {
        serde_json::json!({
            "name": a.name, "api": a.api, "driver": a.driver, "software": a.software,
            "max_buffer_bytes": a.max_buffer, "max_binding_bytes": a.max_binding,
            "shared_memory_bytes": a.shared_memory, "group_threads": a.group,
        })
    };
    (adapters.iter().map(line).collect(), adapters.iter().map(json).collect())
}
