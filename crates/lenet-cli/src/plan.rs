//! From what was typed to a recipe and its network, before anything runs.

use crate::failure::Failure;
use lenet::data::{Options, catalog};
use lenet::spec::{Network, Recipe};

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
