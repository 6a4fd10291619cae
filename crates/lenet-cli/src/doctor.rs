//! `lenet doctor`: what this machine has, and what lenet makes of it.

use crate::failure::Failure;
use crate::terminal::{self, print_json, print_line};
use lenet::data::{self, CacheOptions};
use lenet::engine::resolve_threads;
use lenet::kernel::Path;
use serde_json::json;
use std::process::Command;

pub fn run(json: bool) -> Result<(), Failure> {
    let options = CacheOptions::from_env();
    let cached: Vec<_> = data::list(&options).into_iter().filter(|l| l.cached).map(|l| l.entry.name).collect();
    let paths: Vec<_> = Path::available().into_iter().map(Path::name).collect();
    let path = Path::detect();
    let (cpu, memory, apt) = (cpu_name(), memory(), on_path("apt-get"));
    let (gpus, gpus_json) = crate::gpu::describe();
    if json {
        print_json(&json!({
            "version": env!("CARGO_PKG_VERSION"),
            "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            "cpu": cpu, "cores": resolve_threads(0), "memory_bytes": memory, "features": features(),
            "paths": paths, "path": path.as_ref().ok().map(|p| p.name()), "gpu": gpus_json,
            "cache": options.dir, "cached": cached, "offline": options.offline, "apt": apt,
        }))?;
    } else {
        let or = |text: Option<String>, otherwise: &str| text.unwrap_or_else(|| otherwise.into());
        let list = |items: &[&str]| if items.is_empty() { "none".into() } else { items.join(", ") };
        let path = path
            .as_ref()
            .map_or_else(ToString::to_string, |p| format!("{} (this CPU can: {})", p.name(), list(&paths)));
        let network = if options.offline { "not used: LENET_OFFLINE is set" } else { "used if data is missing" };
        for (name, value) in [
            ("lenet", format!("{}, {} {}", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH)),
            ("CPU", or(cpu, "unknown")),
            ("features", list(&features())),
            ("kernels", path),
            ("threads", resolve_threads(0).to_string()),
            ("memory", or(memory.map(terminal::bytes), "unknown")),
            ("GPU", gpus.join("\n           ")),
            ("cache", or(options.dir.map(|d| d.display().to_string()), "nowhere: set LENET_CACHE")),
            ("datasets", list(&cached)),
            ("network", network.into()),
            ("apt-get", if apt { "there: Debian's packages are a source of data" } else { "not there" }.into()),
        ] {
            print_line(&format!("{name:10} {value}"))?;
        }
    }
    path.map(|_| ()).map_err(|e| Failure::Usage(e.to_string()))
}

/// The CPU's name, as its maker wrote it.
pub fn cpu_name() -> Option<String> {
    if cfg!(target_os = "macos") {
        let output = Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]).output().ok()?;
        return Some(String::from_utf8_lossy(&output.stdout).trim().to_string()).filter(|s| !s.is_empty());
    }
    field("/proc/cpuinfo", "model name").or_else(|| field("/proc/cpuinfo", "Model"))
}

/// Bytes of main memory.
fn memory() -> Option<u64> {
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

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
