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
    let (shape, classes) = shape_and_classes(recipe)?;
    Ok(recipe.spec(shape, classes.len())?.infer()?)
}

/// Shape and class names of a recipe's data, which is only looked at if nothing else tells them.
pub fn shape_and_classes(recipe: &Recipe) -> Result<([usize; 3], Vec<String>), Failure> {
    let source = &recipe.data.source;
    match catalog::find(source) {
        Some(entry) => Ok((entry.shape, entry.classes.iter().map(|c| c.to_string()).collect())),
        None => {
            let train = crate::data::load(source, &options(recipe))?.train;
            Ok((train.shape, train.classes))
        }
    }
}
