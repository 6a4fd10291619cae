//! What a recipe may say: every key with its type, its range and its default.

use super::document::{Document, Node, Value};
use super::error::did_you_mean;
use super::{Activation, Conv2d, DataRecipe, Dense, Layer, ModelRecipe, Pool, Recipe, RecipeError, Spec};
use super::{SpecError, TrainRecipe};
use crate::data::Normalization;
use std::ops::RangeInclusive;

/// The sections and their keys.
pub(super) const SECTIONS: [(&str, &[&str]); 3] = [
    ("data", &["source", "normalize", "train_limit", "test_limit"]),
    ("model", &["input", "layers"]),
    ("train", &super::read_train::KEYS),
];
pub(super) const ACTIVATIONS: [&str; 3] = ["sigmoid", "tanh", "relu"];
pub(super) const POOLS: [&str; 2] = ["avg_pool", "max_pool"];
const KINDS: [&str; 8] = ["conv2d", "avg_pool", "max_pool", "flatten", "dense", "sigmoid", "tanh", "relu"];

const SIZES: RangeInclusive<u64> = 1..=1 << 26;
const WINDOWS: RangeInclusive<u64> = 1..=1 << 12;
const PADDINGS: RangeInclusive<u64> = 0..=1 << 12;
const COUNTS: RangeInclusive<u64> = 1..=1_000_000_000;

/// Every key that can be set without its section, for messages.
pub(super) fn all_keys() -> Vec<&'static str> {
    let short = ["activation", "pool"];
    SECTIONS.iter().flat_map(|(_, keys)| keys.iter().copied()).chain(short).collect()
}

/// `unknown key "chanels" in a conv2d layer, did you mean "channels"? (known: …)`
pub(super) fn unknown_key(key: &str, of: &str, known: &[&str]) -> String {
    let of = if of.is_empty() { String::new() } else { format!(" in {of}") };
    format!("unknown key {key:?}{of}{} (known: {})", did_you_mean(key, known), known.join(", "))
}

impl Document {
    /// What the document says, with every default in its place.
    ///
    /// # Errors
    /// The first thing that is wrong, and where it was written. If the recipe gives the input's shape, that includes
    /// layers that do not fit.
    pub fn recipe(&self) -> Result<Recipe, RecipeError> {
        let names = SECTIONS.map(|(name, _)| name);
        check_keys(&self.root, "the recipe", &[names[0], names[1], names[2], "preset"])?;
        let recipe = Recipe { data: self.data()?, model: self.model()?, train: self.train()? };
        let Some(input) = recipe.model.input else { return Ok(recipe) };
        if let Some(n) = &recipe.data.normalization {
            let (values, channels) = (n.mean.len(), input[0]);
            if values != channels {
                let place = &self.need("data")?.get("normalize").unwrap_or(&self.root).place;
                return Err(RecipeError::at(place, RecipeError::Normalization { values, channels }.to_string()));
            }
        }
        match Spec::from_model(&recipe.model, input, 1).infer() {
            Ok(_) => Ok(recipe),
            Err(e) => Err(self.locate(e)),
        }
    }

    /// The document's network for data of this shape and so many classes: as [`Recipe::spec`], but errors of a layer
    /// name its line.
    ///
    /// # Errors
    /// As [`Document::recipe`] and [`Recipe::spec`].
    pub fn spec(&self, input: [usize; 3], classes: usize) -> Result<Spec, RecipeError> {
        self.recipe()?.spec(input, classes).map_err(|e| match e {
            RecipeError::Spec(e) => self.locate(e),
            other => other,
        })
    }

    /// Gives an error of shape inference the line of its layer.
    fn locate(&self, error: SpecError) -> RecipeError {
        let model = self.root.get("model");
        let layers = model.and_then(|m| m.get("layers"));
        let layer = match layers.map(|l| &l.value) {
            Some(Value::List(list)) => error.layer().map_or(list.last(), |i| list.get(i)),
            _ => None,
        };
        let input = model.and_then(|m| m.get("input"));
        let node = if matches!(error, SpecError::Input { .. }) { input } else { layer };
        RecipeError::at(&node.or(layers).unwrap_or(&self.root).place, error.to_string())
    }

    fn need(&self, section: &str) -> Result<&Node, RecipeError> {
        let missing = || RecipeError::at(&self.root.place, format!("the recipe has no section [{section}]"));
        self.root.get(section).ok_or_else(missing)
    }

