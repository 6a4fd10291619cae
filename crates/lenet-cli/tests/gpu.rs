//! The command line of a build that knows GPUs, on what there is: a GPU, or Mesa's lavapipe, which plays one.
//!
//! `cargo xtask test-gpu` runs it; it needs a Vulkan driver, and to play a card in trouble a C compiler and Vulkan's headers
//! (Debian: mesa-vulkan-drivers libvulkan1 gcc libvulkan-dev).

mod kit;

use kit::{json, lenet, source, texts};
use std::path::Path;
use std::process::Command;

/// Runs the command where drivers are found; its exit code, standard output and standard error.
fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = lenet(dir, args).env_remove("XDG_DATA_DIRS").output().expect("the binary starts");
    let (out, err) = texts(&output);
    (output.status.code().unwrap_or(-1), out, err)
}

fn adapters(dir: &Path) -> Vec<serde_json::Value> {
    let (code, out, err) = run(dir, &["doctor", "--json"]);
    assert_eq!(code, 0, "{err}");
    json(&out)["gpu"].as_array().unwrap().clone()
}

fn train<'a>(data: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let sets = ["data.train_limit=64", "data.test_limit=32", "train.batch=32", "train.epochs=1"];
    let sets = sets.iter().flat_map(|&set| ["--set", set]);
    ["train", "lenet", "--data", data].into_iter().chain(sets).chain(more.iter().copied()).collect()
}

#[test]
fn doctor_lists_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let adapters = adapters(dir.path());
    assert!(!adapters.is_empty(), "Debian's packages mesa-vulkan-drivers and libvulkan1 play a GPU");
    let (_, out, _) = run(dir.path(), &["doctor"]);
    for adapter in adapters {
        assert!(adapter["max_buffer_bytes"].as_u64().unwrap() > 1 << 20);
        assert!(out.contains(adapter["name"].as_str().unwrap()), "{out}");
        assert_eq!(out.contains("--allow-software"), adapter["software"].as_bool().unwrap(), "{out}");
    }
}

#[test]
fn a_program_that_plays_a_gpu_is_taken_only_if_asked_for() {
    let (dir, data) = (tempfile::tempdir().unwrap(), source());
    if adapters(dir.path()).iter().any(|a| !a["software"].as_bool().unwrap()) {
        // There is a GPU: it is taken.
        let (code, _, err) = run(dir.path(), &train(&data, &["--device", "auto", "--out", "auto"]));
        assert_eq!(code, 0, "{err}");
        return;
    }
    let (code, _, err) = run(dir.path(), &train(&data, &["--device", "gpu", "--out", "refused"]));
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("--allow-software") && !err.contains("panicked"), "{err}");
    assert!(!dir.path().join("refused").exists());
    let (code, _, err) = run(dir.path(), &train(&data, &["--device", "auto", "--out", "auto"]));
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("computing on the CPU: no GPU was found"), "{err}");
}

#[test]
fn a_run_goes_on_on_the_other_device() {
    let (dir, data) = (tempfile::tempdir().unwrap(), source());
    let (code, out, err) =
        run(dir.path(), &train(&data, &["--device", "gpu", "--allow-software", "--out", "run", "--json"]));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("GPU, "), "{out}");
    let environment = std::fs::read_to_string(dir.path().join("run/environment.json")).unwrap();
    assert!(environment.contains("\"GPU, "), "{environment}");
    let (code, _, err) = run(dir.path(), &["train", "--resume", "run", "--epochs", "2", "--device", "cpu"]);
    assert_eq!(code, 0, "{err}");
    let metrics = std::fs::read_to_string(dir.path().join("run/metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 2);
}

#[test]
fn both_devices_evaluate_alike() {
    let (dir, data) = (tempfile::tempdir().unwrap(), source());
    let (code, _, err) = run(dir.path(), &train(&data, &["--device", "cpu", "--out", "run"]));
    assert_eq!(code, 0, "{err}");
    let [cpu, gpu] = [&["cpu"][..], &["gpu", "--allow-software"]].map(|device| {
        let (code, out, err) = run(dir.path(), &[&["eval", "run", "--json", "--device"], device].concat());
        assert_eq!(code, 0, "{err}");
        json(&out)
    });
    assert!(cpu["device"].as_str().unwrap().starts_with("CPU") && gpu["device"].as_str().unwrap().starts_with("GPU"));
    assert_eq!(cpu["accuracy"], gpu["accuracy"]);
    let [cpu, gpu] = [cpu, gpu].map(|told| told["loss"].as_f64().unwrap());
    assert!((cpu - gpu).abs() <= 1e-5 * cpu, "{cpu} {gpu}");
}

/// A training on a card in trouble, as `gpu/fault_layer.c` plays it; its exit code and standard error.
fn train_in_trouble(dir: &Path, fault: [&str; 2], epochs: &str) -> (i32, String) {
    let layer = dir.join("libfault.so");
    let code = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gpu/fault_layer.c");
    let built = Command::new("cc").args(["-shared", "-fPIC", code, "-o"]).arg(&layer).status();
    assert!(built.expect("a C compiler is there").success(), "Debian's packages gcc and libvulkan-dev build the layer");
    let manifest = serde_json::json!({"file_format_version": "1.1.2", "layer": {
        "name": "VK_LAYER_LENET_fault", "type": "GLOBAL", "library_path": layer, "api_version": "1.3.0",
        "implementation_version": "1", "description": "Plays a card in trouble",
    }});
    std::fs::write(dir.join("fault.json"), manifest.to_string()).unwrap();
    let data = source();
    let args = ["--device", "gpu", "--allow-software", "--out", "run", "--epochs", epochs];
    let mut command = lenet(dir, &train(&data, &args));
    command.env_remove("XDG_DATA_DIRS");
    command.env("VK_LAYER_PATH", dir).env("VK_INSTANCE_LAYERS", "VK_LAYER_LENET_fault").env(fault[0], fault[1]);
    let output = command.output().expect("the binary starts");
    (output.status.code().unwrap_or(-1), texts(&output).1)
}

#[test]
fn a_lost_device_leaves_the_last_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (code, err) = train_in_trouble(dir.path(), ["FAULT_LOST_AFTER", "300"], "200");
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("the device is lost") && err.contains("--resume") && err.contains("last.safetensors"),
        "{err}"
    );
    assert!(!err.contains("panicked"), "{err}");
    let done = std::fs::read_to_string(dir.path().join("run/metrics.jsonl")).unwrap().lines().count();
    assert!((1..200).contains(&done), "{done} epochs");
    let epochs = (done + 1).to_string();
    let (code, _, err) = run(dir.path(), &["train", "--resume", "run", "--epochs", &epochs, "--device", "cpu"]);
    assert_eq!(code, 0, "{err}");
}

#[test]
fn a_device_without_memory_says_so() {
    for bytes in ["1000000", "16000000"] {
        let dir = tempfile::tempdir().unwrap();
        let (code, err) = train_in_trouble(dir.path(), ["FAULT_MEMORY", bytes], "1");
        assert_eq!(code, 1, "{err}");
        assert!(
            ["out of memory", "Not enough memory"].iter().any(|w| err.contains(w)) && !err.contains("panicked"),
            "{err}"
        );
    }
}
