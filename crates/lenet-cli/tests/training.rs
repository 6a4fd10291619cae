//! Training, evaluation and prediction as a user runs them, on 768 real images.

use crate::kit::{
    copy_images, fixtures, json, lenet, metrics, model, names, output, read, refused, run, source, texts, train,
};
use std::io::Write;
use std::process::{Command, Stdio};

#[test]
fn a_training_leaves_a_model_that_evaluates_and_predicts() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    let (out, err) = run(dir, &train(&data, &["--epochs", "12"]));
    let epochs: Vec<_> = out.lines().filter(|l| l.starts_with("epoch ")).collect();
    assert_eq!(epochs.len(), 12, "{out}");
    let parts: Vec<_> = epochs[0].split(", ").collect();
    let starts = ["epoch 1", "loss ", "train acc ", "test acc ", "time "];
    assert!(starts.iter().zip(&parts).all(|(s, p)| p.starts_with(s)), "{}", epochs[0]);
    assert!(epochs[0].ends_with(" images/s"), "{}", epochs[0]);
    for words in
        ["512 training and 256 test images", "61,706 parameters", "CPU, ", "thread", "seed 0", "eval runs/lenet-1"]
    {
        assert!(err.contains(words), "{words:?} is not in:\n{err}");
    }
    assert!(!err.contains('\r'), "there is no bar without a terminal:\n{err:?}");
    let accuracy = out.lines().find_map(|l| l.strip_prefix("test accuracy ")).expect("an accuracy");
    assert!(accuracy.parse::<f64>().unwrap() > 0.5, "512 images are enough for half of the answers: {accuracy}");

    // Both name the last epoch's accuracy, from different code.
    let (eval, _) = run(dir, &["eval", "runs/lenet-1"]);
    assert!(eval.starts_with(&format!("test accuracy {accuracy}, ")), "{eval}");
    let args = ["eval", "runs/lenet-1/model", "--data", &data, "--split", "train", "--json"];
    let told = json(&run(dir, &args).0);
    assert_eq!((&told["images"], &told["split"]), (&512.into(), &"train".into()));

    let (summary, _) = run(dir, &["summary", "runs/lenet-1"]);
    assert!(summary.contains("61,706"));
    refused(dir, &["summary", "runs/lenet-1", "--set", "lr=1"], 2, &["--set"]);

    let pictures = fixtures().join("pictures");
    let (folder, _) = run(dir, &["predict", "runs/lenet-1", pictures.to_str().unwrap(), "--json"]);
    assert_eq!(folder.lines().count(), 4);
    let boot = read(&pictures.join("00-ankle-boot.png"));
    let mut command = lenet(dir, &["predict", "runs/lenet-1", "-", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&boot).unwrap();
    let piped = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let [piped, file] = [piped.trim(), folder.lines().next().unwrap()].map(json);
    assert_eq!(piped["top"], file["top"], "standard input and folder agree");
    assert_eq!(piped["top"].as_array().unwrap().len(), 3);
    let (five, _) =
        run(dir, &["predict", "runs/lenet-1", pictures.join("02-trouser.png").to_str().unwrap(), "--top", "5"]);
    assert_eq!(five.matches(", ").count(), 4, "{five}");

    // A second run takes the next number and, having the same recipe, gives the same bytes.
    let (_, _) = run(dir, &train(&data, &["--epochs", "12", "--threads", "1"]));
    assert_eq!(model(&dir.join("runs/lenet-1")), model(&dir.join("runs/lenet-2")));
    let files = [
        ".lock",
        "README.md",
        "best.safetensors",
        "config.json",
        "environment.json",
        "events",
        "last.safetensors",
        "metrics.csv",
        "metrics.jsonl",
        "model.safetensors",
        "recipe.toml",
        "report.html",
    ];
    assert_eq!(names(&dir.join("runs/lenet-1")), files);
    let table = String::from_utf8(read(&dir.join("runs/lenet-1/metrics.csv"))).unwrap();
    let last = metrics(&dir.join("runs/lenet-1")).pop().unwrap();
    let cells: Vec<&str> = table.lines().last().unwrap().split(',').collect();
    assert_eq!((table.lines().count(), cells[0], cells[4]), (13, "12", ""), "{table}");
    assert_eq!(cells[7], last["test_accuracy"].to_string());
}

