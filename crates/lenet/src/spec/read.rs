//! From a document to a recipe, by the tables of sections and layers.

use super::document::{Document, kind};
use super::error::{Problem, RecipeError, did_you_mean};
use super::layers::{Field, Key, SIZES};
use super::node::{Node, Value};
use super::{Augment, DataRecipe, Init, Layer, ModelRecipe, Optimizer, OptimizerKind, Recipe, ScheduleKind};
use super::{Spec, SpecError, TargetRecipe, TrainRecipe, lenet5_connections};
use std::ops::RangeInclusive;

/// Residual blocks within residual blocks, at most.
const DEPTH: usize = 4;

impl Recipe {
    /// Reads a recipe from its text; `file_name` is what errors call it.
    ///
    /// ```
    /// use lenet::spec::Recipe;
    /// let error = Recipe::parse("preset = \"lenet\"\n[train]\nepoch = 3", "my.toml").unwrap_err();
    /// assert!(error.to_string().starts_with("my.toml:3:1: unknown key \"epoch\" in [train], did you mean \"epochs\"?"));
    /// ```
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and column.
    pub fn parse(text: &str, file_name: &str) -> Result<Recipe, RecipeError> {
        Document::parse(text, file_name)?.recipe()
    }

    /// A preset, or a recipe from a file.
    ///
    /// # Errors
    /// No such preset or file, a file that cannot be read, or as [`Recipe::parse`].
    pub fn load(name_or_path: &str) -> Result<Recipe, RecipeError> {
        Document::load(name_or_path)?.recipe()
    }

    /// As [`Recipe::load`], with overrides (`train.lr=0.1`) on top, later ones over earlier ones. What is wrong before
    /// the overrides and right after them is no error.
    ///
    /// # Errors
    /// As [`Recipe::load`] and [`Document::set`].
    pub fn load_with(name_or_path: &str, overrides: &[impl AsRef<str>]) -> Result<Recipe, RecipeError> {
        let mut document = Document::load(name_or_path)?;
        overrides.iter().try_for_each(|o| document.set(o.as_ref()))?;
        document.recipe()
    }

    /// Changes values by overrides (`train.lr=0.1`); all or, if one is wrong, none.
    ///
    /// # Errors
    /// As [`Document::set`] and [`Document::recipe`].
    pub fn apply_overrides(&mut self, overrides: &[impl AsRef<str>]) -> Result<(), RecipeError> {
        let mut document = Document::parse(&self.to_toml(), "recipe")?;
        overrides.iter().try_for_each(|o| document.set(o.as_ref()))?;
        *self = document.recipe()?;
        Ok(())
    }

    /// Changes one value by an override, `train.lr=0.1`.
    ///
    /// # Errors
    /// As [`Recipe::apply_overrides`].
    pub fn set(&mut self, assignment: &str) -> Result<(), RecipeError> {
        self.apply_overrides(&[assignment])
    }
}

