//! The CPU of this machine: engines on it, and its memory.

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

/// Bytes of main memory.
pub fn memory() -> Option<u64> {
    if cfg!(target_os = "macos") {
        let output = Command::new("sysctl").args(["-n", "hw.memsize"]).output().ok()?;
        return String::from_utf8_lossy(&output.stdout).trim().parse().ok();
    }
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = total.trim().split(' ').next()?.parse().ok()?;
    Some(kib * 1024)
}