#[test]
fn threads_and_instructions_do_not_change_a_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    run(dir, &train(&data, &["--epochs", "2", "--out", "one", "--threads", "1"]));
    let want = model(&dir.join("one"));
    for threads in ["2", "3", "7"] {
        run(dir, &train(&data, &["--epochs", "2", "--out", threads, "--threads", threads]));
        assert!(model(&dir.join(threads)) == want, "{threads} threads");
    }
    let report = json(&run(dir, &["doctor", "--json"]).0);
    for path in report["paths"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()) {
        let status =
            lenet(dir, &train(&data, &["--epochs", "2", "--out", path])).env("LENET_PATH", path).output().unwrap();
        assert!(status.status.success());
        assert!(model(&dir.join(path)) == want, "{path}");
    }
    run(dir, &train(&data, &["--epochs", "2", "--out", "seed", "--seed", "1"]));
    assert!(model(&dir.join("seed")) != want, "another seed gives another model");
}

#[test]
fn more_epochs_continue_as_if_never_ended() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    run(dir, &train(&data, &["--epochs", "4", "--out", "whole"]));
    run(dir, &train(&data, &["--epochs", "1", "--out", "parts"]));
    run(dir, &["train", "--resume", "parts", "--epochs", "4"]);
    for file in ["model/model.safetensors", "model/config.json", "recipe.toml"] {
        assert!(read(&dir.join("whole").join(file)) == read(&dir.join("parts").join(file)), "{file}");
    }
    assert_eq!(metrics(&dir.join("whole")), metrics(&dir.join("parts")));
}

/// Gzip files of three megabytes that would become three gigabytes.
#[cfg(unix)]
#[test]
fn gzip_bombs_are_refused_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let member = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let zeros = member(&vec![0; 1 << 26]).repeat(48);
    std::fs::create_dir(dir.join("bomb")).unwrap();
    copy_images(&dir.join("bomb"));
    let images = dir.join("bomb/train-images-idx3-ubyte.gz");
    for (sizes, words) in [
        ([512u32, 28, 28], "goes on after the 401408 bytes"),
        ([u32::MAX, 28, 28], "more than the 4294967296 that are possible"),
        ([3 << 14, 256, 256], "no memory for its 3221225472 bytes"),
    ] {
        let header = [0x803, sizes[0], sizes[1], sizes[2]].map(u32::to_be_bytes).concat();
        std::fs::write(&images, [member(&header), zeros.clone()].concat()).unwrap();
        // A process that takes more than a gigabyte of addresses is refused them.
        let line = "ulimit -v 1000000; exec \"$0\" train --data idx:bomb --threads 1";
        let output =
            Command::new("sh").args(["-c", line, env!("CARGO_BIN_EXE_lenet")]).current_dir(dir).output().unwrap();
        let (_, err) = texts(&output);
        assert_eq!(output.status.code(), Some(1), "{err}");
        assert!(err.lines().count() == 1 && err.contains("train-images") && err.contains(words), "{err}");
    }
    assert!(!dir.join("runs").exists());
}

/// One command takes a folder of pictures to a model that names what new ones show.
#[test]
fn a_folder_of_pictures_is_all_it_takes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    // Two classes that differ at a glance: dark pictures with a light upper or lower half.
    for (class, upper) in [("top", true), ("bottom", false)] {
        std::fs::create_dir_all(dir.join("pictures").join(class)).unwrap();
        for i in 0..40u32 {
            let light = |x: u32, y: u32| (y < 10) == upper && (2..18).contains(&x) && (2..18).contains(&y);
            let value = |x: u32, y: u32| if light(x, y) { 180 + (i * 7 + x + y) % 60 } else { (i * 13 + x * y) % 30 };
            let picture = image::GrayImage::from_fn(20, 20, |x, y| image::Luma([value(x, y) as u8]));
            picture.save(dir.join("pictures").join(class).join(format!("{i:02}.png"))).unwrap();
        }
    }
    let bad = dir.join("pictures/top/bad.png");
    std::fs::write(&bad, "no picture").unwrap();
    let train =
        ["train", "lenet-relu-max", "--data", "pictures", "--epochs", "20", "--set", "batch=16", "--out", "run"];
    let refused_train = output(dir, &train);
    let (_, err) = texts(&refused_train);
    assert!(refused_train.status.code() == Some(1) && err.contains("bad.png") && err.contains("--skip-bad"), "{err}");
    assert!(!dir.join("run").exists());
    let (_, err) = run(dir, &[&train[..], &["--skip-bad"]].concat());
    assert!(err.contains("bad.png") || err.contains("1 unreadable"), "{err}");
    let (out, _) = run(dir, &["eval", "run", "--skip-bad", "--json"]);
    let score = json(&out);
    assert_eq!((score["accuracy"].as_f64(), score["images"].as_u64()), (Some(1.0), Some(16)));
    let (out, _) = run(dir, &["predict", "run", "pictures/bottom/03.png", "--json"]);
    assert!(out.contains("\"bottom\""), "{out}");
}

