//! The recipe: data, network and training as one text file.

use super::Layer;
use crate::data::Normalization;

/// Everything that decides what a training computes.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// What is learnt from.
    pub data: DataRecipe,
    /// What learns.
    pub model: ModelRecipe,
    /// How it learns.
    pub train: TrainRecipe,
}

/// What is learnt from.
#[derive(Clone, Debug, PartialEq)]
pub struct DataRecipe {
    /// A name (`fashion-mnist`) or `idx:DIR`.
    pub source: String,
    /// How bytes become inputs; `None` is [`Normalization::unit`].
    pub normalization: Option<Normalization>,
    /// Only the first so many training images.
    pub train_limit: Option<usize>,
    /// Only the first so many test images.
    pub test_limit: Option<usize>,
}

/// What learns.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRecipe {
    /// Channels, rows, columns; `None` takes the data's.
    pub input: Option<[usize; 3]>,
    /// The layers, first to last.
    pub layers: Vec<Layer>,
    /// Whether the last dense layer has as many units as the data has classes (`units = "classes"`).
    pub units_from_classes: bool,
}

/// How it learns.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainRecipe {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images a step.
    pub batch: usize,
    /// Learning rate.
    pub lr: f32,
    /// Seed of the initial weights and of the shuffling.
    pub seed: u64,
    /// How weights start; biases start at zero.
    pub init: Init,
    /// Seconds between checkpoints within an epoch; 0 for none but those at the ends of epochs.
    pub checkpoint_seconds: u64,
}

/// How weights start; `fan_in` and `fan_out` as PyTorch counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Init {
    /// Uniform within ±√(6 / (fan_in + fan_out)).
    XavierUniform,
    /// Normal, variance 2 / (fan_in + fan_out).
    XavierNormal,
    /// Uniform within ±√(6 / fan_in).
    KaimingUniform,
    /// Normal, variance 2 / fan_in.
    KaimingNormal,
    /// Normal, variance 1 / fan_in.
    LecunNormal,
    /// Normal, standard deviation 0.01.
    Normal,
}
