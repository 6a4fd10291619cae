//! Export, import and training from a model, as a user runs them.

use crate::kit::{fixtures, json, metrics, refused, run, source};
use std::path::Path;

/// The metrics of a run's last epoch.
fn last(run: &Path) -> serde_json::Value {
    metrics(run).pop().unwrap()
}

fn evaluated(dir: &Path, model: &str, data: &str) -> (f64, f64) {
    let (out, _) = run(dir, &["eval", model, "--data", data, "--json"]);
    let value = json(&out);
    (value["loss"].as_f64().unwrap(), value["accuracy"].as_f64().unwrap())
}

#[test]
fn a_model_goes_out_and_comes_back_and_learns_on() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    let small = ["--set", "batch=60", "--set", "activation=relu", "--set", "lr=0.1", "--data", &data];
    run(dir, &[&["train", "lenet", "--epochs", "6", "--out", "first"], &small[..]].concat());
    let first = evaluated(dir, "first", &data);

    let (out, _) = run(dir, &["export", "first", "--format", "onnx", "--raw-input", "-o", "m.onnx"]);
    assert!(out.starts_with("m.onnx: ONNX, "), "{out}");
    run(dir, &["import", "m.onnx", "-o", "onnx"]);
    run(dir, &["export", "first", "--format", "torch", "-o", "torch"]);
    let set = ["--set", "activation=relu", "--data", &data];
    run(dir, &[&["import", "torch/model.safetensors", "--model", "lenet", "-o", "dict"], &set[..]].concat());
    for model in ["onnx", "torch", "dict"] {
        let again = evaluated(dir, model, &data);
        assert!((again.0 - first.0).abs() < 1e-6 && again.1 == first.1, "{model}: {again:?} after {first:?}");
    }

    // Steps of no length: the training begins where the other one ended.
    let still = [&["train", "lenet", "--epochs", "1", "--init-from", "onnx", "--out", "still"], &small[..]].concat();
    run(dir, &[&still[..], &["--set", "lr=1e-30"]].concat());
    assert_eq!(last(&dir.join("still"))["test_loss"].as_f64().map(|l| (l - first.0).abs() < 1e-6), Some(true));

    // And it learns on, from the recipe beside the imported model too.
    run(dir, &["train", "onnx/finetune.toml", "--init-from", "onnx", "--epochs", "3", "--data", &data, "--out", "on"]);
    let (before, after) = (last(&dir.join("first")), last(&dir.join("on")));
    let loss = |m: &serde_json::Value| m["train_loss"].as_f64().unwrap();
    assert!(loss(&after) < loss(&before), "{after} after {before}");

    // A run goes on although its model has gone.
    let sure = ["train", "lenet", "--epochs", "1", "--init-from", "onnx", "--out", "sure"];
    run(dir, &[&sure[..], &small].concat());
    std::fs::rename(dir.join("onnx"), dir.join("moved")).unwrap();
    run(dir, &["train", "--resume", "sure", "--epochs", "2"]);
    refused(dir, &[&["train", "lenet", "--init-from", "onnx"], &small[..]].concat(), 1, &["onnx is no model"]);
    let other = ["train", "mlp", "--init-from", "moved", "--data", &data];
    refused(dir, &other, 1, &["train.init_from", "'0.weight' has the shape [6, 1, 5, 5]", "[256, 784]"]);
}

#[test]
fn wrong_uses_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let file = fixtures().join("onnx/plain-script.onnx");
    let file = file.to_str().unwrap();
    run(dir, &["import", file, "--classes", "a,b,c", "--mean", "0.25", "--std", "0.5", "-o", "m"]);
    refused(dir, &["import", file, "-o", "m"], 2, &["m holds a model already"]);
    refused(dir, &["import", file, "--classes", "a", "-o", "n"], 1, &["3 outputs for 1 names"]);
    refused(dir, &["import", file, "--model", "lenet", "-o", "n"], 2, &["leave --model out"]);
    refused(dir, &["import", "x.safetensors", "-o", "n"], 2, &["--model"]);
    refused(dir, &["import", "x.pt", "-o", "n"], 2, &[".onnx or .safetensors"]);
    refused(dir, &["eval", "m"], 2, &["give --data"]);
    refused(dir, &["export", "m", "--format", "torch", "--raw-input"], 2, &["--raw-input"]);
    refused(dir, &["export", "none", "--format", "onnx"], 1, &["none is no model"]);
    assert!(!dir.join("n").exists());
}
