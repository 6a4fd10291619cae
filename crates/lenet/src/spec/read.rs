//! What a recipe may say: every key with its type, its range and its default.

use super::augment;
use super::document::{Document, Node, Value};
use super::error::did_you_mean;
use super::{Activation, BatchNorm, Conv2d, DataRecipe, Dense, Dropout, Layer, ModelRecipe, Normalization, Pool, Rbf};
use super::{Recipe, RecipeError, Residual, Spec, SpecError, TrainRecipe};
use std::ops::RangeInclusive;

/// The sections and their keys.
pub(super) const SECTIONS: [(&str, &[&str]); 4] = [
    ("data", &["source", "normalize", "train_limit", "test_limit", "skip_bad"]),
    ("model", &["input", "layers"]),
    ("train", &super::read_train::KEYS),
    ("augment", &augment::KEYS),
];
pub(super) const POOLS: [&str; 2] = ["avg_pool", "max_pool"];
pub(super) const ACTIVATIONS: [&str; 10] = {
    let mut names = [""; 10];
    let mut i = 0;
    while i < names.len() {
        names[i] = Activation::ALL[i].name();
        i += 1;
    }
    names
};
/// Layers that are no activation.
const OTHERS: [&str; 11] = [
    "conv2d",
    "dense",
    "batch_norm",
    "max_pool",
    "avg_pool",
    "global_avg_pool",
    "flatten",
    "dropout",
    "residual",
    "subsample",
    "rbf",
];

/// Every type of layer.
pub(super) fn kinds() -> Vec<&'static str> {
    OTHERS.into_iter().chain(ACTIVATIONS).collect()
}

/// The keys of a type of layer, and how many of them, from the first on, it cannot do without.
pub(super) fn layer_keys(kind: &str) -> (&'static [&'static str], usize) {
    match kind {
        "conv2d" => (&["type", "channels", "window", "stride", "padding", "groups", "connections", "bias"], 3),
        "avg_pool" | "max_pool" | "subsample" => (&["type", "window", "stride", "padding"], 2),
        "dense" => (&["type", "units", "bias"], 2),
        "rbf" => (&["type", "units"], 2),
        "batch_norm" => (&["type", "eps", "momentum"], 1),
        "dropout" => (&["type", "rate"], 2),
        "residual" => (&["type", "body", "shortcut"], 2),
        _ => (&["type"], 1),
    }
}

/// Residual blocks within residual blocks, at most.
const DEPTH: usize = 4;

pub(super) const SIZES: RangeInclusive<u64> = 1..=1 << 26;
pub(super) const WINDOWS: RangeInclusive<u64> = 1..=1 << 12;
pub(super) const PADDINGS: RangeInclusive<u64> = 0..=1 << 12;
pub(super) const COUNTS: RangeInclusive<u64> = 1..=1_000_000_000;

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
        check_keys(&self.root, "the recipe", &[&names[..], &["preset"]].concat())?;
        let targets = self.root.get("train").map_or(Ok(Default::default()), augment::read_targets)?;
        let augment = self.root.get("augment").map_or(Ok(Default::default()), augment::read)?;
        let recipe = Recipe { data: self.data()?, model: self.model()?, train: self.train()?, targets, augment };
        let Some(input) = recipe.model.input else { return Ok(recipe) };
        if let Some(n) = recipe.data.normalization.given() {
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
    pub(super) fn locate(&self, error: SpecError) -> RecipeError {
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

    pub(super) fn data(&self) -> Result<DataRecipe, RecipeError> {
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
            normalization: table.get("normalize").map_or(Ok(Default::default()), augment::read_normalize)?,
            train_limit: limit("train_limit")?,
            test_limit: limit("test_limit")?,
            skip_bad: table.get("skip_bad").map_or(Ok(false), |n| flag(n, "skip_bad"))?,
        })
    }

    pub(super) fn model(&self) -> Result<ModelRecipe, RecipeError> {
        let table = Table::new(self.need("model")?, "[model]", SECTIONS[1].1)?;
        let input = table.get("input").map(input).transpose()?;
        let layers = table.need("layers")?;
        let nodes = match &layers.value {
            Value::List(nodes) if !nodes.is_empty() => nodes,
            _ => return Err(must(layers, "layers", "a list of at least one layer")),
        };
        let layers: Vec<_> = each_layer(nodes).collect::<Result<_, _>>()?;
        Ok(ModelRecipe { input, ..model_of(layers) })
    }

    pub(super) fn train(&self) -> Result<TrainRecipe, RecipeError> {
        match self.root.get("train") {
            None => Ok(TrainRecipe::default()),
            Some(node) => super::read_train::train(node),
        }
    }
}

