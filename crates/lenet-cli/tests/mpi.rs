//! The command line under `mpirun`: the bits of a single process, whatever the number of ranks.
//!
//! `cargo xtask test-mpi` runs it; it needs an MPI library (Debian: openmpi-bin libopenmpi-dev libclang-dev).

mod kit;

use kit::{lenet, metrics, model, run, source, sweep_results, texts};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// `mpirun -n N lenet ARGS`, in `dir`.
fn mpirun(dir: &Path, ranks: usize, args: &[&str]) -> Command {
    let single = lenet(dir, args);
    let mut command = Command::new("mpirun");
    command
        .args(["--oversubscribe", "--bind-to", "none", "-n", &ranks.to_string()])
        .arg(single.get_program())
        .args(args);
    command.current_dir(dir).stdin(Stdio::null());
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    for (name, value) in single.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command
}

fn done(output: Output) -> (String, String) {
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{}:\n{out}\n{err}", output.status);
    (out, err)
}

/// What a training leaves that must be the same: the model, and the metrics without their times.
fn results(run: &Path) -> (Vec<u8>, Vec<serde_json::Value>) {
    (model(run), metrics(run))
}

fn train<'a>(recipe: &'a str, data: &'a str, out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", recipe, "--data", data, "--out", out, "--threads", "1"], more].concat()
}

/// Trains by one process and by 1, 2, 3 and 4 ranks.
fn same_bits(recipe: &str, more: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let data = source();
    run(dir.path(), &train(recipe, &data, "alone", more));
    let want = results(&dir.path().join("alone"));
    for ranks in 1..=4 {
        let out = format!("ranks-{ranks}");
        done(mpirun(dir.path(), ranks, &train(recipe, &data, &out, more)).output().unwrap());
        let got = results(&dir.path().join(out));
        assert_eq!(got.1, want.1, "metrics of {recipe} {more:?} by {ranks} ranks");
        assert!(got.0 == want.0, "the model of {recipe} {more:?} by {ranks} ranks has other bits");
    }
}

#[test]
fn the_golden_networks() {
    same_bits("lenet", &["--epochs", "2", "--set", "train.batch=100"]);
    same_bits("lenet-relu-max", &["--epochs", "1", "--set", "train.clip_norm=0.5"]);
}

/// A small stream, so that a recipe is named by its number.
struct Stream(u64);

impl Stream {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// A recipe out of all operators and of all that a training can be asked for.
fn random_recipe(number: u64) -> String {
    let r = &mut Stream(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut layers = Vec::new();
    let channels = 2 + r.below(7);
    layers.push(format!("{{ type = \"conv2d\", channels = {channels}, window = 5, stride = {} }}", 1 + r.below(2)));
    if r.below(2) == 0 {
        layers.push("{ type = \"batch_norm\" }".into());
    }
    layers.push(format!("{{ type = \"{}\" }}", r.pick(&["relu", "tanh", "sigmoid", "gelu"])));
    layers.push(format!("{{ type = \"{}\", window = 2 }}", r.pick(&["max_pool", "avg_pool"])));
    if r.below(3) == 0 {
        let body = format!(
            "{{ type = \"conv2d\", channels = {channels}, window = 3, padding = 1 }}, {{ type = \"batch_norm\" }}"
        );
        layers.push(format!("{{ type = \"residual\", body = [{body}] }}"));
    }
    layers.push("{ type = \"flatten\" }".into());
    if r.below(2) == 0 {
        layers.push(format!("{{ type = \"dense\", units = {} }}, {{ type = \"relu\" }}", 5 + r.below(40)));
    }
    if r.below(2) == 0 {
        layers.push("{ type = \"dropout\", rate = 0.3 }".into());
    }
    layers.push("{ type = \"dense\", units = \"classes\" }".into());
    let mut train = format!(
        "epochs = 2\nlr = 0.01\nseed = {number}\nbatch = {}\noptimizer = \"{}\"\n",
        17 + r.below(120),
        r.pick(&["sgd", "adam", "adamw", "muon"])
    );
    for key in ["clip_norm = 0.7\n", "ema = 0.9\n", "val_fraction = 0.2\n", "label_smoothing = 0.1\n"] {
        train += if r.below(3) == 0 { key } else { "" };
    }
    let mut augment = String::new();
    for key in ["shift = 2\n", "mixup = 0.4\n", "flip = true\n", "flip_test = true\n", "erase = 0.5\n"] {
        augment += if r.below(3) == 0 { key } else { "" };
    }
    let layers = layers.join(",\n");
    format!(
        "[data]\nsource = \"fashion-mnist\"\ntrain_limit = 150\ntest_limit = 90\n[model]\nlayers = [\n{layers}\n]\n[train]\n{train}[augment]\n{augment}"
    )
}

#[test]
fn twenty_random_recipes() {
    for number in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("recipe.toml");
        std::fs::write(&file, random_recipe(number)).unwrap();
        same_bits(&file.to_string_lossy(), &[]);
    }
}

/// The processes of a job that were started with these arguments, by their number among the ranks.
fn process_of_rank(rank: usize, marker: &str) -> Option<i32> {
    let wanted = format!("OMPI_COMM_WORLD_RANK={rank}");
    std::fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_string_lossy().parse().ok()?;
        let read = |name: &str| std::fs::read(entry.path().join(name)).ok();
        let has = |bytes: &[u8], text: &str| bytes.split(|b| *b == 0).any(|part| part == text.as_bytes());
        (has(&read("environ")?, &wanted) && has(&read("cmdline")?, marker)).then_some(pid)
    })
}

