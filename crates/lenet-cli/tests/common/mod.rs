//! Runs the built binary as a user would, with a cache of its own and without the network.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The fixture's data source: 512 training and 256 test images of Fashion-MNIST.
pub fn fixture() -> String {
    format!("idx:{}", fixtures().join("fashion-mnist-small").display())
}

/// The library's fixtures.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lenet/tests/fixtures")
}

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
