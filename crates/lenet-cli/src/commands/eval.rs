//! `lenet eval`.

use crate::args::{EvalArgs, Split};
use crate::devices::gpu;
use crate::failure::Failure;
use crate::terminal::{print_json, print_line};
use lenet::data::{Dataset, Options};
use lenet::engine::{CpuEngine, CpuOptions};
use lenet::model::Model;
use lenet::thousands;
use lenet::train::evaluate;
use serde_json::json;
use std::path::Path;

pub fn run(args: EvalArgs) -> Result<(), Failure> {
    gpu::check(&args.device)?;
    let model = load(&args.model)?;
    let source = args.data.as_deref().unwrap_or(&model.training.dataset);
    if source.is_empty() {
        return Err(Failure::Usage("the model does not say what it was trained on: give --data".into()));
    }
    let loaded =
        crate::commands::data::load(source, &Options { shape: Some(model.spec.input), skip_bad: args.skip_bad })?;
    let (dataset, split) = match args.split {
        Split::Train => (loaded.train, "train"),
        Split::Test => (loaded.test, "test"),
    };
    check(&model, &dataset, source)?;
    if dataset.classes != model.classes {
        eprintln!("data: the classes of {source} have other names than the model's; they are compared in order");
    }
    let mut engine = match gpu::engine(&args.device, &model.network, [&dataset, &dataset])? {
        Some(mut engine) => {
            model.fill(engine.as_mut()).map_err(Failure::failed)?;
            engine
        }
        None => Box::new(engine(&model, args.threads)?),
    };
    let tables = model.normalization.tables();
    let score =
        evaluate(engine.as_mut(), &dataset, &tables, dataset.len(), model.flip_test).map_err(Failure::failed)?;
    let (accuracy, loss) = (score.accuracy(), score.mean_loss());
    if args.json {
        return print_json(&json!({
            "data": loaded.name, "split": split, "images": score.samples, "accuracy": accuracy, "loss": loss,
            "device": engine.device(),
        }));
    }
    let images = thousands(score.samples as u64);
    print_line(&format!("{split} accuracy {accuracy:.4}, loss {loss:.4}, {images} images of {}", loaded.name))
}

/// A model from its directory or a run's.
pub fn load(path: &Path) -> Result<Model, Failure> {
    Ok(Model::load(path)?)
}

/// The CPU's engine with the model's parameters.
pub fn engine(model: &Model, threads: usize) -> Result<CpuEngine, Failure> {
    model.engine(CpuOptions { threads, path: None }).map_err(|e| Failure::Usage(e.to_string()))
}

/// Whether a dataset's images and classes are the model's.
pub fn check(model: &Model, dataset: &Dataset, source: &str) -> Result<(), Failure> {
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
