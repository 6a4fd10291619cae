//! `lenet inspect` as a user runs it, on a model of the fixture.

use crate::kit::{fixtures, refused, run, source};
use std::path::Path;

/// A run of one epoch; every test has its own.
fn trained(dir: &Path) {
    run(dir, &["train", "lenet-relu-max", "--data", &source(), "--epochs", "1", "--set", "batch=64", "--out", "run"]);
}

fn size(path: &Path) -> (u32, u32) {
    image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).to_rgb8().dimensions()
}

#[test]
fn one_command_draws_coats_and_pullovers_in_both_layers() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir);
    let classes = ["inspect", "run", "--class", "coat", "--class", "Pullover"];
    let (out, err) = run(dir, &[&classes[..], &["--npz", "a.npz", "-o", "a.png"]].concat());
    assert_eq!((out.lines().count(), err.as_str()), (2, ""), "{out}");
    let (width, height) = size(&dir.join("a.png"));
    // Eight columns, and more room than the image, six maps in two rows and 16 in four need.
    assert!(width > 8 * 2 * 84 && height > 2 * (84 + 58 + 80), "{width} {height}");
    // One layer less, one image a class less.
    run(dir, &[&classes[..], &["--layer", "1", "--count", "3", "-o", "b.png"]].concat());
    let smaller = size(&dir.join("b.png"));
    assert!(smaller.0 < width && smaller.1 < height);
    // The same picture in the other format, and the same twice.
    run(dir, &[&classes[..], &["-o", "a.svg"]].concat());
    let svg = std::fs::read_to_string(dir.join("a.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.matches("<image ").count() >= 8 * (1 + 6 + 16), "{}", svg.len());
    run(dir, &[&classes[..], &["-o", "again.svg"]].concat());
    assert_eq!(svg, std::fs::read_to_string(dir.join("again.svg")).unwrap());
}

#[test]
fn inputs_come_from_the_data_from_files_and_from_noise() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir);
    let picture = fixtures().join("pictures/01-pullover.png").display().to_string();
    run(
        dir,
        &[
            "inspect",
            "run",
            "--index",
            "1",
            "--image",
            &picture,
            "--noise",
            "2",
            "--layer",
            "input",
            "--layer",
            "11",
            "--safetensors",
            "a.safetensors",
        ],
    );
    let bytes = std::fs::read(dir.join("a.safetensors")).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    assert_eq!(header["input"]["shape"], serde_json::json!([4, 1, 28, 28]));
    assert_eq!(header["11"]["shape"], serde_json::json!([4, 10]));
    assert_eq!(header.as_object().unwrap().len(), 2);
    // The file is the image that the data has at this place: the same input, the same logits.
    let start = header["11"]["data_offsets"][0].as_u64().unwrap() as usize + 8 + length;
    let logits = &bytes[start..start + 160];
    assert_eq!(logits[..40], logits[40..80]);
    assert_ne!(logits[80..120], logits[120..160]);
}

#[test]
fn every_view_is_drawn() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir);
    for (name, view) in [
        ("filters.png", &["--filters"][..]),
        ("means.png", &["--means", "--class", "coat", "--class", "pullover", "--count", "5"]),
        ("gradient.png", &["--saliency", "gradient", "--target", "shirt"]),
        ("occlusion.png", &["--saliency", "occlusion", "--noise", "1"]),
        ("all.png", &["--layer", "all", "--noise", "1"]),
        ("network.png", &["--network"]),
    ] {
        let (out, _) = run(dir, &[&["inspect", "run", "-o", name], view].concat());
        assert!(out.starts_with(name) && out.lines().count() == 1, "{out}");
        assert!(size(&dir.join(name)).0 > 300, "{name}");
    }
    let cat = fixtures().join("../../../../examples/pictures/cat.png").display().to_string();
    let (out, _) =
        run(dir, &["inspect", "run", "--ood", "--image", &cat, "--noise", "1", "--index", "0", "-o", "ood.svg"]);
    assert!(
        out.contains("cat.png: energy") && out.contains("noise 0: energy") && out.contains("of 256 test images"),
        "{out}"
    );
    run(dir, &["inspect", "small", "--network", "--set", "model.layers.0.channels=24", "-o", "small.svg"]);
    let svg = std::fs::read_to_string(dir.join("small.svg")).unwrap();
    assert!(svg.contains("4.shortcut.0") && svg.contains("24 × 28 × 28"));
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    trained(dir);
    let inspect = |more: &[&'static str]| [&["inspect", "run", "-o", "a.png"], more].concat();
    refused(dir, &inspect(&["--layer", "conv"]), 2, &["\"conv\"", "0 (conv2d)"]);
    refused(dir, &inspect(&["--class", "cat"]), 2, &["\"cat\"", "Ankle boot", "Pullover"]);
    refused(dir, &inspect(&["--saliency", "gradient", "--target", "cat"]), 2, &["\"cat\"", "Pullover"]);
    refused(dir, &inspect(&["--index", "256"]), 2, &["--index 256", "0 to 255"]);
    refused(dir, &inspect(&["--set", "lr=1"]), 2, &["--set", "--network"]);
    refused(dir, &inspect(&["--layer", "all", "--noise", "4000"]), 2, &["pixels", "fewer"]);
    refused(dir, &inspect(&["--image", "none.png"]), 1, &["none.png"]);
    refused(dir, &["inspect", "run", "-o", "a.gif"], 2, &["a.gif", ".png", ".svg"]);
    refused(dir, &["inspect", "run", "--network", "--npz", "a.npz"], 2, &["--network"]);
    refused(dir, &["inspect", "nothing", "-o", "a.png"], 1, &["nothing"]);
    assert!(!dir.join("a.png").exists());
}
