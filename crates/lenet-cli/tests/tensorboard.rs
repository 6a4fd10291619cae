//! A run's event files, read by TensorBoard's own reader: `cargo xtask test-tensorboard` installs and names it.

use crate::kit::{run, source};
use serde_json::Value;
use std::path::Path;
use std::process::Command;

#[test]
#[ignore = "needs LENET_PYTHON, a Python with tensorboard: cargo xtask test-tensorboard"]
fn tensorboard_reads_the_metrics_of_a_resumed_run() {
    let python = std::env::var_os("LENET_PYTHON").expect("LENET_PYTHON names a Python with tensorboard");
    let (dir, data) = (tempfile::tempdir().unwrap(), source());
    let dir = dir.path();
    let more = ["--set", "batch=60", "--set", "histograms=true", "--set", "val_fraction=0.25"];
    run(dir, &[&["train", "lenet", "--data", &data, "--epochs", "2", "--out", "r"][..], &more].concat());
    // As a process leaves it that is killed between the metrics of an epoch and its checkpoint: the epoch is done again.
    let (run_dir, kept) = (dir.join("r"), dir.join("r/checkpoint/last.safetensors"));
    let checkpoint = std::fs::read(&kept).unwrap();
    run(dir, &["train", "--resume", "r", "--epochs", "3"]);
    std::fs::write(&kept, checkpoint).unwrap();
    run(dir, &["train", "--resume", "r", "--epochs", "4"]);

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/read_events.py");
    let output = Command::new(python).arg(script).arg(&run_dir).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();

    let metrics = std::fs::read_to_string(run_dir.join("metrics.jsonl")).unwrap();
    let metrics: Vec<Value> = metrics.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(metrics.len(), 4);
    let tags = [
        ("loss/train", "train_loss"),
        ("loss/validation", "val_loss"),
        ("loss/test", "test_loss"),
        ("accuracy/train", "train_accuracy"),
        ("accuracy/validation", "val_accuracy"),
        ("accuracy/test", "test_accuracy"),
        ("learning_rate", "lr"),
        ("speed/images_per_second", "images_per_second"),
        ("speed/train_seconds", "train_seconds"),
    ];
    assert_eq!(found["scalars"].as_object().unwrap().len(), tags.len());
    for (tag, key) in tags {
        let wanted: Vec<(u64, f32)> =
            metrics.iter().map(|m| (m["epoch"].as_u64().unwrap(), m[key].as_f64().unwrap() as f32)).collect();
        let points = found["scalars"][tag].as_array().unwrap_or_else(|| panic!("{tag} is missing"));
        let points: Vec<(u64, f32)> =
            points.iter().map(|p| (p[0].as_u64().unwrap(), p[1].as_f64().unwrap() as f32)).collect();
        assert_eq!(points, wanted, "{tag}");
    }

    let images = found["images"]["filters"].as_array().unwrap();
    assert_eq!(images.iter().map(|i| i[0].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(
        images.iter().all(|i| i[1].as_u64() > Some(100) && i[2].as_u64() > Some(10) && i[3] == "89504e47"),
        "{images:?}"
    );
    let weights = found["histograms"]["weights/0.weight"].as_array().unwrap();
    assert_eq!(weights.len(), 4);
    let count = (6 * 25) as f64;
    assert!(weights.iter().all(|h| h[1].as_f64() == Some(count) && h[2].as_f64() == Some(count)), "{weights:?}");
    assert_eq!(found["histograms"].as_object().unwrap().len(), 10, "weights and biases of five layers");
}
