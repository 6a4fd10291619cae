//! The examples run: one trains, the other classifies with what came of it. A program of its own: it starts others, each
//! of which holds for a moment the locks of all files that tests beside it have open; and `--test tests` does not need the
//! examples.

#[path = "kit/files.rs"]
mod files;

use files::{fixtures, source};
use std::path::{Path, PathBuf};
use std::process::Command;

/// `cargo test` builds the examples before it runs tests, beside their folder; not so with `--test` alone.
fn example(name: &str) -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let built = tests.parent().and_then(Path::parent).unwrap().join("examples");
    built.join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

fn run(name: &str, arguments: &[&str]) -> String {
    let output = Command::new(example(name)).args(arguments).output();
    let output = output.unwrap_or_else(|e| panic!("example {name}: {e} (cargo build --examples)"));
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_one_example_trains_another_classifies_with() {
    let dir = tempfile::tempdir().unwrap();
    let model = dir.path().join("model");
    let told = run("train", &[&source(), model.to_str().unwrap()]);
    let epochs = told.lines().count();
    assert!((2..30).contains(&epochs), "it stops early, as its listener says:\n{told}");
    assert!(told.lines().next_back().unwrap().starts_with(&format!("epoch {epochs}: ")), "{told}");
    let picture = fixtures().join("pictures/02-trouser.png");
    let told = run("classify", &[model.to_str().unwrap(), picture.to_str().unwrap()]);
    assert!(told.contains("02-trouser.png: Trouser "), "{told}");
}
