//! `lenet train --tui` on a terminal that this test holds the other end of.
#![cfg(unix)]

use crate::kit::{lenet, refused, source};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The two ends of a terminal of 100 columns and 30 rows.
fn terminal() -> (File, File) {
    let ours: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&ours).unwrap();
    unlockpt(&ours).unwrap();
    let name = ptsname(&ours, Vec::new()).unwrap();
    let path = Path::new(std::ffi::OsStr::from_bytes(name.as_bytes()));
    let theirs = File::options().read(true).write(true).open(path).unwrap();
    tcsetwinsize(&theirs, Winsize { ws_row: 30, ws_col: 100, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    (ours.into(), theirs)
}

/// Reads until the words come, or everything if they do not.
fn read_until(from: &mut File, words: &str, read: &mut String) {
    let mut part = [0; 4096];
    while !read.contains(words) {
        match from.read(&mut part) {
            // Nobody holds the other end any more.
            Ok(0) | Err(_) => return,
            Ok(n) => read.push_str(&String::from_utf8_lossy(&part[..n])),
        }
    }
}

#[test]
fn a_key_stops_and_the_terminal_is_as_before() {
    let dir = tempfile::tempdir().unwrap();
    for (name, key) in [("letter", b"q"), ("control", b"\x03")] {
        let (mut ours, theirs) = terminal();
        let before = tcgetattr(&ours).unwrap();
        assert!(before.local_modes.contains(LocalModes::ECHO | LocalModes::ICANON));
        let data = source();
        let args = ["train", "lenet-relu-max", "--data", &data, "--epochs", "1000000", "--out", name, "--tui"];
        let mut command = lenet(dir.path(), &args);
        let other = || theirs.try_clone().unwrap();
        let mut child = command.stdin(other()).stdout(other()).stderr(other()).spawn().unwrap();
        // Whoever holds the terminal's other end keeps the reading below from ending.
        drop((command, theirs));
        let mut read = String::new();
        read_until(&mut ours, "accuracy", &mut read);
        assert!(read.contains("\x1b[?1049h"), "the screen is taken: {read:?}");
        assert!(!tcgetattr(&ours).unwrap().local_modes.contains(LocalModes::ECHO));
        ours.write_all(key).unwrap();
        read_until(&mut ours, "train --resume", &mut read);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{read:?}");
        let (_, after) = read.rsplit_once("\x1b[?1049l").expect("the screen is given back");
        assert!(after.contains("interrupted, with a checkpoint saved"), "{after:?}");
        let now = tcgetattr(&ours).unwrap();
        assert_eq!(
            (now.local_modes, now.input_modes, now.output_modes),
            (before.local_modes, before.input_modes, before.output_modes)
        );
        assert!(dir.path().join(name).join("checkpoint/last.safetensors").is_file());
    }
}

#[test]
fn an_error_is_told_after_the_screen_was_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let (mut ours, theirs) = terminal();
    let before = tcgetattr(&ours).unwrap();
    let data = source();
    let args = ["train", "lenet-relu-max", "--data", &data, "--epochs", "50", "--set", "lr=1e30", "--tui"];
    let mut command = lenet(dir.path(), &args);
    let other = || theirs.try_clone().unwrap();
    let mut child = command.stdin(other()).stdout(other()).stderr(other()).spawn().unwrap();
    drop((command, theirs));
    let mut read = String::new();
    read_until(&mut ours, "error: ", &mut read);
    assert_eq!(child.wait().unwrap().code(), Some(1), "{read:?}");
    let (_, after) = read.rsplit_once("\x1b[?1049l").expect("the screen is given back");
    assert!(after.contains("error: "), "{after:?}");
    assert_eq!(tcgetattr(&ours).unwrap().local_modes, before.local_modes);
}

#[test]
fn without_a_terminal_there_is_no_screen() {
    let dir = tempfile::tempdir().unwrap();
    let data = source();
    refused(dir.path(), &["train", "--data", &data, "--tui"], 2, &["--tui", "terminal"]);
    assert!(!dir.path().join("runs").exists());
}
