//! The CPU of this machine: engines on it, its name and its features.

use crate::failure::Failure;
use lenet::engine::{CpuEngine, CpuOptions};
use lenet::model::Model;
use lenet::spec::Network;
use std::process::Command;

/// An engine for a network.
pub fn engine(network: Network, threads: usize) -> Result<CpuEngine, Failure> {
    CpuEngine::new(network, CpuOptions { threads, path: None }).map_err(|e| Failure::Usage(e.to_string()))
}

/// An engine with the model's parameters.
pub fn engine_of(model: &Model, threads: usize) -> Result<CpuEngine, Failure> {
    model.engine(CpuOptions { threads, path: None }).map_err(|e| Failure::Usage(e.to_string()))
}

/// The CPU's name, as its maker wrote it.
pub fn name() -> Option<String> {
    if cfg!(target_os = "macos") {
        let output = Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]).output().ok()?;
        return Some(String::from_utf8_lossy(&output.stdout).trim().to_string()).filter(|s| !s.is_empty());
    }
    field("/proc/cpuinfo", "model name").or_else(|| field("/proc/cpuinfo", "Model"))
}

/// Features of the CPU that matter here.
pub fn features() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let found = [
        ("avx2", is_x86_feature_detected!("avx2")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("sha", is_x86_feature_detected!("sha")),
    ];
    #[cfg(target_arch = "aarch64")]
    let found = [("neon", true)];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let found: [(&str, bool); 0] = [];
    found.into_iter().filter(|(_, there)| *there).map(|(name, _)| name).collect()
}

/// Bytes of main memory.
pub fn memory() -> Option<u64> {
    if cfg!(target_os = "macos") {
        let output = Command::new("sysctl").args(["-n", "hw.memsize"]).output().ok()?;
        return String::from_utf8_lossy(&output.stdout).trim().parse().ok();
    }
    let kib: u64 = field("/proc/meminfo", "MemTotal")?.split(' ').next()?.parse().ok()?;
    Some(kib * 1024)
}

/// The first `KEY: VALUE` of a file.
fn field(file: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|l| l.split_once(':').filter(|(k, _)| k.trim() == key))?.1;
    Some(value.trim().to_string())
}
