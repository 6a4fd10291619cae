//! A tiny training on real images, and what its tests compare.

use super::metrics;
use lenet::data::Loaded;
use lenet::engine::{CpuEngine, CpuOptions, Engine};
use lenet::model::Model;
use lenet::spec::{Network, Recipe};
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

pub fn network(recipe: &Recipe, data: &Loaded) -> Network {
    recipe.spec(data.train.shape, data.train.classes.len()).unwrap().infer().unwrap()
}

pub fn engine(recipe: &Recipe, data: &Loaded, threads: usize) -> Box<dyn Engine> {
    Box::new(CpuEngine::new(network(recipe, data), CpuOptions { threads, path: None }).unwrap())
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
    engine: Box<dyn Engine + 'a>,
    run: Option<Run>,
) -> Result<Trainer<'a>, TrainError> {
    let session = Session::new(recipe, data)?.name("tiny").engine(engine);
    match run {
        Some(run) => session.resume(run).open(),
        None => session.open(),
    }
}

/// What an undisturbed training without a run learns.
pub fn trained(recipe: &Recipe, data: &Loaded, engine: Box<dyn Engine>) -> Model {
    let mut trainer = trainer(recipe, data, engine, None).unwrap();
    trainer.run(&mut |_| Control::Continue).unwrap();
    trainer.model()
}

/// Trains until `stop` steps are done by this trainer.
pub fn run_until(trainer: &mut Trainer, stop: Option<usize>) -> Result<Outcome, TrainError> {
    let mut steps = 0;
    trainer.run(&mut |event| {
        let stopping = matches!(event, Event::Step { .. }) && {
            steps += 1;
            Some(steps) == stop
        };
        if stopping { Control::Stop } else { Control::Continue }
    })
}

/// Trains in a directory, new or not, until `stop` steps are done in this process.
pub fn train(recipe: &Recipe, data: &Loaded, dir: &Path, stop: Option<usize>) -> Result<Outcome, TrainError> {
    let run = open(recipe, dir)?;
    run_until(&mut trainer(recipe, data, engine(recipe, data, 1), Some(run))?, stop)
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
    all.extend(metrics(dir).iter().map(|values| ("metrics".into(), serde_json::to_vec(values).unwrap())));
    all
}
