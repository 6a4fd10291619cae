//! Recipes from arguments: a preset's name, a file or a dict, with settings on top.

use crate::error::{Raise, detached, wrong};
use crate::value;
use lenet::data::catalog;
use lenet::model::Model;
use lenet::spec::Summary;
use lenet::spec::{Document, Network, PRESETS, Recipe, RecipeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::path::{Path, PathBuf};

/// What a recipe is called whose text is a dict.
const UNNAMED: &str = "recipe";

/// What was named as a recipe.
pub enum Named {
    /// A preset or a file.
    Text(String),
    /// A dict, as TOML.
    Dict(String),
}

impl Named {
    /// The seed without a name.
    pub fn of(recipe: Option<&Bound<'_, PyAny>>) -> PyResult<Named> {
        let Some(recipe) = recipe else { return Ok(Named::Text("lenet".into())) };
        let Ok(dict) = recipe.cast::<PyDict>() else { return Ok(Named::Text(path(recipe)?)) };
        let line = |(key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
            Ok(format!("{} = {}\n", value::key(&key)?, value::toml(&value)?))
        };
        Ok(Named::Dict(dict.iter().map(line).collect::<PyResult<String>>()?))
    }

    /// The name for the model's card.
    pub fn name(&self) -> String {
        match self {
            Named::Text(name) => Path::new(name).file_stem().map_or("run".into(), |s| s.to_string_lossy().into_owned()),
            Named::Dict(_) => UNNAMED.into(),
        }
    }

    fn document(&self) -> Result<Document, RecipeError> {
        match self {
            Named::Text(name) => Document::load(name),
            Named::Dict(text) => Document::parse(text, UNNAMED),
        }
    }

    /// The recipe with overrides on top; or all that is wrong with it and with them.
    pub fn recipe(&self, overrides: &[String]) -> PyResult<Recipe> {
        let mut document = self.document().map_err(Raise::raise)?;
        let mut problems: Vec<RecipeError> = overrides.iter().filter_map(|o| document.set(o).err()).collect();
        problems.extend(document.problems());
        if problems.is_empty() {
            return document.recipe().map_err(Raise::raise);
        }
        // The settings are no flags of a command here.
        Err(wrong(RecipeError::Many(problems).to_string().replace("--set ", "")))
    }
}

/// Text or a path.
pub fn path(value: &Bound<'_, PyAny>) -> PyResult<String> {
    Ok(value.extract::<PathBuf>()?.to_string_lossy().into_owned())
}

/// The overrides of a dict of dotted keys and of single settings, which win; a setting that is `None` is none.
pub fn overrides(set: Option<&Bound<'_, PyDict>>, settings: Option<&Bound<'_, PyDict>>) -> PyResult<Vec<String>> {
    let mut all = Vec::new();
    for (key, value) in set.iter().flat_map(|d| d.iter()) {
        all.push(format!("{}={}", value::key(&key)?, value::toml(&value)?));
    }
    for (key, value) in settings.iter().flat_map(|d| d.iter()).filter(|(_, value)| !value.is_none()) {
        all.push(format!("{}={}", value::key(&key)?, value::toml(&value)?));
    }
    Ok(all)
}

/// The network of a recipe. The data is only looked at if nothing else tells its shape.
fn network(py: Python<'_>, recipe: &Recipe) -> PyResult<Network> {
    let source = &recipe.data.source;
    let (shape, classes) = match catalog::find(source) {
        Some(entry) => (entry.shape, entry.classes.len()),
        None => {
            let train = crate::data::load(py, source, crate::data::options(recipe))?.train;
            (train.shape, train.classes.len())
        }
    };
    recipe.spec(shape, classes).map_err(Raise::raise)?.infer().map_err(Raise::raise)
}

/// The table of a network: layers, shapes, parameters, multiply-adds.
///
/// `recipe` is a preset, a recipe's file, a dict, or the directory of a model or of a run.
#[pyfunction]
#[pyo3(signature = (recipe=None, *, set=None, **settings))]
pub fn summary(
    py: Python<'_>,
    recipe: Option<&Bound<'_, PyAny>>,
    set: Option<&Bound<'_, PyDict>>,
    settings: Option<&Bound<'_, PyDict>>,
) -> PyResult<String> {
    let named = Named::of(recipe)?;
    let overrides = overrides(set, settings)?;
    if let Named::Text(path) = &named
        && Path::new(path).is_dir()
    {
        if !overrides.is_empty() {
            return Err(wrong(format!("{path}: settings change recipes, a model is as it is")));
        }
        let model = detached(py, || Model::load(Path::new(path)).map_err(Raise::raise))?;
        return Ok(Summary::new(&model.network).to_string());
    }
    Ok(Summary::new(&network(py, &named.recipe(&overrides)?)?).to_string())
}

/// The recipes that come with the package: names, and what each is.
#[pyfunction]
pub fn presets(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let all = PyDict::new(py);
    for (name, text) in PRESETS {
        // The comment at the head of a preset says what it is.
        let about: Vec<&str> = text.lines().map_while(|l| l.strip_prefix('#')).map(str::trim).collect();
        all.set_item(name, about.join(" "))?;
    }
    Ok(all)
}
