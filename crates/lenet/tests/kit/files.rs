//! The files that tests start from, and those that a run leaves. Other crates' tests include this file.
#![allow(dead_code)]

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

/// The folder of the library's tests: fixtures, golden networks, attacks.
pub fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lenet/tests")
}

pub fn fixtures() -> PathBuf {
    tests().join("fixtures")
}

/// 512 training and 256 test images of Fashion-MNIST, as IDX files.
pub fn images() -> PathBuf {
    fixtures().join("fashion-mnist-small")
}

/// The same as a data source.
pub fn source() -> String {
    format!("idx:{}", images().display())
}

/// Fills an existing folder with copies of these files, which a test may damage.
pub fn copy_images(to: &Path) {
    for file in fs::read_dir(images()).unwrap().flatten() {
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Every file below a folder, by its path; event files, of which each process leaves one, as one without its time.
pub fn files(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let path = path.strip_prefix(dir).unwrap().to_string_lossy().into_owned();
                found.push(if path.starts_with("events.out.tfevents.") { "events".into() } else { path });
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// The metrics of a run, an epoch each, without what depends on the clock.
pub fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let timeless = |line: &str| {
        let mut values: Value = serde_json::from_str(line).unwrap();
        for time in ["train_seconds", "eval_seconds", "images_per_second"] {
            let value = values.as_object_mut().unwrap().remove(time);
            assert!(value.and_then(|v| v.as_f64()) > Some(0.0), "{time} in {line}");
        }
        values
    };
    text.lines().map(timeless).collect()
}
