//! Runs the built binary as a user would, with a cache of its own and without the network.
// The tests that need another build use a part of it.
#![allow(dead_code)]

#[path = "../../../lenet/tests/kit/files.rs"]
mod files;

pub use files::*;

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The command, to be run in `dir`.
pub fn lenet(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lenet"));
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command.env("LENET_CACHE", dir.join("cache")).env("LENET_OFFLINE", "1").env("XDG_DATA_DIRS", dir.join("share"));
    command.env_remove("LENET_PATH").env_remove("LENET_MIRROR");
    command
}

/// Runs it and returns what it wrote to standard output and to standard error; it must succeed.
pub fn run(dir: &Path, args: &[&str]) -> (String, String) {
    let output = output(dir, args);
    let (out, err) = texts(&output);
    assert!(output.status.success(), "lenet {args:?} ended with {}:\n{out}\n{err}", output.status);
    (out, err)
}

/// Runs it.
pub fn output(dir: &Path, args: &[&str]) -> Output {
    lenet(dir, args).output().expect("the binary starts")
}

/// Standard output and standard error.
pub fn texts(output: &Output) -> (String, String) {
    (String::from_utf8_lossy(&output.stdout).into(), String::from_utf8_lossy(&output.stderr).into())
}

/// What it wrote, where that is JSON.
pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// Asserts that it ends with `code`, with one line of error that holds all of `words`; returns that line.
pub fn refused(dir: &Path, args: &[&str], code: i32, words: &[&str]) -> String {
    let output = output(dir, args);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(code), "lenet {args:?}:\n{out}\n{err}");
    let errors: Vec<_> = err.lines().filter(|l| l.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "lenet {args:?} must say one line of error:\n{err}");
    assert!(!err.contains("panicked"), "{err}");
    assert_eq!(err.lines().last(), Some(errors[0]), "the error must be the last line:\n{err}");
    for word in words {
        assert!(errors[0].contains(word), "{word:?} is not in: {}", errors[0]);
    }
    errors[0].to_string()
}

/// Small and quick, and with a last batch that is not full.
const SMALL: [&str; 6] = ["--set", "batch=60", "--set", "activation=relu", "--set", "lr=0.1"];

/// Arguments of a training on the fixture.
pub fn train<'a>(data: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", "lenet", "--data", data][..], &SMALL, more].concat()
}

/// A file's bytes.
pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The weights that a training left.
pub fn model(run: &Path) -> Vec<u8> {
    read(&run.join("model/model.safetensors"))
}

/// The names of all files below a directory, sorted.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names = files(dir);
    for name in &mut names {
        *name = Path::new(name).file_name().unwrap().to_string_lossy().into_owned();
    }
    names.sort();
    names.dedup();
    names
}

/// The rows of a sweep's results, best first, without their seconds.
pub fn sweep_results(dir: &Path) -> Vec<String> {
    let csv = String::from_utf8(read(&dir.join("results.csv"))).unwrap();
    let clock = csv.lines().next().and_then(|head| head.split(',').position(|name| name == "seconds"));
    let clock = clock.expect("a column of seconds");
    let timeless = |line: &str| {
        let mut cells: Vec<&str> = line.split(',').collect();
        cells.remove(clock);
        cells.join(",")
    };
    csv.lines().map(timeless).collect()
}
