//! A tiny training on real images, and what its tests compare.
#![allow(dead_code)]

use lenet::data::{self, CacheOptions, Loaded};
use lenet::engine::{CpuEngine, CpuOptions, Engine};
use lenet::spec::Recipe;
use lenet::train::{Control, Event, Outcome, Run, RunError, Session, TrainError, Trainer};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// 100 images in batches of 32: four steps an epoch, the last one partial.
pub const RECIPE: &str = r#"
[data]
source = "fashion-mnist"
train_limit = 100
test_limit = 50

[model]
layers = [
    { type = "conv2d", channels = 3, window = 5, stride = 2 },
    { type = "relu" },
    { type = "max_pool", window = 2 },
    { type = "flatten" },
    { type = "dense", units = "classes" },
]

[train]
epochs = 3
batch = 32
lr = 0.1
seed = 4
checkpoint_seconds = 0
"#;

pub const STEPS: usize = 12;

pub fn recipe(sets: &[&str]) -> Recipe {
    let mut recipe = Recipe::parse(RECIPE, "tiny.toml").unwrap();
    recipe.apply_overrides(sets).unwrap();
    recipe
}

pub fn data() -> Loaded {
    let dir = concat!("idx:", env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fashion-mnist-small");
    data::load(dir, &CacheOptions::from_env(), &mut |_| {}).unwrap()
}

pub fn engine(recipe: &Recipe, data: &Loaded, threads: usize) -> Box<dyn Engine> {
    let network = recipe.spec(data.train.shape, data.train.classes.len()).unwrap().infer().unwrap();
    Box::new(CpuEngine::new(network, CpuOptions { threads, path: None }).unwrap())
}

/// The run of a directory, new or not.
pub fn open(recipe: &Recipe, dir: &Path) -> Result<Run, RunError> {
    match dir.join("recipe.toml").exists() {
        true => Run::open(dir),
        false => Run::create(dir, recipe, &serde_json::json!({})),
    }
}

pub fn trainer<'a>(
    recipe: &Recipe,
    data: &'a Loaded,
    engine: Box<dyn Engine>,
    run: Option<Run>,
) -> Result<Trainer<'a>, TrainError> {
    let session = Session::new(recipe, data)?.name("tiny").engine(engine);
    match run {
        Some(run) => session.resume(run).open(),
        None => session.open(),
    }
}

/// Trains in a directory, new or not, until `stop` steps are done in this process.
pub fn train(recipe: &Recipe, data: &Loaded, dir: &Path, stop: Option<usize>) -> Result<Outcome, TrainError> {
    let run = open(recipe, dir)?;
    let mut steps = 0;
    trainer(recipe, data, engine(recipe, data, 1), Some(run))?.run(&mut |event| {
        let stopping = matches!(event, Event::Step { .. }) && {
            steps += 1;
            Some(steps) == stop
        };
        if stopping { Control::Stop } else { Control::Continue }
    })
}

/// Trains until something happens, and dies of it without a word: nothing is saved or cleaned.
pub fn kill(recipe: &Recipe, data: &Loaded, dir: &Path, mut when: impl FnMut(&Event) -> bool) {
    let run = open(recipe, dir).unwrap();
    let mut trainer = trainer(recipe, data, engine(recipe, data, 1), Some(run)).unwrap();
    let mut death = |event: &Event| match when(event) {
        true => resume_unwind(Box::new("killed")),
        false => Control::Continue,
    };
    assert!(catch_unwind(AssertUnwindSafe(|| trainer.run(&mut death))).is_err(), "it was to be killed");
}

/// All files of a run that decide or tell results, without the times.
pub fn results(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = ["model/model.safetensors", "model/config.json", "model/README.md"]
        .map(|name| (name.to_string(), fs::read(dir.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))))
        .into();
    for name in ["last", "best"] {
        let bytes = fs::read(dir.join(format!("checkpoint/{name}.safetensors"))).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let mut tensors: Vec<_> = file.tensors();
        tensors.sort_by(|a, b| a.0.cmp(&b.0));
        all.extend(tensors.into_iter().map(|(tensor, view)| (format!("{name} {tensor}"), view.data().to_vec())));
    }
    let metrics = fs::read_to_string(dir.join("metrics.jsonl")).unwrap();
    for line in metrics.lines() {
        let mut values: serde_json::Value = serde_json::from_str(line).unwrap();
        let values = values.as_object_mut().unwrap();
        for time in ["train_seconds", "eval_seconds", "images_per_second"] {
            assert!(values.remove(time).unwrap().as_f64().unwrap() > 0.0);
        }
        all.push(("metrics".into(), serde_json::to_vec(values).unwrap()));
    }
    all
}

/// Every file below a directory, by its path; event files, of which each process leaves one, as one without its time.
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