impl Document {
    /// What the document says, with every default in its place.
    ///
    /// # Errors
    /// The first thing that is wrong, and where it was written. If the recipe gives the input's shape, that includes
    /// layers that do not fit.
    pub fn recipe(&self) -> Result<Recipe, RecipeError> {
        first(self.unknown_sections())?;
        let (data, model, (train, targets)) = (self.data()?, self.model()?, self.train()?);
        let recipe = Recipe { data, model, train, targets, augment: self.augment()? };
        let Some(input) = recipe.model.input else { return Ok(recipe) };
        if let Some(n) = recipe.data.normalization.given() {
            let (values, channels) = (n.mean.len(), input[0]);
            if values != channels {
                let place = &self.need("data")?.get("normalize").unwrap_or(&self.root).place;
                return Err(RecipeError::at(place, Problem::Normalization { values, channels }));
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
        let list = layers.and_then(Node::list).unwrap_or(&[]);
        let layer = error.layer().map_or(list.last(), |i| list.get(i));
        let input = model.and_then(|m| m.get("input"));
        let node = if matches!(error, SpecError::Input { .. }) { input } else { layer };
        RecipeError::at(&node.or(layers).unwrap_or(&self.root).place, Problem::Spec(error))
    }

    pub(super) fn unknown_sections(&self) -> Vec<RecipeError> {
        let sections = Recipe::section_keys().map(|(name, _)| name);
        self.root.unknown_keys("the recipe", &[&sections[..], &["preset"]].concat())
    }

    fn need(&self, section: &'static str) -> Result<&Node, RecipeError> {
        let missing = || RecipeError::at(&self.root.place, Problem::MissingSection(section));
        self.root.get(section).ok_or_else(missing)
    }

    pub(super) fn data(&self) -> Result<DataRecipe, RecipeError> {
        let mut data = DataRecipe::default();
        first(fill(self.need("data")?, "[data]", data.keys()).errors)?;
        Ok(data)
    }

    pub(super) fn model(&self) -> Result<ModelRecipe, RecipeError> {
        let mut model = ModelRecipe::default();
        first(fill(self.need("model")?, "[model]", model.keys()).errors)?;
        Ok(ModelRecipe { input: model.input, ..ModelRecipe::of(model.layers) })
    }

    pub(super) fn train(&self) -> Result<(TrainRecipe, TargetRecipe), RecipeError> {
        let (mut train, mut targets) = (TrainRecipe::default(), TargetRecipe::default());
        let Some(node) = self.root.get("train") else { return Ok((train, targets)) };
        // Each optimizer has its own defaults.
        let kind =
            OptimizerKind::ALL.into_iter().find(|k| node.get("optimizer").and_then(Node::text) == Some(k.name()));
        train.optimizer = kind.map_or(train.optimizer, Optimizer::new);
        let mut wrong = fill(node, "[train]", train.keys().into_iter().chain(targets.keys()).collect());
        for (key, others, problem) in conflicts(&train, node.get("init_std").is_some()) {
            // What a wrong value conflicts with, its right value may not.
            if ![&[key], others].concat().iter().any(|key| wrong.keys.contains(key)) {
                wrong.errors.push(RecipeError::at(&node.get(key).unwrap_or(node).place, problem));
            }
        }
        match wrong.errors.len() {
            0 => Ok((train, targets)),
            1 => Err(wrong.errors.remove(0)),
            _ => Err(RecipeError::Many(wrong.errors)),
        }
    }

    pub(super) fn augment(&self) -> Result<Augment, RecipeError> {
        let mut augment = Augment::default();
        let Some(node) = self.root.get("augment") else { return Ok(augment) };
        first(fill(node, "[augment]", augment.keys()).errors)?;
        Ok(augment)
    }
}

fn first(errors: Vec<RecipeError>) -> Result<(), RecipeError> {
    errors.into_iter().next().map_or(Ok(()), Err)
}

/// Keys of `[train]` that are right by themselves but not beside others, and these others.
fn conflicts(t: &TrainRecipe, has_init_std: bool) -> Vec<(&'static str, &'static [&'static str], Problem)> {
    let (o, s, epochs) = (&t.optimizer, &t.schedule, t.epochs);
    let (warmup, step) = (s.warmup_epochs, s.step_epochs);
    let still = o.kind == OptimizerKind::Sgd && o.nesterov && o.momentum == 0.0;
    let blind = t.patience.is_some() && t.val_fraction == 0.0;
    let all: [(bool, &str, &[&str], Problem); 6] = [
        (has_init_std && t.init != Init::Normal, "init_std", &["init"], Problem::InitStd(t.init.name())),
        (still, "nesterov", &["optimizer", "momentum"], Problem::Nesterov),
        (warmup > epochs, "warmup_epochs", &["epochs"], Problem::LongWarmup { warmup, epochs }),
        (s.kind == ScheduleKind::OneCycle && warmup > 0, "warmup_epochs", &["schedule"], Problem::SecondWarmup),
        (
            s.kind == ScheduleKind::Step && step >= epochs,
            "step_epochs",
            &["epochs"],
            Problem::LongStep { step, epochs },
        ),
        (blind, "patience", &["val_fraction"], Problem::Patience),
    ];
    all.into_iter().filter(|c| c.0).map(|(_, key, others, problem)| (key, others, problem)).collect()
}

/// What is wrong with a table, and with which of its keys.
#[derive(Default)]
struct Wrong {
    errors: Vec<RecipeError>,
    keys: Vec<&'static str>,
}

/// Reads the values that a section has for these keys.
fn fill(node: &Node, table: &str, keys: Vec<Key>) -> Wrong {
    let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
    fill_known(node, table, keys, &known, Around { depth: 0, is_last: false })
}

/// What a value may be by where it stands.
#[derive(Clone, Copy)]
struct Around {
    /// Residual blocks around what is within it.
    depth: usize,
    /// Whether its units may be the data's classes.
    is_last: bool,
}

fn fill_known(node: &Node, table: &str, keys: Vec<Key>, known: &[&str], around: Around) -> Wrong {
    let mut wrong = Wrong { errors: node.unknown_keys(table, known), keys: Vec::new() };
    for key in keys {
        let read = match node.get(key.name).or_else(|| node.get(key.like?)) {
            Some(value) => read(key.field, value, key.name, around),
            None if key.is_needed => node.need(key.name, table).map(drop),
            None => Ok(()),
        };
        if let Err(error) = read {
            wrong.errors.push(error);
            wrong.keys.push(key.name);
        }
    }
    wrong
}

fn read(field: Field, node: &Node, key: &str, around: Around) -> Result<(), RecipeError> {
    match field {
        Field::Whole(to, range) => to.set(node.integer(key, &range)?),
        Field::Number(to, range) => {
            let value = node.number().filter(|x| range.contains(*x));
            to.set(value.ok_or_else(|| node.must(key, range.words))?);
        }
        Field::Flag(to) => match node.value {
            Value::Flag(flag) => *to = flag,
            _ => return Err(node.must(key, "true or false")),
        },
        Field::Sides(to, range) => match &node.value {
            Value::List(_) => *to = sizes(node, key, "one number or [rows, columns]", &range)?,
            _ => *to = [node.integer(key, &range)? as usize; 2],
        },
        Field::Triple(to, range) => *to = Some(sizes(node, key, "[channels, rows, columns]", &range)?),
        Field::Units(to) => *to = units(node, key, around.is_last)?,
        Field::Connections(to) => *to = Some(connections(node, key)?),
        Field::Layers(to) => {
            let nodes = node.list().ok_or_else(|| node.must(key, "a list of at least one layer"))?;
            *to = each_layer(nodes, around.depth).collect::<Result<_, _>>()?;
        }
        Field::Choice(to) => {
            let names: Vec<&str> = to.rows().into_iter().map(|[name, _]| name).collect();
            let name = node.text().unwrap_or_default();
            if !to.choose(name) {
                return Err(no_choice(node, key, name, &names));
            }
        }
        Field::Text(to, be) => {
            let text = node.text().filter(|text| !text.trim().is_empty());
            to.set(text.ok_or_else(|| node.must(key, be))?.into());
        }
        Field::Form(to) => to.read(node, key)?,
    }
    Ok(())
}

fn no_choice(node: &Node, key: &str, name: &str, names: &[&str]) -> RecipeError {
    let hint = did_you_mean(name, names);
    match names {
        [a, b] => node.must(key, &format!("{a:?} or {b:?}")),
        _ if key == "init" && node.text().is_some() => {
            let (what, name, known) = ("initialiser", format!("{name:?}"), names.join(", "));
            RecipeError::at(&node.place, Problem::UnknownName { what, name, hint, known })
        }
        _ => node.must_one_of(key, &format!("one of {}", names.join(", ")), hint),
    }
}

/// A list of as many sizes.
fn sizes<const N: usize>(
    node: &Node,
    key: &str,
    be: &str,
    range: &RangeInclusive<u64>,
) -> Result<[usize; N], RecipeError> {
    let Value::List(list) = &node.value else { return Err(node.must(key, be)) };
    if list.len() != N {
        let (key, be, found) = (key.into(), be.into(), format!("a list of {}", list.len()));
        return Err(RecipeError::at(&node.place, Problem::Value { key, be, found, hint: String::new() }));
    }
    let mut sizes = [0; N];
    for (size, node) in sizes.iter_mut().zip(list) {
        *size = node.integer(key, range)? as usize;
    }
    Ok(sizes)
}

/// A number of units, or 0 for the number of classes.
fn units(node: &Node, key: &str, is_last: bool) -> Result<usize, RecipeError> {
    match node.text() {
        Some("classes") if is_last => Ok(0),
        Some("classes") => Err(RecipeError::at(&node.place, Problem::ClassesElsewhere)),
        Some(_) => Err(node.must(key, &format!("a whole number from 1 to {} or \"classes\"", SIZES.end()))),
        None => Ok(node.integer(key, &SIZES)? as usize),
    }
}

/// `"lenet5"`, or the input channels of each output channel.
fn connections(node: &Node, key: &str) -> Result<Vec<Vec<usize>>, RecipeError> {
    let must =
        |node: &Node| node.must(key, "\"lenet5\", or a list with the list of input channels of each output channel");
    let map = |node: &Node| match &node.value {
        Value::List(channels) => channels.iter().map(|c| Ok(c.integer(key, &(0..=*SIZES.end()))? as usize)).collect(),
        _ => Err(must(node)),
    };
    match &node.value {
        Value::Text(name) if name == "lenet5" => Ok(lenet5_connections()),
        Value::List(maps) => maps.iter().map(map).collect(),
        _ => Err(must(node)),
    }
}

/// Each layer of a list by itself. In the network's own list the last one with units may have as many as there are
/// classes.
pub(super) fn each_layer(nodes: &[Node], depth: usize) -> impl Iterator<Item = Result<Layer, RecipeError>> {
    let has_units = |n: &Node| kind(n).is_ok_and(|mut layer| layer.units().is_some());
    let last = if depth == 0 { nodes.iter().rposition(has_units) } else { None };
    nodes.iter().enumerate().map(move |(i, node)| layer(node, Around { depth, is_last: last == Some(i) }))
}

fn layer(node: &Node, around: Around) -> Result<Layer, RecipeError> {
    let mut layer = kind(node)?;
    if matches!(layer, Layer::Residual(_)) && around.depth == DEPTH {
        return Err(RecipeError::at(&node.place, Problem::TooDeep(DEPTH)));
    }
    let table = format!("a {} layer", layer.kind());
    let keys = layer.keys();
    let known: Vec<&str> = std::iter::once("type").chain(keys.iter().map(|key| key.name)).collect();
    first(fill_known(node, &table, keys, &known, Around { depth: around.depth + 1, ..around }).errors)?;
    Ok(layer)
}
