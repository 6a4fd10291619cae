//! The command line of a build that knows GPUs, on what there is: a GPU, or Mesa's lavapipe, which plays one.
//!
//! `cargo xtask test-gpu` runs it; it needs a Vulkan driver (Debian: mesa-vulkan-drivers libvulkan1).

mod common;

use common::{fixture, lenet, texts};
use std::path::Path;

/// Runs the command where drivers are found; its exit code, standard output and standard error.
fn run(dir: &Path, args: &[&str]) -> (i32, String, String) {
    let output = lenet(dir, args).env_remove("XDG_DATA_DIRS").output().expect("the binary starts");
    let (out, err) = texts(&output);
    (output.status.code().unwrap_or(-1), out, err)
}

fn adapters(dir: &Path) -> Vec<serde_json::Value> {
    let (code, out, err) = run(dir, &["doctor", "--json"]);
    assert_eq!(code, 0, "{err}");
    let doctor: serde_json::Value = serde_json::from_str(&out).unwrap();
    doctor["gpu"].as_array().unwrap().clone()
}

fn train<'a>(data: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let limits = ["--set", "data.train_limit=64", "--set", "data.test_limit=32", "--set", "train.batch=32"];
    [&["train", "lenet", "--data", data, "--epochs", "1"], &limits[..], more].concat()
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
    let (dir, data) = (tempfile::tempdir().unwrap(), fixture());
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
    let (dir, data) = (tempfile::tempdir().unwrap(), fixture());
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
