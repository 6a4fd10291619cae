//! Trainings and sweeps that are ended and go on: by Ctrl-C, by a signal, by force, by another process.
#![cfg(unix)]

use crate::kit::{lenet, metrics, model, names, read, refused, run, source, sweep_results, train};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Starts a training with JSON output.
fn start(dir: &Path, args: &[&str]) -> (Child, impl Iterator<Item = serde_json::Value> + use<>) {
    let mut child = lenet(dir, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines.map_while(Result::ok).map(|l| serde_json::from_str(&l).unwrap()))
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn interrupted_and_resumed_is_as_undisturbed() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    for name in ["INT", "TERM"] {
        // More epochs than it will come to, so that the signal finds it at work.
        let args = train(&data, &["--epochs", "1000000", "--out", name, "--json"]);
        let (mut child, mut events) = start(dir, &args);
        assert!(events.any(|e| e["event"] == "step"));
        signal(&child, name);
        let rest: Vec<_> = events.collect();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(rest.last().unwrap()["event"], "interrupted");
        refused(dir, &["eval", name], 1, &[name]);

        let done = rest.iter().filter(|e| e["event"] == "epoch").count();
        let (epochs, whole) = ((done + 3).to_string(), format!("{name}-whole"));
        run(dir, &train(&data, &["--epochs", &epochs, "--out", &whole]));
        let (out, _) = run(dir, &["train", "--resume", name, "--epochs", &epochs, "--json"]);
        assert!(out.lines().last().unwrap().contains("\"done\""));
        assert!(model(&dir.join(name)) == model(&dir.join(&whole)), "{name}");
        assert_eq!(metrics(&dir.join(name)), metrics(&dir.join(&whole)));
    }
}

/// The training cannot come to its checkpoint, because nobody takes what it says.
#[test]
fn a_second_signal_leaves_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    let (reader, mut writer) = std::io::pipe().unwrap();
    // What a pipe holds, but for a few events.
    writer.write_all(&[b' '; 60 << 10]).unwrap();
    let args = train(&data, &["--epochs", "1000000", "--out", "run", "--json"]);
    let mut child = lenet(dir, &args).stdout(writer).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    let file = dir.join("run/metrics.jsonl");
    let epochs = || std::fs::read(&file).unwrap_or_default();
    // It stands still when the pipe is full.
    let (mut before, mut still) = (Vec::new(), 0);
    while still < 5 {
        std::thread::sleep(Duration::from_millis(200));
        let now = epochs();
        still = if !now.is_empty() && now == before { still + 1 } else { 0 };
        before = now;
    }
    signal(&child, "INT");
    assert!(told.any(|line| line.unwrap().contains("once more leaves at once")));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(child.try_wait().unwrap(), None, "the first signal waits for the training");
    signal(&child, "INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(reader);
    // What was saved before is whole.
    run(dir, &["train", "--resume", "run", "--epochs", "100", "--dry-run"]);
}

/// Kills a training `kills` times at random moments, resumes it each time, and compares it with an undisturbed one.
fn survives(args: &[&str], kills: usize) {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    run(dir, &[args, &["--out", "whole"]].concat());
    let (mut child, mut events) = start(dir, &[args, &["--out", "killed", "--json"]].concat());
    assert!(events.any(|e| e["event"] == "start"));
    let mut random = 12_345u64;
    for _ in 0..kills {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        std::thread::sleep(Duration::from_millis((random >> 33) % 120));
        child.kill().unwrap();
        child.wait().unwrap();
        (child, _) = start(dir, &["train", "--resume", "killed", "--json"]);
    }
    child.kill().unwrap();
    child.wait().unwrap();
    run(dir, &["train", "--resume", "killed"]);
    assert!(model(&dir.join("killed")) == model(&dir.join("whole")));
    assert_eq!(metrics(&dir.join("killed")), metrics(&dir.join("whole")));
    assert_eq!(names(&dir.join("killed")), names(&dir.join("whole")), "no temporary files stay");
}

#[test]
fn killed_at_any_moment_and_resumed_is_as_undisturbed() {
    // So many epochs that most of the kills find it at work.
    survives(&train(&source(), &["--epochs", "150"]), 20);
}

