//! `lenet eval`.

use crate::args::{EvalArgs, Split};
use crate::failure::{Failure, file_error};
use crate::terminal::{print_json, print_line, thousands};
use lenet::data::Dataset;
use lenet::engine::{Batch, CpuEngine, CpuOptions, Engine, Pixels, Score};
use lenet::model::Model;
use serde_json::json;
use std::path::Path;

/// Images a batch.
const BATCH: usize = 256;

pub fn run(args: EvalArgs) -> Result<(), Failure> {
    let model = load(&args.model)?;
    let source = args.data.as_deref().unwrap_or(&model.dataset);
    let loaded = crate::data::load(source)?;
    let (dataset, split) = match args.split {
        Split::Train => (loaded.train, "train"),
        Split::Test => (loaded.test, "test"),
    };
    check(&model, &dataset, source)?;
    let mut engine = engine(&model, args.threads)?;
    let score = evaluate(&mut engine, &model, &dataset)?;
    let (accuracy, loss) = (score.accuracy(), score.mean_loss());
    if args.json {
        return print_json(&json!({
            "data": loaded.name, "split": split, "images": score.samples, "accuracy": accuracy, "loss": loss,
        }));
    }
    let images = thousands(score.samples as u64);
    print_line(&format!("{split} accuracy {accuracy:.4}, loss {loss:.4}, {images} images of {}", loaded.name))
}

/// A model from its directory or a run's.
pub fn load(path: &Path) -> Result<Model, Failure> {
    // The system's words for a missing file are better than ours.
    path.metadata().map_err(file_error("read the model", path))?;
    Model::load(path).map_err(Failure::failed)
}

/// The CPU's engine with the model's parameters.
pub fn engine(model: &Model, threads: usize) -> Result<CpuEngine, Failure> {
    let options = CpuOptions { threads, path: None };
    let mut engine = CpuEngine::new(model.network.clone(), options).map_err(|e| Failure::Usage(e.to_string()))?;
    engine.set_parameters(&model.parameters).map_err(Failure::failed)?;
    Ok(engine)
}

fn check(model: &Model, dataset: &Dataset, source: &str) -> Result<(), Failure> {
    if dataset.shape != model.spec.input {
        let (data, model) = (dataset.shape, model.spec.input);
        let message = format!("the images of {source} are {data:?}, the model takes {model:?}: give other --data");
        return Err(Failure::Usage(message));
    }
    if dataset.classes.len() != model.classes.len() {
        let (data, model) = (dataset.classes.len(), model.classes.len());
        let message = format!("{source} has {data} classes, the model knows {model}: give other --data");
        return Err(Failure::Usage(message));
    }
    Ok(())
}

fn evaluate(engine: &mut CpuEngine, model: &Model, dataset: &Dataset) -> Result<Score, Failure> {
    let tables = model.normalization.tables();
    let indices: Vec<u32> = (0..dataset.len() as u32).collect();
    let mut score = Score::default();
    for some in indices.chunks(BATCH) {
        let pixels = Pixels::Bytes { data: &dataset.images, tables: &tables };
        score += engine.evaluate(&Batch { pixels, labels: &dataset.labels, indices: some }).map_err(Failure::failed)?;
    }
    Ok(score)
}
