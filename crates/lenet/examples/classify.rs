//! Classifies pictures: `cargo run --example classify -- MODEL PICTURE...`, MODEL a directory that `lenet train` wrote.

use lenet::data::picture::Invert;
use lenet::predict::Classifier;
use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, pictures @ ..] = &arguments[..] else { return Err("usage: classify MODEL PICTURE...".into()) };
    let mut classifier = Classifier::load(Path::new(model))?;
    for path in pictures {
        let prediction = classifier.classify_picture(&std::fs::read(path)?, Invert::Auto)?;
        let words: Vec<_> = prediction.ranking().iter().take(3).map(|(name, p)| format!("{name} {p:.3}")).collect();
        println!("{path}: {}", words.join(", "));
    }
    Ok(())
}