/// Normalisation, dropout, momentum, a schedule, averages, clipping, validation and every augmentation at once.
#[test]
fn killed_with_the_whole_kit_on_it_is_as_undisturbed() {
    let dir = tempfile::tempdir().unwrap();
    let recipe = dir.path().join("all.toml");
    let text = format!(
        "preset = \"lenet-modern\"\n[data]\nsource = {:?}\nnormalize = \"dataset\"\n[model]\nlayers = [
         {{ type = \"conv2d\", channels = 4, window = 5, stride = 2, padding = 2, bias = false }},
         {{ type = \"batch_norm\" }}, {{ type = \"silu\" }},
         {{ type = \"residual\", body = [{{ type = \"conv2d\", channels = 4, window = 3, padding = 1, groups = 2 }},
         {{ type = \"batch_norm\" }}] }},
         {{ type = \"max_pool\", window = 2 }}, {{ type = \"flatten\" }}, {{ type = \"dropout\", rate = 0.2 }},
         {{ type = \"dense\", units = \"classes\" }}]
         [train]\nepochs = 60\nbatch = 60\nclip_norm = 1.0\nval_fraction = 0.1\nclass_weights = \"balanced\"
         [augment]\nshift = 2\nflip = true\nrotate = 10\nerase = 0.5\nbrightness = 0.1\nmixup = 0.2\n",
        source()
    );
    std::fs::write(&recipe, text).unwrap();
    survives(&["train", recipe.to_str().unwrap()], 12);
}

#[test]
fn two_processes_do_not_share_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    let args = train(&data, &["--epochs", "100000", "--out", "run", "--json"]);
    let (mut child, mut events) = start(dir, &args);
    assert!(events.any(|e| e["event"] == "step"));
    refused(dir, &["train", "--resume", "run"], 1, &["run", "another process"]);
    signal(&child, "INT");
    let _ = events.count();
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_sweep_ranks_by_validation_and_survives_kills() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    let text = "recipe = \"lenet\"\nmethod = \"asha\"\ntrials = 6\nepochs = 4\nval_fraction = 0.2\n[set]\n\"train.batch\" = 50\n\
                [random]\nactivation = [\"relu\", \"tanh\"]\n\"model.conv.0.channels\" = { int = [2, 5] }\n\
                \"train.lr\" = { log = [0.02, 1e30] }\n[asha]\nfactor = 2\n";
    std::fs::write(dir.join("s.toml"), text).unwrap();
    let sweep = |out: &str, more: &[&str]| {
        [&["sweep", "s.toml", "--data", &data, "--out", out], more]
            .concat()
            .into_iter()
            .map(String::from)
            .collect::<Vec<_>>()
    };
    let go = |args: Vec<String>| run(dir, &args.iter().map(|a| &a[..]).collect::<Vec<_>>());
    let (out, _) = go(sweep("whole", &[]));
    assert!(out.contains("val acc") && out.contains("best.toml"), "{out}");
    let whole = sweep_results(&dir.join("whole"));
    assert_eq!(whole.len(), 7);
    assert!(whole.iter().any(|r| r.contains(",failed,")), "a learning rate of 1e20 diverges: {whole:?}");
    assert!(whole.iter().any(|r| r.contains(",stopped,")) && whole[1].contains(",done,"), "{whole:?}");
    let accuracy = |row: &String| row.split(',').nth(4).unwrap().parse::<f64>().unwrap_or(-1.0);
    let done: Vec<f64> = whole[1..].iter().filter(|r| r.contains(",done,")).map(accuracy).collect();
    assert!(done.is_sorted_by(|a, b| a >= b), "{done:?}");

    go(sweep("single", &["--parallel", "1"]));
    assert_eq!(sweep_results(&dir.join("single")), whole, "what runs at the same time does not matter");
    for wait in [30, 90, 150, 260] {
        let args = sweep("killed", &[]);
        let mut child =
            lenet(dir, &args.iter().map(|a| &a[..]).collect::<Vec<_>>()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    go(sweep("killed", &[]));
    assert_eq!(sweep_results(&dir.join("killed")), whole);
    assert!(read(&dir.join("whole/sweep.svg")).ends_with(b"</svg>\n"));
    let best = dir.join("whole/best.toml");
    run(dir, &["train", best.to_str().unwrap(), "--epochs", "1", "--out", "best"]);
    std::fs::write(dir.join("s.toml"), text.replace("trials = 6", "trials = 7")).unwrap();
    refused(dir, &["sweep", "s.toml", "--data", &data, "--out", "whole"], 2, &["another sweep"]);
    std::fs::write(dir.join("s.toml"), text.replace("activation", "activatoin")).unwrap();
    refused(dir, &["sweep", "s.toml", "--data", &data, "--out", "other"], 2, &["activatoin"]);
}