#[test]
fn every_preset_learns() {
    let dir = tempfile::tempdir().unwrap();
    for (name, _) in lenet::spec::PRESETS {
        let data = source();
        let args =
            ["train", name, "--data", &data, "--epochs", "2", "--set", "warmup_epochs=0", "--set", "train_limit=200"];
        run(dir.path(), &[&args[..], &["--set", "test_limit=50", "--set", "batch=50", "--out", name]].concat());
        let lines = metrics(&dir.path().join(name));
        let loss = |epoch: usize| lines[epoch]["train_loss"].as_f64().unwrap();
        assert!(loss(1) < loss(0), "{name}: {} then {}", loss(0), loss(1));
    }
}

#[test]
fn a_learning_rate_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let data = source();
    let args = ["lr-find", "lenet-relu-max", "--data", &data, "--set", "batch=64", "--steps", "80"];
    let (out, _) = run(dir.path(), &[&args[..], &["-o", "found", "--json"]].concat());
    let found = json(&out);
    let lr = found["suggestion"].as_f64().unwrap();
    assert!((1e-3..3.0).contains(&lr), "{lr}");
    let csv = String::from_utf8(read(&dir.path().join("found/lr-find.csv"))).unwrap();
    assert_eq!(csv.lines().count() as u64, found["steps"].as_u64().unwrap() + 1);
    assert!(String::from_utf8(read(&dir.path().join("found/lr-find.svg"))).unwrap().ends_with("</svg>\n"));
    refused(dir.path(), &[&args[..], &["--from", "1", "--to", "0.1"]].concat(), 2, &["range", "from < to"]);
}

#[test]
fn what_cannot_be_trained_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    refused(dir, &train(&data, &["--device", "gpu"]), 2, &["gpu", "CPU"]);
    refused(dir, &train(&data, &["--set", "model.layers.0.window=40"]), 2, &["layer 0 (conv2d)", "40×40"]);
    refused(dir, &train(&data, &["--set", "batch=0"]), 2, &["batch"]);
    refused(dir, &["train", "--data", "idx:nowhere"], 1, &["nowhere"]);
    refused(dir, &["train", "nothing.toml"], 2, &["nothing.toml", "lenet-relu-max"]);
    refused(dir, &["train", "--resume", "nothing"], 2, &["nothing", "recipe.toml"]);
    run(dir, &train(&data, &["--dry-run"]));
    assert!(std::fs::read_dir(dir).unwrap().next().is_none(), "nothing was written");
    std::fs::write(dir.join("file"), "x").unwrap();
    refused(dir, &train(&data, &["--out", "file/run"]), 1, &["file/run"]);
    std::fs::create_dir(dir.join("full")).unwrap();
    std::fs::write(dir.join("full/letter"), "x").unwrap();
    refused(dir, &train(&data, &["--out", "full"]), 2, &["full", "--resume"]);
}

#[test]
fn a_training_that_diverges_keeps_its_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    let args = train(&data, &["--out", "run", "--set", "lr=1e30"]);
    refused(dir, &args, 1, &["not finite", "train.lr"]);
    assert!(!dir.join("run/model").exists());
}