#[test]
fn a_rank_that_is_killed_ends_the_job_and_another_number_of_ranks_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    let more = ["--epochs", "60", "--set", "train.ema=0.9", "--set", "train.checkpoint_seconds=1"];
    run(dir, &train("lenet-modern", &data, "alone", &more));
    let out = dir.join("killed").to_string_lossy().into_owned();
    for (times, killed) in [(1, 1), (2, 0)] {
        let args = match times {
            1 => train("lenet-modern", &data, &out, &more),
            _ => vec!["train", "--resume", &out, "--threads", "1"],
        };
        let mut job = mpirun(dir, 2, &args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let epochs = || std::fs::read_to_string(dir.join("killed/metrics.jsonl")).unwrap_or_default().lines().count();
        let before = epochs();
        let pid = loop {
            assert!(job.try_wait().unwrap().is_none(), "it was to be killed before it ended");
            match process_of_rank(killed, &out) {
                Some(pid) if epochs() > before + 2 => break pid,
                _ => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        // No bound on speed: a job that does not notice never ends.
        let killed = Instant::now();
        let status = loop {
            if let Some(status) = job.try_wait().unwrap() {
                break status;
            }
            assert!(killed.elapsed() < Duration::from_secs(60), "the job goes on without a rank");
            std::thread::sleep(Duration::from_millis(50));
        };
        assert!(!status.success());
        assert!(epochs() < 60 && dir.join("killed/checkpoint/last.safetensors").is_file());
    }
    done(mpirun(dir, 3, &["train", "--resume", &out, "--threads", "1"]).output().unwrap());
    assert!(results(&dir.join("killed")) == results(&dir.join("alone")), "the bits of the undisturbed run");
}

#[test]
fn what_is_wrong_is_told_by_all_as_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let output = mpirun(dir.path(), 2, &["train", "lenet", "--set", "train.lr=-1"]).output().unwrap();
    assert!(!output.status.success());
    assert!(texts(&output).1.contains("train.lr"), "{}", texts(&output).1);
    let output = mpirun(dir.path(), 2, &["train", "lenet", "--data", "idx:nowhere"]).output().unwrap();
    assert!(!output.status.success());
    assert!(texts(&output).1.contains("nowhere"), "{}", texts(&output).1);
    // What all would find wrong is told by the first alone.
    for args in [&["sweep", "nowhere.toml"][..], &["eval", "nowhere"], &["lr-find", "lenet"]] {
        let output = mpirun(dir.path(), 3, args).output().unwrap();
        let errors: Vec<String> =
            texts(&output).1.lines().filter(|l| l.contains("error: ")).map(String::from).collect();
        assert!(!output.status.success() && errors.len() == 1, "{args:?} {errors:?}");
        assert!(errors[0].contains("nowhere") != errors[0].contains("without mpirun"), "{args:?} {errors:?}");
    }
    assert!(!dir.path().join("runs").exists());
}

#[test]
fn a_job_that_is_asked_to_stop_leaves_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    let more = ["--epochs", "40"];
    run(dir, &train("lenet-modern", &data, "alone", &more));
    let mut job = mpirun(dir, 3, &train("lenet-modern", &data, "asked", &more));
    let mut job = job.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let epochs = || std::fs::read_to_string(dir.join("asked/metrics.jsonl")).unwrap_or_default().lines().count();
    while epochs() < 3 {
        assert!(job.try_wait().unwrap().is_none(), "it was to be asked before it ended");
        std::thread::sleep(Duration::from_millis(20));
    }
    let pid = rustix::process::Pid::from_raw(job.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(!job.wait().unwrap().success());
    assert!(dir.join("asked/checkpoint/last.safetensors").is_file() && !dir.join("asked/model").exists());
    done(mpirun(dir, 2, &["train", "--resume", "asked", "--threads", "1"]).output().unwrap());
    assert!(results(&dir.join("asked")) == results(&dir.join("alone")), "the bits of the undisturbed run");
}

#[test]
fn a_sweep_over_ranks_finds_what_one_process_finds() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    let sweep = "recipe = \"lenet-relu-max\"\nmethod = \"asha\"\ntrials = 5\nepochs = 3\nparallel = 1\nval_fraction = 0.2\n\
                 [random]\n\"train.lr\" = { log = [0.01, 0.5] }\n[asha]\nmin_epochs = 1\nfactor = 3\n";
    std::fs::write(dir.join("sweep.toml"), sweep).unwrap();
    run(dir, &["sweep", "sweep.toml", "--data", &data, "--out", "alone"]);
    let table = |name: &str| sweep_results(&dir.join(name));
    for ranks in [2, 3] {
        let out = format!("ranks-{ranks}");
        done(mpirun(dir, ranks, &["sweep", "sweep.toml", "--data", &data, "--out", &out]).output().unwrap());
        assert_eq!(table(&out), table("alone"));
        for trial in 0..5 {
            let file = |name: &str, file: &str| {
                std::fs::read(dir.join(name).join(format!("trials/{trial:04}")).join(file)).ok()
            };
            // Trials that were stopped early have a checkpoint only.
            assert!(file(&out, "recipe.toml").is_some());
            for of in ["model/model.safetensors", "checkpoint/last.safetensors"] {
                assert!(file(&out, of) == file("alone", of), "{of} of trial {trial} by {ranks} ranks");
            }
        }
    }
}
