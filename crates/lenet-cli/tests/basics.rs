//! Commands that look and list: summary, data, doctor, completions; and how the program behaves in a pipe.

use crate::kit::{copy_images, json, lenet, output, refused, run, source, texts};
use std::io::Read;
use std::process::Stdio;

#[test]
fn summary_of_lenet_has_the_shapes_of_the_textbook() {
    let dir = tempfile::tempdir().unwrap();
    let (out, err) = run(dir.path(), &["summary", "lenet", "--json"]);
    assert_eq!(err, "");
    let summary = json(&out);
    assert_eq!(summary["parameters"], 61_706);
    let outputs: Vec<_> = summary["layers"].as_array().unwrap().iter().map(|l| l["output"].to_string()).collect();
    let want = ["[6,28,28]", "[6,28,28]", "[6,14,14]", "[16,10,10]", "[16,10,10]", "[16,5,5]", "[400]"];
    assert_eq!(outputs[..7], want);
    assert_eq!(outputs[7..], ["[120]", "[120]", "[84]", "[84]", "[10]"]);
    let (table, _) = run(dir.path(), &["summary"]);
    assert!(table.contains("61,706"), "{table}");
    assert!(table.lines().all(|l| l.chars().count() <= 80), "{table}");
}

#[test]
fn set_changes_the_network() {
    let dir = tempfile::tempdir().unwrap();
    let (out, _) =
        run(dir.path(), &["summary", "--json", "--set", "model.layers.0.channels=12", "--set", "pool=max_pool"]);
    let layers = json(&out)["layers"].clone();
    assert_eq!(layers[0]["output"].to_string(), "[12,28,28]");
    assert_eq!(layers[2]["kind"], "max_pool");
}

#[test]
fn wrong_recipes_are_one_line_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let conv = |settings: &str| {
        format!("{{ type = \"conv2d\", {settings} }}, {{ type = \"flatten\" }}, {{ type = \"dense\", units = 10 }}")
    };
    for (name, layers, words) in [
        (
            "unknown",
            conv("chanels = 6, window = 5"),
            vec!["unknown.toml:4:", "\"chanels\"", "did you mean \"channels\""],
        ),
        ("type", conv("channels = \"six\", window = 5"), vec!["type.toml:4:", "channels"]),
        ("stride", conv("channels = 6, window = 5, stride = 0"), vec!["stride.toml:4:", "stride", "from 1"]),
        ("large", conv("channels = 1000000000, window = 5"), vec!["large.toml:4:", "1000000000"]),
        ("window", conv("channels = 6, window = 40"), vec!["layer 0 (conv2d)", "[1, 28, 28]"]),
        ("flat", "{ type = \"dense\", units = 10 }".into(), vec!["flatten"]),
    ] {
        let text = format!("[data]\nsource = \"fashion-mnist\"\n[model]\nlayers = [ {layers} ]\n[train]\n");
        let file = format!("{name}.toml");
        std::fs::write(dir.path().join(&file), text).unwrap();
        refused(dir.path(), &["summary", &file], 2, &words);
    }
    refused(dir.path(), &["summary", "lenett"], 2, &["lenett", "did you mean \"lenet\""]);
    refused(dir.path(), &["summary", "--set", "lr=fast"], 2, &["--set lr=fast"]);
}

#[test]
fn damaged_data_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("data");
    let reset = || {
        let _ = std::fs::remove_dir_all(&source);
        std::fs::create_dir(&source).unwrap();
        copy_images(&source);
    };
    let show = ["data", "show", "idx:data"];
    let images = source.join("train-images-idx3-ubyte.gz");

    reset();
    run(dir.path(), &show);

    let gz = std::fs::read(&images).unwrap();
    std::fs::write(&images, &gz[..gz.len() / 2]).unwrap();
    refused(dir.path(), &show, 1, &["train-images-idx3-ubyte"]);

    // A header that promises 2^31 images of 2^16 × 2^16.
    std::fs::remove_file(&images).unwrap();
    let header = [0, 0, 8, 3, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0];
    std::fs::write(source.join("train-images-idx3-ubyte"), header).unwrap();
    refused(dir.path(), &show, 1, &["train-images-idx3-ubyte"]);

    // Fewer images than labels.
    let mut ten = vec![0, 0, 8, 3, 0, 0, 0, 10, 0, 0, 0, 28, 0, 0, 0, 28];
    ten.resize(16 + 10 * 784, 7);
    std::fs::write(source.join("train-images-idx3-ubyte"), &ten).unwrap();
    refused(dir.path(), &show, 1, &["10 images", "512 labels"]);

    // A label beyond the classes.
    reset();
    std::fs::remove_file(source.join("train-labels-idx1-ubyte.gz")).unwrap();
    let mut labels = vec![0, 0, 8, 1, 0, 0, 2, 0];
    labels.resize(8 + 512, 3);
    labels[8 + 100] = 10;
    std::fs::write(source.join("train-labels-idx1-ubyte"), &labels).unwrap();
    refused(dir.path(), &show, 1, &["label 10", "image 100"]);

    refused(dir.path(), &["data", "show", "idx:nowhere"], 1, &["nowhere"]);
    refused(dir.path(), &["data", "fetch", "fashion"], 2, &["did you mean fashion-mnist"]);
}

