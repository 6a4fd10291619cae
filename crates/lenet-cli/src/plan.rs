//! From what was typed to a recipe and its network, before anything runs.

use crate::args::SetArgs;
use crate::failure::Failure;
use lenet::data::{Options, catalog};
use lenet::spec::{Network, Recipe};
use std::path::Path;

/// How a recipe has its pictures read.
pub fn options(recipe: &Recipe) -> Options {
    Options { shape: recipe.model.input, skip_bad: recipe.data.skip_bad }
}

/// The override that names another source of data. A TOML string takes the escapes of a JSON string.
pub fn source(data: &str) -> String {
    format!("data.source={}", serde_json::json!(data))
}

/// The network of a recipe. The data is only looked at if nothing else tells its shape.
pub fn network(recipe: &Recipe) -> Result<Network, Failure> {
    let source = &recipe.data.source;
    let (shape, classes) = match catalog::find(source) {
        Some(entry) => (entry.shape, entry.classes.len()),
        None => {
            let train = crate::data::load(source, &options(recipe))?.train;
            (train.shape, train.classes.len())
        }
    };
    Ok(recipe.spec(shape, classes)?.infer()?)
}

/// The network of what was named: a model's or a run's directory, a preset or a recipe's file.
pub fn network_of(what: &str, set: &SetArgs) -> Result<Network, Failure> {
    let path = Path::new(what);
    if !path.is_dir() {
        return network(&Recipe::load_with(what, &set.set)?);
    }
    if !set.set.is_empty() {
        return Err(Failure::Usage(format!("{what}: --set changes recipes, a model is as it is")));
    }
    Ok(crate::eval::load(path)?.network)
}