/// Each layer of a network by itself, and whether its units are the data's classes.
pub(super) fn each_layer(nodes: &[Node]) -> impl Iterator<Item = Result<(Layer, bool), RecipeError>> {
    let last = nodes.iter().rposition(|n| matches!(kind(n), Ok("dense" | "rbf")));
    nodes.iter().enumerate().map(move |(i, node)| layer(node, last == Some(i), 0))
}

/// These layers, for inputs of any shape.
pub(super) fn model_of(layers: Vec<(Layer, bool)>) -> ModelRecipe {
    let units_from_classes = layers.iter().any(|(_, from_classes)| *from_classes);
    ModelRecipe { input: None, layers: layers.into_iter().map(|(layer, _)| layer).collect(), units_from_classes }
}

/// A table whose keys are all known.
pub(super) struct Table<'a> {
    node: &'a Node,
    /// As messages call it: `[train]`, `a conv2d layer`.
    name: String,
}

impl<'a> Table<'a> {
    pub fn new(node: &'a Node, name: impl Into<String>, known: &[&str]) -> Result<Self, RecipeError> {
        let name = name.into();
        check_keys(node, &name, known)?;
        Ok(Table { node, name })
    }

    pub fn get(&self, key: &str) -> Option<&'a Node> {
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
        // At the ends are numbers that were beyond them.
        Value::Integer(i128::MIN | i128::MAX) => None,
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

pub(super) fn normalization(node: &Node) -> Result<Normalization, RecipeError> {
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

pub(super) fn kind(node: &Node) -> Result<&str, RecipeError> {
    if !matches!(node.value, Value::Table(_)) {
        return Err(must(node, "a layer", "a table with a \"type\""));
    }
    let kinds = kinds();
    let known = || format!("(known: {})", kinds.join(", "));
    let Some(kind) = node.get("type") else {
        return Err(RecipeError::at(&node.place, format!("missing key \"type\" in a layer {}", known())));
    };
    match &kind.value {
        Value::Text(name) => kinds.iter().find(|k| *k == name).copied().ok_or_else(|| {
            let message = format!("unknown layer type {}{} {}", kind.describe(), did_you_mean(name, &kinds), known());
            RecipeError::at(&kind.place, message)
        }),
        _ => Err(must(kind, "type", &format!("one of {}", kinds.join(", ")))),
    }
}

/// A layer, and whether its units are the data's classes.
pub(super) fn layer(node: &Node, last_units: bool, depth: usize) -> Result<(Layer, bool), RecipeError> {
    let kind = kind(node)?;
    let table = Table::new(node, format!("a {kind} layer"), layer_keys(kind).0)?;
    let layer = match kind {
        "conv2d" => Layer::Conv2d(conv2d(&table)?),
        "avg_pool" | "max_pool" | "subsample" => {
            let window = pair(table.need("window")?, "window", WINDOWS)?;
            let pool = Pool {
                window,
                stride: table.get("stride").map_or(Ok(window), |n| pair(n, "stride", WINDOWS))?,
                padding: table.get("padding").map_or(Ok([0, 0]), |n| pair(n, "padding", PADDINGS))?,
            };
            match kind {
                "avg_pool" => Layer::AvgPool(pool),
                "max_pool" => Layer::MaxPool(pool),
                _ => Layer::Subsample(pool),
            }
        }
        "dense" => {
            let (units, from_classes) = units(&table, last_units)?;
            return Ok((Layer::Dense(Dense { units, bias: bias(&table)? }), from_classes));
        }
        "rbf" => {
            let (units, from_classes) = units(&table, last_units)?;
            return Ok((Layer::Rbf(Rbf { units }), from_classes));
        }
        "batch_norm" => Layer::BatchNorm(batch_norm(&table)?),
        "dropout" => {
            let node = table.need("rate")?;
            let rate = number(node).filter(|r| (0.0..1.0).contains(r));
            Layer::Dropout(Dropout { rate: rate.ok_or_else(|| must(node, "rate", "a number from 0 to less than 1"))? })
        }
        "residual" => {
            if depth == DEPTH {
                return Err(RecipeError::at(&node.place, format!("more than {DEPTH} residual blocks in each other")));
            }
            let shortcut = table.get("shortcut").map_or(Ok(Vec::new()), |n| inner(n, "shortcut", depth))?;
            Layer::Residual(Residual { body: inner(table.need("body")?, "body", depth)?, shortcut })
        }
        "flatten" => Layer::Flatten,
        "global_avg_pool" => Layer::GlobalAvgPool,
        name => {
            let activation = Activation::ALL.into_iter().find(|a| a.name() == name);
            Layer::Activation(activation.ok_or_else(|| must(node, "type", "a known layer"))?)
        }
    };
    Ok((layer, false))
}

/// The layers of a residual block's way.
fn inner(node: &Node, key: &str, depth: usize) -> Result<Vec<Layer>, RecipeError> {
    match &node.value {
        Value::List(nodes) if !nodes.is_empty() => {
            nodes.iter().map(|n| layer(n, false, depth + 1).map(|l| l.0)).collect()
        }
        _ => Err(must(node, key, "a list of at least one layer")),
    }
}

fn conv2d(table: &Table) -> Result<Conv2d, RecipeError> {
    Ok(Conv2d {
        channels: whole(table.need("channels")?, "channels", SIZES)?,
        window: pair(table.need("window")?, "window", WINDOWS)?,
        stride: table.get("stride").map_or(Ok([1, 1]), |n| pair(n, "stride", WINDOWS))?,
        padding: table.get("padding").map_or(Ok([0, 0]), |n| pair(n, "padding", PADDINGS))?,
        groups: table.get("groups").map_or(Ok(1), |n| whole(n, "groups", SIZES))?,
        connections: table.get("connections").map(connections).transpose()?,
        bias: bias(table)?,
    })
}

/// `"lenet5"`, or the input channels of each output channel.
fn connections(node: &Node) -> Result<Vec<Vec<usize>>, RecipeError> {
    let be = "\"lenet5\", or a list with the list of input channels of each output channel";
    let map = |node: &Node| match &node.value {
        Value::List(channels) => channels.iter().map(|c| whole(c, "connections", 0..=1 << 26)).collect(),
        _ => Err(must(node, "connections", be)),
    };
    match &node.value {
        Value::Text(name) if name == "lenet5" => Ok(super::lenet5_connections()),
        Value::List(maps) => maps.iter().map(map).collect(),
        _ => Err(must(node, "connections", be)),
    }
}

fn batch_norm(table: &Table) -> Result<BatchNorm, RecipeError> {
    let usual = BatchNorm::default();
    let within = |key, usual, be: &str, valid: fn(f32) -> bool| match table.get(key) {
        Some(node) => number(node).filter(|v| valid(*v)).ok_or_else(|| must(node, key, be)),
        None => Ok(usual),
    };
    Ok(BatchNorm {
        eps: within("eps", usual.eps, "a number above 0", |v| v > 0.0 && v.is_finite())?,
        momentum: within("momentum", usual.momentum, "a number from 0 to 1", |v| (0.0..=1.0).contains(&v))?,
    })
}

/// A number of units, and whether it is the number of classes (then 0).
fn units(table: &Table, last: bool) -> Result<(usize, bool), RecipeError> {
    let units = table.need("units")?;
    let from_classes = matches!(&units.value, Value::Text(t) if t == "classes");
    if from_classes && !last {
        let message = "units can be \"classes\" in the last dense layer only";
        return Err(RecipeError::at(&units.place, message));
    }
    match &units.value {
        Value::Text(_) if from_classes => Ok((0, true)),
        Value::Text(_) => {
            Err(must(units, "units", &format!("a whole number from 1 to {} or \"classes\"", SIZES.end())))
        }
        _ => Ok((whole(units, "units", SIZES)?, false)),
    }
}

fn flag(node: &Node, key: &str) -> Result<bool, RecipeError> {
    match node.value {
        Value::Flag(b) => Ok(b),
        _ => Err(must(node, key, "true or false")),
    }
}

fn bias(table: &Table) -> Result<bool, RecipeError> {
    table.get("bias").map_or(Ok(true), |n| flag(n, "bias"))
}