    fn data(&self) -> Result<DataRecipe, RecipeError> {
        let table = Table::new(self.need("data")?, "[data]", SECTIONS[0].1)?;
        let source = table.need("source")?;
        let Value::Text(name) = &source.value else {
            return Err(must(source, "source", "the name of a dataset or \"idx:DIR\""));
        };
        if name.trim().is_empty() {
            return Err(must(source, "source", "the name of a dataset or \"idx:DIR\""));
        }
        let limit = |key| table.get(key).map(|n| whole(n, key, COUNTS)).transpose();
        Ok(DataRecipe {
            source: name.clone(),
            normalization: table.get("normalize").map(normalization).transpose()?,
            train_limit: limit("train_limit")?,
            test_limit: limit("test_limit")?,
        })
    }

    fn model(&self) -> Result<ModelRecipe, RecipeError> {
        let table = Table::new(self.need("model")?, "[model]", SECTIONS[1].1)?;
        let input = table.get("input").map(input).transpose()?;
        let layers = table.need("layers")?;
        let nodes = match &layers.value {
            Value::List(nodes) if !nodes.is_empty() => nodes,
            _ => return Err(must(layers, "layers", "a list of at least one layer")),
        };
        let last_dense = nodes.iter().rposition(|n| matches!(kind(n), Ok("dense")));
        let mut units_from_classes = false;
        let mut list = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let (layer, from_classes) = layer(node, last_dense == Some(index))?;
            units_from_classes |= from_classes;
            list.push(layer);
        }
        Ok(ModelRecipe { input, layers: list, units_from_classes })
    }

    fn train(&self) -> Result<TrainRecipe, RecipeError> {
        match self.root.get("train") {
            None => Ok(TrainRecipe::default()),
            Some(node) => super::read_train::train(node),
        }
    }
}

/// A table whose keys are all known.
struct Table<'a> {
    node: &'a Node,
    /// As messages call it: `[train]`, `a conv2d layer`.
    name: String,
}

impl<'a> Table<'a> {
    fn new(node: &'a Node, name: impl Into<String>, known: &[&str]) -> Result<Self, RecipeError> {
        let name = name.into();
        check_keys(node, &name, known)?;
        Ok(Table { node, name })
    }

    fn get(&self, key: &str) -> Option<&'a Node> {
        self.node.get(key)
    }

    fn need(&self, key: &str) -> Result<&'a Node, RecipeError> {
        let missing = || RecipeError::at(&self.node.place, format!("missing key {key:?} in {}", self.name));
        self.get(key).ok_or_else(missing)
    }
}

pub(super) fn check_keys(node: &Node, name: &str, known: &[&str]) -> Result<(), RecipeError> {
    let Value::Table(entries) = &node.value else { return Err(must(node, name, "a table")) };
    match entries.iter().find(|e| !known.contains(&e.key.as_str())) {
        Some(entry) => Err(RecipeError::at(&entry.place, unknown_key(&entry.key, name, known))),
        None => Ok(()),
    }
}

pub(super) fn must(node: &Node, key: &str, be: &str) -> RecipeError {
    RecipeError::at(&node.place, format!("{key} must be {be}, not {}", node.describe()))
}

pub(super) fn integer(node: &Node, key: &str, range: RangeInclusive<u64>) -> Result<u64, RecipeError> {
    let value = match node.value {
        Value::Integer(i) => u64::try_from(i).ok().filter(|i| range.contains(i)),
        _ => None,
    };
    value.ok_or_else(|| must(node, key, &format!("a whole number from {} to {}", range.start(), range.end())))
}

pub(super) fn whole(node: &Node, key: &str, range: RangeInclusive<u64>) -> Result<usize, RecipeError> {
    // The ranges' ends fit in 32 bits, so this loses nothing on any machine.
    integer(node, key, range).map(|n| n as usize)
}

pub(super) fn number(node: &Node) -> Option<f32> {
    match &node.value {
        Value::Integer(i) => Some(*i as f32),
        Value::Float(text) => text.parse().ok(),
        _ => None,
    }
}

/// One number for rows and columns, or a list of both.
fn pair(node: &Node, key: &str, range: RangeInclusive<u64>) -> Result<[usize; 2], RecipeError> {
    match &node.value {
        Value::List(list) => match &list[..] {
            [rows, columns] => Ok([whole(rows, key, range.clone())?, whole(columns, key, range)?]),
            _ => {
                let message = format!("{key} must be one number or [rows, columns], not a list of {}", list.len());
                Err(RecipeError::at(&node.place, message))
            }
        },
        _ => whole(node, key, range).map(|n| [n, n]),
    }
}

fn input(node: &Node) -> Result<[usize; 3], RecipeError> {
    match &node.value {
        Value::List(list) => match &list[..] {
            [c, h, w] => Ok([whole(c, "input", SIZES)?, whole(h, "input", SIZES)?, whole(w, "input", SIZES)?]),
            _ => {
                let message = format!("input must be [channels, rows, columns], not a list of {}", list.len());
                Err(RecipeError::at(&node.place, message))
            }
        },
        _ => Err(must(node, "input", "[channels, rows, columns]")),
    }
}

