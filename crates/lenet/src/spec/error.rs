//! What can be wrong with a recipe, and where.

use super::SpecError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a piece of a recipe was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File {
        /// The file's name, as it was given.
        file: Arc<str>,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// In an override, `key=value`.
    Override(Arc<str>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { file, line, column } => write!(f, "{}:{line}:{column}", one_line(file)),
            Place::Override(assignment) => write!(f, "--set {}", one_line(assignment)),
        }
    }
}

/// Why there is no recipe. Each is one line: where, what, and what to do.
#[derive(Debug, thiserror::Error)]
#[cfg_attr(not(feature = "__exhaustive"), non_exhaustive)]
pub enum RecipeError {
    /// Something in the text is wrong.
    #[error("{place}: {problem}")]
    Invalid {
        /// Where.
        place: Place,
        /// What, and what to do.
        problem: Box<Problem>,
    },
    /// Several things in the text are wrong.
    #[error("{}", .0.iter().map(|e| e.to_string()).collect::<Vec<_>>().join("\n"))]
    Many(Vec<RecipeError>),
    /// There is no file and no preset of this name.
    #[error("no recipe {name:?}: it is neither a file nor a preset{hint} (presets: {presets})")]
    NotFound {
        /// What was asked for.
        name: String,
        /// `, did you mean "…"?`, or nothing.
        hint: String,
        /// The presets' names.
        presets: String,
    },
    /// The file cannot be read.
    #[error("cannot read the recipe {path:?}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is far larger than a recipe.
    #[error("{path:?} is no recipe: it is larger than {limit} bytes")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// The layers are no network.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The recipe is for images of another shape.
    #[error(
        "the data's images are {data:?} (channels, rows, columns), the recipe's model.input is {recipe:?}: \
         change model.input or leave it out"
    )]
    Input {
        /// The recipe's shape.
        recipe: [usize; 3],
        /// The data's shape.
        data: [usize; 3],
    },
    /// The network does not give one score a class.
    #[error(
        "the network ends with {outputs} scores, the data has {classes} classes: \
         write units = \"classes\" in the last dense layer"
    )]
    Classes {
        /// Outputs of the last layer.
        outputs: usize,
        /// The data's classes.
        classes: usize,
    },
    /// The weights are for other classes.
    #[error("train.class_weights has {weights} numbers, the data has {classes} classes: give one a class")]
    ClassWeights {
        /// Numbers given.
        weights: usize,
        /// The data's classes.
        classes: usize,
    },
    /// The normalisation is for another number of channels.
    #[error("data.normalize is for {values} channels, the images have {channels}: give one mean and std a channel")]
    Normalization {
        /// Means and deviations given.
        values: usize,
        /// Channels of an image.
        channels: usize,
    },
}

/// What is wrong with a piece of a recipe. A `hint` is `, did you mean "…"?`, or nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[cfg_attr(not(feature = "__exhaustive"), non_exhaustive)]
#[allow(missing_docs)]
pub enum Problem {
    /// It is no TOML.
    #[error("{0}")]
    Syntax(String),
    #[error("no preset {name}{hint} (presets: {presets})")]
    UnknownPreset { name: String, hint: String, presets: String },
    #[error("the recipe has no section [{0}]")]
    MissingSection(&'static str),
    /// A key that no table, or this one, has.
    #[error("unknown key {key:?}{}{table}{hint} (known: {known})", if .table.is_empty() { "" } else { " in " })]
    UnknownKey { key: String, table: String, hint: String, known: String },
    #[error("missing key {key:?} in {table}")]
    MissingKey { key: &'static str, table: String },
    #[error("missing key \"type\" in a layer (known: {known})")]
    MissingType { known: String },
    /// An initialiser or a type of layer that there is not.
    #[error("unknown {what} {name}{hint} (known: {known})")]
    UnknownName { what: &'static str, name: String, hint: String, known: String },
    /// A value of another type, or out of its range.
    #[error("{key} must be {be}, not {found}{hint}")]
    Value { key: String, be: String, found: String, hint: String },
    #[error("units can be \"classes\" in the last dense layer only")]
    ClassesElsewhere,
    #[error("more than {0} residual blocks in each other")]
    TooDeep(usize),
    #[error(transparent)]
    Spec(#[from] SpecError),
    #[error("data.normalize is for {values} channels, the images have {channels}: give one mean and std a channel")]
    Normalization { values: usize, channels: usize },
    #[error("normalize needs as many means as deviations, it has {means} and {deviations}")]
    Deviations { means: usize, deviations: usize },
    #[error("init_std is for init = \"normal\", {0} takes init_gain")]
    InitStd(&'static str),
    #[error("nesterov needs momentum: set momentum, for example 0.9")]
    Nesterov,
    #[error("warmup_epochs is {warmup}, epochs is {epochs}: warm up for no more")]
    LongWarmup { warmup: usize, epochs: usize },
    #[error("one_cycle warms up by itself: leave warmup_epochs out, or set peak")]
    SecondWarmup,
    #[error("step_epochs is {step}, the run has {epochs} epochs: choose fewer")]
    LongStep { step: usize, epochs: usize },
    #[error("patience needs validation images: set val_fraction, for example 0.1")]
    Patience,
    #[error("it has no \"=\": write key=value, for example train.lr=0.1")]
    NoAssignment,
    #[error("there is no value after \"=\"")]
    NoValue,
    #[error("a preset cannot be set on top of a recipe: name it in the recipe's place")]
    PresetOnTop,
    #[error("the key has an empty part: write for example train.lr=0.1")]
    EmptyPart,
    #[error("the key has {parts} parts, no key has more than {most}")]
    LongKey { parts: usize, most: usize },
    #[error("{list} is a list of {len}: give a position from 0 to {}, not {position:?}", .len.saturating_sub(1))]
    Position { list: String, len: usize, position: String },
    #[error("{node} is {value}, it has no key {key:?}")]
    NoTable { node: String, value: String, key: String },
    #[error("the recipe has no {sort} layer ({kinds})")]
    NoLayer { sort: &'static str, kinds: String },
    #[error("the recipe has no layer of that sort ({kinds})")]
    NoLayers { kinds: String },
    #[error("the recipe has {layers} {sort} layers: give a number from 0 to {}, not {number:?}", .layers - 1)]
    LayerNumber { sort: &'static str, layers: usize, number: String },
}

impl RecipeError {
    pub(super) fn at(place: &Place, problem: Problem) -> Self {
        RecipeError::Invalid { place: place.clone(), problem: problem.into() }
    }
}

/// `, did you mean "…"?` if one of the known names is close to `name`, else nothing.
pub(super) fn did_you_mean(name: &str, known: &[&str]) -> String {
    let name = name.to_lowercase();
    let close = known.iter().map(|k| (strsim::jaro_winkler(&name, k), k)).filter(|(s, _)| *s >= 0.75);
    match close.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((_, best)) => format!(", did you mean {best:?}?"),
        None => String::new(),
    }
}

/// Text without control characters, so that a message stays one line whatever was in a file.
pub(super) fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
