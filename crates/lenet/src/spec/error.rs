//! What can be wrong with a recipe, and where.

use super::{Init, SpecError};
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
pub enum RecipeError {
    /// Something in the text is wrong.
    #[error("{place}: {message}")]
    Invalid {
        /// Where.
        place: Place,
        /// What, and what to do.
        message: String,
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

impl RecipeError {
    pub(super) fn at(place: &Place, message: impl Into<String>) -> Self {
        RecipeError::Invalid { place: place.clone(), message: message.into() }
    }
}

/// A name that is no initialiser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown initialiser {name:?}{hint} (known: {})", Init::names().join(", "))]
pub struct UnknownInit {
    pub(super) name: String,
    pub(super) hint: String,
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
