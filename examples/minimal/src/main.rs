//! Classifies pictures: `lenet-minimal MODEL PNG...`, MODEL a directory that `lenet train` wrote.

use lenet::data::picture::Invert;
use lenet::predict::Classifier;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().ok_or("usage: lenet-minimal MODEL PNG...")?;
    let mut classifier = Classifier::load(model.as_ref())?;
    for path in arguments {
        let prediction = classifier.classify_picture(&std::fs::read(&path)?, Invert::Auto)?;
        println!("{path}: {} {:.3}", prediction.label(), prediction.probability());
    }
    Ok(())
}
