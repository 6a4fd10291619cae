//! Trains a network that is built in code, and stops when it is good enough:
//! `cargo run --release --example train -- DATA MODEL`, DATA as `lenet train --data` takes it, MODEL a new directory.

use lenet::data::{self, CacheOptions};
use lenet::spec::{Activation, Conv2d, DataRecipe, Dense, Layer, ModelRecipe, Pool, Recipe, TrainRecipe};
use lenet::train::{Control, Event, Session};
use std::error::Error;
use std::path::Path;

/// Share of the validation images that is good enough.
const ENOUGH: f64 = 0.75;

fn recipe(source: &str) -> Recipe {
    let conv = |channels| Conv2d::new(channels, 5).padding(2).into();
    let pool = || Layer::MaxPool(Pool::new(2));
    let relu = || Activation::Relu.into();
    let dense = |units| Dense::new(units).into();
    Recipe {
        data: DataRecipe { source: source.to_string(), ..DataRecipe::default() },
        model: ModelRecipe {
            input: None,
            // The units of the last layer are those of the data's classes.
            layers: vec![
                conv(6),
                relu(),
                pool(),
                conv(16),
                relu(),
                pool(),
                Layer::Flatten,
                dense(64),
                relu(),
                dense(0),
            ],
            units_from_classes: true,
        },
        train: TrainRecipe { epochs: 30, batch: 32, lr: 0.05, val_fraction: 0.2, ..TrainRecipe::default() },
        ..Recipe::default()
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [source, to] = &arguments[..] else { return Err("usage: train DATA MODEL".into()) };
    let data = data::load(source, &CacheOptions::from_env(), &mut |_| {})?;
    let model = Session::new(&recipe(source), &data)?.name("mine").train(|event| {
        let Event::Epoch(metrics) = event else { return Control::Continue };
        let validation = metrics.val_accuracy.unwrap_or(0.0);
        println!("epoch {}: loss {:.3}, validation {validation:.3}", metrics.epoch, metrics.train_loss);
        if validation >= ENOUGH { Control::Stop } else { Control::Continue }
    })?;
    model.save(Path::new(to))?;
    Ok(())
}