fn normalization(node: &Node) -> Result<Normalization, RecipeError> {
    let table = Table::new(node, "normalize", &["mean", "std"])?;
    let values = |key: &str, be: &str, valid: fn(f32) -> bool| -> Result<Vec<f32>, RecipeError> {
        let node = table.need(key)?;
        match &node.value {
            Value::List(list) if !list.is_empty() => list
                .iter()
                .map(|n| number(n).filter(|x| x.is_finite() && valid(*x)).ok_or_else(|| must(n, key, be)))
                .collect(),
            _ => Err(must(node, key, "a list of numbers, one a channel")),
        }
    };
    let mean = values("mean", "finite numbers", |_| true)?;
    let std = values("std", "numbers above 0", |x| x > 0.0)?;
    if mean.len() != std.len() {
        let (means, deviations) = (mean.len(), std.len());
        let message = format!("normalize needs as many means as deviations, it has {means} and {deviations}");
        return Err(RecipeError::at(&node.place, message));
    }
    Ok(Normalization { mean, std })
}

fn kind(node: &Node) -> Result<&str, RecipeError> {
    if !matches!(node.value, Value::Table(_)) {
        return Err(must(node, "a layer", "a table with a \"type\""));
    }
    let known = || format!("(known: {})", KINDS.join(", "));
    let Some(kind) = node.get("type") else {
        return Err(RecipeError::at(&node.place, format!("missing key \"type\" in a layer {}", known())));
    };
    match &kind.value {
        Value::Text(name) => KINDS.iter().find(|k| *k == name).copied().ok_or_else(|| {
            let message = format!("unknown layer type {}{} {}", kind.describe(), did_you_mean(name, &KINDS), known());
            RecipeError::at(&kind.place, message)
        }),
        _ => Err(must(kind, "type", &format!("one of {}", KINDS.join(", ")))),
    }
}

/// A layer, and whether its units are the data's classes.
fn layer(node: &Node, last_dense: bool) -> Result<(Layer, bool), RecipeError> {
    let kind = kind(node)?;
    let of_layer = |keys: &[&str]| Table::new(node, format!("a {kind} layer"), keys);
    let layer = match kind {
        "conv2d" => {
            let table = of_layer(&["type", "channels", "window", "stride", "padding", "bias"])?;
            Layer::Conv2d(Conv2d {
                channels: whole(table.need("channels")?, "channels", SIZES)?,
                window: pair(table.need("window")?, "window", WINDOWS)?,
                stride: table.get("stride").map_or(Ok([1, 1]), |n| pair(n, "stride", WINDOWS))?,
                padding: table.get("padding").map_or(Ok([0, 0]), |n| pair(n, "padding", PADDINGS))?,
                bias: bias(&table)?,
            })
        }
        "avg_pool" | "max_pool" => {
            let table = of_layer(&["type", "window", "stride", "padding"])?;
            let window = pair(table.need("window")?, "window", WINDOWS)?;
            let pool = Pool {
                window,
                stride: table.get("stride").map_or(Ok(window), |n| pair(n, "stride", WINDOWS))?,
                padding: table.get("padding").map_or(Ok([0, 0]), |n| pair(n, "padding", PADDINGS))?,
            };
            if kind == "avg_pool" { Layer::AvgPool(pool) } else { Layer::MaxPool(pool) }
        }
        "dense" => {
            let table = of_layer(&["type", "units", "bias"])?;
            let units = table.need("units")?;
            let from_classes = matches!(&units.value, Value::Text(t) if t == "classes");
            if from_classes && !last_dense {
                let message = "units can be \"classes\" in the last dense layer only";
                return Err(RecipeError::at(&units.place, message));
            }
            if let Value::Text(_) = units.value
                && !from_classes
            {
                return Err(must(units, "units", &format!("a whole number from 1 to {} or \"classes\"", SIZES.end())));
            }
            let count = if from_classes { 0 } else { whole(units, "units", SIZES)? };
            return Ok((Layer::Dense(Dense { units: count, bias: bias(&table)? }), from_classes));
        }
        _ => {
            of_layer(&["type"])?;
            match kind {
                "sigmoid" => Layer::Activation(Activation::Sigmoid),
                "tanh" => Layer::Activation(Activation::Tanh),
                "relu" => Layer::Activation(Activation::Relu),
                _ => Layer::Flatten,
            }
        }
    };
    Ok((layer, false))
}

fn bias(table: &Table) -> Result<bool, RecipeError> {
    match table.get("bias") {
        None => Ok(true),
        Some(node) => match node.value {
            Value::Flag(b) => Ok(b),
            _ => Err(must(node, "bias", "true or false")),
        },
    }
}
