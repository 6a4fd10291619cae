//! `lenet doctor`: what this machine has, and what lenet makes of it.

use crate::devices::{cpu, gpu};
use crate::failure::Failure;
use crate::terminal::{print_json, print_line};
use crate::text::bytes;
use lenet::data::{self, CacheOptions};
use lenet::engine::Path;
use lenet::engine::resolve_threads;
use lenet::train::Machine;
use serde_json::json;

pub fn run(json: bool) -> Result<(), Failure> {
    let options = CacheOptions::from_env();
    let cached: Vec<_> = data::list(&options).into_iter().filter(|l| l.cached).map(|l| l.entry.name).collect();
    let paths: Vec<_> = Path::available().into_iter().map(Path::name).collect();
    let path = Path::detect();
    let Machine { version, system, cpu, features, .. } = Machine::detect();
    let (memory, apt) = (cpu::memory(), on_path("apt-get"));
    let (gpus, gpus_json) = gpu::describe();
    if json {
        print_json(&json!({
            "version": version, "system": system, "cpu": cpu, "cores": resolve_threads(0), "memory_bytes": memory,
            "features": features,
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
            ("lenet", format!("{version}, {system}")),
            ("CPU", or(cpu, "unknown")),
            ("features", list(&features)),
            ("kernels", path),
            ("threads", resolve_threads(0).to_string()),
            ("memory", or(memory.map(bytes), "unknown")),
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

fn on_path(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
