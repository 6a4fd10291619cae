//! What a run was done with.

use super::layout::ENVIRONMENT;
use crate::data::Loaded;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::Command;

/// This program on this machine.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Machine {
    /// Version of the program.
    pub version: &'static str,
    /// Operating system and architecture.
    pub system: String,
    /// The CPU's name, as its maker wrote it.
    pub cpu: Option<String>,
    /// Features of the CPU that matter here.
    pub features: Vec<&'static str>,
}

impl Machine {
    /// Looks at the machine that this runs on.
    pub fn detect() -> Self {
        Machine {
            version: env!("CARGO_PKG_VERSION"),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            cpu: cpu_name(),
            features: cpu_features(),
        }
    }
}

fn cpu_name() -> Option<String> {
    if cfg!(target_os = "macos") {
        let output = Command::new("sysctl").args(["-n", "machdep.cpu.brand_string"]).output().ok()?;
        return Some(String::from_utf8_lossy(&output.stdout).trim().to_string()).filter(|s| !s.is_empty());
    }
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let value = |key| text.lines().find_map(|l| l.split_once(':').filter(|(k, _)| k.trim() == key)).map(|(_, v)| v);
    value("model name").or_else(|| value("Model")).map(|v| v.trim().to_string())
}

fn cpu_features() -> Vec<&'static str> {
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

/// The content of `environment.json`: the machine, the recipe's name, the device, the data with their checksums, and
/// whatever else the caller notes.
pub(super) fn environment(
    recipe: &str,
    data: &Loaded,
    device: &str,
    threads: usize,
    notes: Map<String, Value>,
) -> Value {
    let Machine { version, system, cpu, features } = Machine::detect();
    let checksums: Map<_, _> = data.checksums.iter().map(|(file, sha)| (file.clone(), json!(sha))).collect();
    let mut all = json!({
        "version": version,
        "system": system,
        "cpu": cpu,
        "features": features,
        "device": device,
        "threads": threads,
        "recipe": recipe,
        "data": { "name": data.name, "provenance": data.provenance, "sha256": checksums, "skipped": data.skipped },
    });
    notes.into_iter().for_each(|(key, value)| all[key] = value);
    all
}

/// The name of the recipe that a run began with, where its environment tells.
pub(super) fn recipe_name(dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(dir.join(ENVIRONMENT)).ok()?;
    let known: Value = serde_json::from_str(&text).ok()?;
    Some(known.get("recipe")?.as_str()?.to_string())
}
