//! From what was typed to a recipe and its network, before anything runs.

use crate::args::SetArgs;
use crate::failure::Failure;
use crate::inputs;
use lenet::data::catalog;
use lenet::model::Model;
use lenet::spec::{Document, Network, Recipe, RecipeError};
use std::path::Path;

/// A preset's or a file's recipe with overrides on top; or all that is wrong with it and with them.
pub fn recipe(name: &str, overrides: &[String]) -> Result<Recipe, Failure> {
    let mut document = Document::load(name)?;
    let mut wrong: Vec<RecipeError> = overrides.iter().filter_map(|o| document.set(o).err()).collect();
    wrong.extend(problems(&document));
    match wrong.is_empty() {
        true => Ok(document.recipe()?),
        false => Err(RecipeError::Many(wrong).into()),
    }
}

/// What is wrong; whether the network fits its data too, if the data's shape is known without having the data.
pub fn problems(document: &Document) -> Vec<RecipeError> {
    let source = document.source().unwrap_or_default();
    match catalog::find(&source) {
        Some(entry) => document.problems_for(entry.shape, entry.classes.len()),
        None => document.problems(),
    }
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
    match catalog::find(&recipe.data.source) {
        Some(entry) => Ok((entry.shape, entry.classes.iter().map(|c| c.to_string()).collect())),
        None => {
            let train = inputs::dataset_of(recipe)?.train;
            Ok((train.shape, train.classes))
        }
    }
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
    Ok(Model::load(path)?.network)
}