#[test]
fn damaged_checkpoints_and_models_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    run(dir, &train(&data, &["--epochs", "1", "--out", "run"]));
    let line = refused(dir, &["train", "--resume", "run", "--set", "lr=0.2", "--epochs", "2"], 2, &["another recipe"]);
    assert!(line.contains("lr"), "{line}");

    let checkpoint = dir.join("run/checkpoint/last.safetensors");
    let good = read(&checkpoint);
    let flip = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 4;
        bytes
    };
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("half", good[..good.len() / 2].to_vec()),
        ("a bit of the parameters", flip(good.len() - 1000)),
        ("a bit of the header's length", flip(6)),
        ("no safetensors", b"hello".repeat(100)),
    ] {
        std::fs::write(&checkpoint, bytes).unwrap();
        let line = refused(dir, &["train", "--resume", "run", "--epochs", "2"], 1, &["last.safetensors"]);
        assert!(!line.is_empty(), "{what}");
    }
    std::fs::write(&checkpoint, &good).unwrap();
    run(dir, &["train", "--resume", "run", "--epochs", "2"]);

    let (config, tensors) = (dir.join("run/model/config.json"), dir.join("run/model/model.safetensors"));
    let text = String::from_utf8(read(&config)).unwrap();
    std::fs::write(&config, text.replace("\"channels\": 6", "\"channels\": 1000000000")).unwrap();
    refused(dir, &["eval", "run"], 1, &["config.json", "1000000000"]);
    std::fs::write(&config, &text[..text.len() / 2]).unwrap();
    refused(dir, &["summary", "run"], 1, &["config.json"]);
    std::fs::write(&config, &text).unwrap();
    let bytes = read(&tensors);
    std::fs::write(&tensors, &bytes[..bytes.len() - 4]).unwrap();
    refused(dir, &["eval", "run"], 1, &["model.safetensors"]);
    refused(dir, &["eval", "nowhere"], 1, &["nowhere"]);
}

#[test]
fn pictures_that_are_none_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    run(dir, &train(&data, &["--epochs", "1", "--out", "run"]));
    // A BMP of 100,000 × 100,000: only the header is there.
    let mut huge = b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    huge.extend([100_000u32.to_le_bytes(), 100_000u32.to_le_bytes(), [1, 0, 24, 0]].concat());
    huge.extend([0; 24]);
    std::fs::write(dir.join("huge.bmp"), huge).unwrap();
    refused(dir, &["predict", "run", "huge.bmp"], 1, &["huge.bmp", "100000"]);
    std::fs::write(dir.join("text.png"), "no picture").unwrap();
    refused(dir, &["predict", "run", "text.png"], 1, &["text.png", "PNG"]);
    refused(dir, &["predict", "run", "nowhere.png"], 1, &["nowhere.png"]);
    std::fs::create_dir(dir.join("empty")).unwrap();
    refused(dir, &["predict", "run", "empty"], 1, &["empty"]);
    // The good ones among several are told all the same.
    let boot = fixtures().join("pictures/00-ankle-boot.png");
    let output = output(dir, &["predict", "run", "text.png", boot.to_str().unwrap()]);
    let (out, _) = texts(&output);
    assert_eq!((output.status.code(), out.lines().count()), (Some(1), 1), "{out}");
}

#[test]
fn a_drawing_in_ink_is_turned_and_said_so() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, data) = (dir.path(), source());
    run(dir, &train(&data, &["--epochs", "1", "--out", "run"]));
    // A BMP of 28 × 28 grey pixels as colour: a dark square on white.
    let mut ink = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    ink.extend([28u32.to_le_bytes(), 28u32.to_le_bytes(), [1, 0, 24, 0]].concat());
    ink.extend([0; 24]);
    for i in 0..28 * 28 {
        let dark = (8..20).contains(&(i % 28)) && (8..20).contains(&(i / 28));
        ink.extend([if dark { 0 } else { 255 }; 3]);
    }
    std::fs::write(dir.join("ink.bmp"), ink).unwrap();
    let predict = |more: &[&str]| {
        let (out, err) = run(dir, &[&["predict", "run", "ink.bmp", "--json"], more].concat());
        let (text, told) = run(dir, &[&["predict", "run", "ink.bmp"], more].concat());
        assert!(err.is_empty() && text.starts_with("ink.bmp: "), "{text}");
        (json(&out)["inverted"].clone(), told)
    };
    let (inverted, told) = predict(&[]);
    assert!(inverted == true && told.contains("negative"), "{told}");
    assert_eq!(predict(&["--no-invert"]), (false.into(), String::new()));
    assert_eq!(predict(&["--invert"]), (true.into(), String::new()));
}
