//! `lenet eval`.

use crate::args::{EvalArgs, Split};
use crate::devices::{cpu, gpu};
use crate::failure::Failure;
use crate::inputs;
use crate::terminal::{print_json, print_line};
use lenet::data::Options;
use lenet::model::Model;
use lenet::thousands;
use lenet::train::evaluate;
use serde_json::json;

pub fn run(args: EvalArgs) -> Result<(), Failure> {
    gpu::check(&args.device)?;
    let model = Model::load(&args.model)?;
    let source = args.data.as_deref().unwrap_or(&model.training.dataset);
    if source.is_empty() {
        return Err(Failure::Usage("the model does not say what it was trained on: give --data".into()));
    }
    let loaded = inputs::dataset(source, &Options { shape: Some(model.spec.input), skip_bad: args.skip_bad })?;
    let (dataset, split) = match args.split {
        Split::Train => (loaded.train, "train"),
        Split::Test => (loaded.test, "test"),
    };
    inputs::check(&model, &dataset, source)?;
    if dataset.classes != model.classes {
        eprintln!("data: the classes of {source} have other names than the model's; they are compared in order");
    }
    let mut engine = match gpu::engine(&args.device, &model.network, [&dataset, &dataset])? {
        Some(mut engine) => {
            model.fill(engine.as_mut()).map_err(Failure::failed)?;
            engine
        }
        None => Box::new(cpu::engine_of(&model, args.threads)?),
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