#[test]
fn a_sheet_is_a_picture() {
    let dir = tempfile::tempdir().unwrap();
    run(dir.path(), &["data", "show", &source(), "-o", "sheet.png"]);
    let png = std::fs::read(dir.path().join("sheet.png")).unwrap();
    assert_eq!(png[..8], *b"\x89PNG\r\n\x1a\n");
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["sheet.png"], "nothing but the picture");
    let show = ["data", "show", &source(), "--augment", "lenet", "--set", "rotate=20", "-o", "augmented.png"];
    run(dir.path(), &show);
    let augmented = std::fs::read(dir.path().join("augmented.png")).unwrap();
    assert!(png[..29] == augmented[..29] && png != augmented, "the header says the same size");
    refused(dir.path(), &["data", "show", &source(), "--set", "rotate=20"], 2, &["--augment"]);
    refused(dir.path(), &["data", "show", &source(), "-o", "no/such/sheet.png"], 1, &["no/such/sheet.png"]);
}

#[test]
fn without_sources_each_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let output = output(dir.path(), &["data", "fetch", "mnist"]);
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(1), "{err}");
    for words in ["error: cannot get mnist from any source", "cache", "offline", "ways out"] {
        assert!(err.to_lowercase().contains(words), "{words:?} is not in:\n{err}");
    }
}

#[test]
fn doctor_says_what_there_is() {
    let dir = tempfile::tempdir().unwrap();
    let (out, _) = run(dir.path(), &["doctor", "--json"]);
    let report = json(&out);
    assert!(report["paths"].as_array().unwrap().iter().any(|p| p == "portable"));
    assert_eq!(report["cache"], dir.path().join("cache").to_str().unwrap());
    let forced = lenet(dir.path(), &["doctor", "--json"]).env("LENET_PATH", "portable").output().unwrap();
    assert_eq!(json(&texts(&forced).0)["path"], "portable");
    let wrong = lenet(dir.path(), &["doctor"]).env("LENET_PATH", "mmx").output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(texts(&wrong).1.contains("mmx"));
}

#[test]
fn wrong_use_is_code_2() {
    let dir = tempfile::tempdir().unwrap();
    for args in
        [&["dance"][..], &["summary", "--nope"], &["data", "show"], &["data", "show", "mnist", "--per-class", "0"]]
    {
        let output = output(dir.path(), args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(texts(&output).1.starts_with("error: "), "{args:?}");
    }
}

#[test]
fn completions_know_every_flag_of_the_help() {
    let dir = tempfile::tempdir().unwrap();
    let (top, _) = run(dir.path(), &["--help"]);
    let commands = top.lines().skip_while(|l| *l != "Commands:").skip(1).take_while(|l| !l.is_empty());
    // Continued lines of a wrapped help are indented further than names.
    let commands = commands.filter(|l| !l.starts_with("   "));
    let commands: Vec<_> = commands.filter_map(|l| l.split_whitespace().next()).filter(|c| *c != "help").collect();
    assert!(commands.contains(&"summary"), "{top}");
    let scripts = ["bash", "zsh", "fish"].map(|shell| run(dir.path(), &["completions", shell]).0);
    for command in commands {
        let (help, _) = run(dir.path(), &[command, "--help"]);
        let words = help.split(|c: char| c.is_whitespace() || ",;[]".contains(c));
        let flags: Vec<_> = words.filter_map(|w| w.strip_prefix("--")).filter(|w| !w.is_empty()).collect();
        assert!(!flags.is_empty());
        for script in &scripts {
            assert!(script.contains(command), "{command} is not completed");
            for flag in &flags {
                assert!(script.contains(flag), "--{flag} of {command} is not completed");
            }
        }
    }
}

#[test]
fn a_closed_pipe_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = lenet(dir.path(), &["completions", "zsh"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(err, "");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Processes that do not know of each other would all train, and write, the same.
#[cfg(not(feature = "mpi"))]
#[test]
fn a_build_without_mpi_is_not_work_for_mpirun() {
    let dir = tempfile::tempdir().unwrap();
    let started = |size: [&str; 2], rank: [&str; 2], args: &[&str]| {
        let output = lenet(dir.path(), args).env(size[0], size[1]).env(rank[0], rank[1]).output().unwrap();
        (output.status.code(), texts(&output).1)
    };
    let (size, rank) = ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK");
    for args in [&["train", "lenet", "--data", &source()][..], &["sweep", "sweep.toml"], &["eval", "model"]] {
        let (code, error) = started([size, "3"], [rank, "0"], args);
        assert_eq!((code, error.lines().count()), (Some(2), 1), "{error}");
        assert!(error.contains("3 processes") && error.contains("without mpirun"), "{error}");
        // One of them says it.
        assert_eq!(started([size, "3"], [rank, "2"], args), (Some(0), String::new()));
        assert_eq!(started(["PMI_SIZE", "2"], ["PMI_RANK", "0"], args).0, Some(2));
    }
    assert_eq!(started([size, "1"], [rank, "0"], &["train", "--dry-run"]).0, Some(0));
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none(), "nothing is left");
}
