//! `lenet recipe` as a user runs it.

use crate::kit::{json, output, run, texts};
use std::fs;

#[test]
fn what_is_shown_reads_back_as_the_same_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (list, _) = run(dir, &["recipe", "list"]);
    let names: Vec<&str> = list.lines().filter_map(|l| l.split_whitespace().next()).collect();
    assert!(names.contains(&"lenet") && names.contains(&"mlp"), "{list}");
    for name in names {
        let (text, _) = run(dir, &["recipe", "show", name]);
        fs::write(dir.join("shown.toml"), &text).unwrap();
        assert_eq!(run(dir, &["recipe", "diff", name, "shown.toml"]).0, "", "{name}");
        assert_eq!(run(dir, &["recipe", "validate", name, "shown.toml"]).0, format!("{name}: ok\nshown.toml: ok\n"));
    }
}

#[test]
fn differences_name_the_keys_that_were_set() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (text, _) = run(dir, &["recipe", "show", "lenet", "--set", "conv.1.channels=12", "--set", "lr=0.1"]);
    fs::write(dir.join("other.toml"), text).unwrap();
    let (out, _) = run(dir, &["recipe", "diff", "lenet", "other.toml"]);
    assert_eq!(out, "model.layers.3.channels: 16 -> 12\ntrain.lr: 0.9 -> 0.1\n");
}

#[test]
fn all_that_is_wrong_is_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let layers = "[{ type = \"conv2d\", channels = 0, window = 5 }, { type = \"flaten\" }]";
    let text = format!(
        "[data]\nsource = 3\n[model]\nlayers = {layers}\n[train]\nepochs = 0\nlrr = 1\n[augment]\nflip = 3\n[extra]\n"
    );
    fs::write(dir.join("bad.toml"), text).unwrap();
    // Each value is right by itself, but the window is larger than the image.
    fs::write(
        dir.join("large.toml"),
        "preset = \"lenet\"\n[model]\nlayers = [{ type = \"conv2d\", channels = 1, window = 40 }]\n",
    )
    .unwrap();
    let output = output(dir, &["recipe", "validate", "bad.toml", "lenet", "large.toml", "none.toml"]);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert_eq!(out, "lenet: ok\n");
    for place in ["bad.toml:2:10:", "bad.toml:4:", "bad.toml:6:10:", "bad.toml:7:1:", "bad.toml:9:8:", "large.toml:3:"]
    {
        assert!(err.contains(&format!("error: {place}")), "{place} is not in:\n{err}");
    }
    for words in ["\"extra\"", "\"flatten\"", "none.toml"] {
        assert!(err.contains(words), "{words} is not in:\n{err}");
    }
    assert_eq!(err.lines().count(), 9, "{err}");
}

#[test]
fn training_tells_all_that_is_wrong_too() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text = "preset = \"lenet\"\n[data]\ntrain_limit = 0\n[train]\nepochs = 0\nema = 2\n[augment]\nflip = 3\n";
    fs::write(dir.join("bad.toml"), text).unwrap();
    let output = output(dir, &["train", "bad.toml", "--set", "lrr=1", "--set", "batch=0"]);
    let (out, err) = texts(&output);
    assert_eq!((output.status.code(), &out[..]), (Some(2), ""), "{err}");
    for place in ["--set lrr=1: ", "bad.toml:3:", "bad.toml:5:10: ", "bad.toml:6:7: ", "--set batch=0: ", "bad.toml:8:"]
    {
        assert!(err.lines().any(|l| l.starts_with(&format!("error: {place}"))), "{place} is not in:\n{err}");
    }
    assert_eq!(err.lines().count(), 6, "{err}");
}

#[test]
fn a_window_that_does_not_fit_is_told_with_all_else() {
    let dir = tempfile::tempdir().unwrap();
    let layers = r#"[
        { type = "dropout", rate = 1.5 },
        { type = "conv2d", channels = 6, window = 40 },
        { type = "flatten" },
        { type = "dense", units = "classes" },
    ]"#;
    fs::write(dir.path().join("bad.toml"), format!("preset = \"lenet\"\n[model]\nlayers = {layers}\n")).unwrap();
    let sets = ["--set", "ema=2", "--set", "warmup_epochs=20"];
    let output = output(dir.path(), &[&["train", "bad.toml"], &sets[..]].concat());
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(2), "{err}");
    for place in ["bad.toml:4:", "bad.toml:5:", "--set ema=2: ", "--set warmup_epochs=20: "] {
        assert!(err.lines().any(|l| l.starts_with(&format!("error: {place}"))), "{place} is not in:\n{err}");
    }
    assert_eq!(err.lines().count(), 4, "{err}");
}

#[test]
fn the_schema_knows_every_key_that_presets_write() {
    let dir = tempfile::tempdir().unwrap();
    let (text, _) = run(dir.path(), &["recipe", "schema"]);
    let schema = json(&text);
    let (shown, _) = run(dir.path(), &["recipe", "show", "lenet-modern"]);
    let mut section = "";
    for line in shown.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name;
        } else if let (Some((key, _)), false) = (line.split_once(" = "), section.starts_with('[')) {
            assert!(schema["properties"][section]["properties"][key].is_object(), "{section}.{key}");
        }
    }
    let kinds: Vec<_> = schema["$defs"]["layer"]["oneOf"].as_array().unwrap().iter().collect();
    let conv = kinds.iter().find(|k| k["properties"]["type"]["const"] == "conv2d").unwrap();
    assert_eq!(conv["required"], serde_json::json!(["type", "channels", "window"]));
}
