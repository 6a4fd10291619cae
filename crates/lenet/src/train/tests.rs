//! Sessions: what they leave, whatever opens them.

use super::*;
use crate::data::{Dataset, Loaded};
use crate::engine::{CpuEngine, CpuOptions};
use crate::spec::Recipe;
use serde_json::{Value, json};
use std::path::Path;

/// Twelve images of noise, of three classes.
fn data() -> Loaded {
    let dataset = || Dataset {
        shape: [1, 6, 6],
        images: (0..12 * 36).map(|i: u32| (i * 37 % 251) as u8).collect(),
        labels: (0..12).map(|i| i % 3).collect(),
        classes: ["a", "b", "c"].map(String::from).into(),
    };
    Loaded {
        train: dataset(),
        test: dataset(),
        name: "noise".into(),
        provenance: "a test".into(),
        checksums: vec![("noise.idx".into(), "0123".into())],
        notes: Vec::new(),
        skipped: Vec::new(),
    }
}

fn recipe(sets: &[&str]) -> Recipe {
    let text = "[data]\nsource = \"noise\"\n[model]\nlayers = [{ type = \"flatten\" }, { type = \"dense\", units = \"classes\" }]\n\
                [train]\nepochs = 2\nbatch = 4\nlr = 0.1\n";
    let mut recipe = Recipe::parse(text, "noise.toml").unwrap();
    recipe.apply_overrides(sets).unwrap();
    recipe
}

fn environment(dir: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(dir.join(layout::ENVIRONMENT)).unwrap()).unwrap()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// Python's lacked the CPU and its features, when each caller wrote its own.
#[test]
fn the_environment_says_the_same_whoever_opens_the_run() {
    const KEYS: [&str; 8] = ["cpu", "data", "device", "features", "recipe", "system", "threads", "version"];
    let (data, dir) = (data(), tempfile::tempdir().unwrap());
    let path = dir.path().join("mine");
    let session = || Session::new(&recipe(&[]), &data).unwrap();
    let trainer = session().run_dir(&path).threads(2).open().unwrap();
    assert_eq!(trainer.name(), "mine");
    let new = environment(&path);
    assert_eq!(keys(&new), KEYS);
    assert_eq!((&new["threads"], &new["recipe"]), (&json!(2), &json!("mine")));
    assert_eq!(new["device"], trainer.device());
    let from = json!({ "name": "noise", "provenance": "a test", "sha256": { "noise.idx": "0123" }, "skipped": [] });
    assert_eq!(new["data"], from);
    drop(trainer);

    // A resumed run keeps its name, wherever it lies.
    let moved = dir.path().join("moved");
    std::fs::rename(&path, &moved).unwrap();
    let trainer = session().resume(Run::open(&moved).unwrap()).threads(1).open().unwrap();
    assert_eq!(trainer.name(), "mine");
    let again = environment(&moved);
    assert_eq!((keys(&again), &again["threads"]), (KEYS.into(), &json!(1)));
    drop(trainer);

    let noted = dir.path().join("noted");
    session().run_dir(&noted).note("trial", 3).open().unwrap();
    assert_eq!((keys(&environment(&noted)).len(), &environment(&noted)["trial"]), (KEYS.len() + 1, &json!(3)));
}

#[test]
fn a_session_trains_where_it_is_told() {
    let (data, dir) = (data(), tempfile::tempdir().unwrap());
    let session = || Session::new(&recipe(&["data.normalize=dataset"]), &data).unwrap().name("noise");
    let nowhere = session().train(|_| Control::Continue).unwrap();
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    for number in [1, 2] {
        let model = session().numbered_in(dir.path()).train(|_| Control::Continue).unwrap();
        assert_eq!(model, nowhere);
        let run = dir.path().join(format!("noise-{number}"));
        assert_eq!(crate::model::Model::load(&run).unwrap(), model);
        // The recipe says all of the training, the numbers of the normalisation included.
        let resolved = Recipe::load(Run::recipe_path(&run).unwrap().to_str().unwrap()).unwrap();
        assert_eq!(resolved.data.normalization.given(), Some(&model.normalization));
    }
    assert!(!Run::is_at(dir.path()));
    let engine = CpuEngine::new(session().network().clone(), CpuOptions::default()).unwrap();
    assert_eq!(session().engine(Box::new(engine)).train(|_| Control::Continue).unwrap(), nowhere);
}

#[test]
fn a_training_that_cannot_start_leaves_nothing() {
    let (data, dir) = (data(), tempfile::tempdir().unwrap());
    let run = dir.path().join("run");
    let refused = |sets: &[&str]| Session::new(&recipe(sets), &data).unwrap().run_dir(&run).open().err().unwrap();
    assert!(matches!(refused(&["val_fraction=0.01"]), TrainError::NoValidation { train: 12 }));
    let other = recipe(&[
        "model.layers=[{ type = \"flatten\" }, { type = \"dense\", units = 4 }, { type = \"dense\", units = 3 }]",
    ]);
    let network = Session::new(&other, &data).unwrap().network().clone();
    let engine = Box::new(CpuEngine::new(network, CpuOptions::default()).unwrap());
    let session = Session::new(&recipe(&[]), &data).unwrap().engine(engine).run_dir(&run);
    assert!(matches!(session.open(), Err(TrainError::OtherNetwork)));
    let nothing =
        Loaded { test: Dataset { images: Vec::new(), labels: Vec::new(), ..data.test.clone() }, ..data.clone() };
    let session = Session::new(&recipe(&[]), &nothing).unwrap().run_dir(&run);
    assert!(matches!(session.open(), Err(TrainError::NoImages { train: 12, test: 0 })));
    assert!(!run.exists());
}
