//! What commands read: datasets and pictures.

use crate::failure::{Failure, file_error};
use crate::terminal::data_progress::DataProgress;
use lenet::data::{self, CacheOptions, Dataset, Loaded, Options};
use lenet::model::Model;
use lenet::spec::Recipe;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Most bytes of a picture's file.
const LIMIT: u64 = 1 << 28;

/// Loads a dataset, and tells on standard error how it arrives and what to know about it.
pub fn dataset(source: &str, options: &Options) -> Result<Loaded, Failure> {
    let mut progress = DataProgress::new();
    let loaded = data::load_with(source, options, &CacheOptions::from_env(), &mut |event| progress.on(event))?;
    drop(progress);
    loaded.notes.iter().for_each(|note| eprintln!("data: {note}"));
    if let Some(first) = loaded.skipped.first() {
        eprintln!("data: {} unreadable pictures are left out, the first is {first}", loaded.skipped.len());
    }
    Ok(loaded)
}

/// The dataset of a recipe.
pub fn dataset_of(recipe: &Recipe) -> Result<Loaded, Failure> {
    dataset(&recipe.data.source, &options(recipe))
}

/// How a recipe has its pictures read.
pub fn options(recipe: &Recipe) -> Options {
    Options { shape: recipe.model.input, skip_bad: recipe.data.skip_bad }
}

/// Refuses a dataset whose images or classes are not the model's.
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

/// The bytes of a picture's file, or of standard input.
pub fn picture(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let source: Box<dyn Read> = if path == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(file_error("read", path))?)
    };
    source.take(LIMIT + 1).read_to_end(&mut bytes).map_err(file_error("read", path))?;
    if bytes.len() as u64 > LIMIT {
        return Err(Failure::Failed(format!(
            "{}: larger than the {LIMIT} bytes that a picture may have",
            path.display()
        )));
    }
    Ok(bytes)
}
