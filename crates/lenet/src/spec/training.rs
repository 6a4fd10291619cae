//! How a network learns, as data.

use super::named::named;
use super::{Optimizer, Schedule};
use std::fmt;

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
    /// Factor of the initialiser's bound or standard deviation.
    pub init_gain: f32,
    /// Standard deviation of [`Init::Normal`]; the others have their own.
    pub init_std: f32,
    /// Directory of a model, or of its run, whose parameters the training starts with instead.
    pub init_from: Option<String>,
    /// Seconds between checkpoints within an epoch; 0 for none but those at the ends of epochs.
    pub checkpoint_seconds: u64,
    /// Whether the event files get histograms of the weights after every epoch.
    pub histograms: bool,
    /// What gradients do to parameters.
    pub optimizer: Optimizer,
    /// How the learning rate goes.
    pub schedule: Schedule,
    /// Longest L2 norm of the whole gradient; longer ones are scaled down to it.
    pub clip_norm: Option<f32>,
    /// Decay of a moving average of the weights, which is then what is evaluated and saved as the model.
    pub ema: Option<f32>,
    /// Share of the training images of each class that is kept for validation; 0 for none.
    pub val_fraction: f32,
    /// Evaluations without a better validation accuracy after which training ends: there is one every
    /// [`TrainRecipe::evaluate_every`] epochs.
    pub patience: Option<usize>,
    /// Epochs from one evaluation on validation and test images to the next; the last epoch is evaluated always.
    pub evaluate_every: usize,
}

named! {
    /// How weights start; `fan_in` and `fan_out` as PyTorch counts them.
    pub enum Init {
        /// Uniform within ±√(6 / (fan_in + fan_out)).
        XavierUniform = "xavier_uniform",
        /// Normal, variance 2 / (fan_in + fan_out).
        XavierNormal = "xavier_normal",
        /// Uniform within ±√(6 / fan_in).
        KaimingUniform = "kaiming_uniform",
        /// Normal, variance 2 / fan_in.
        KaimingNormal = "kaiming_normal",
        /// Normal, variance 1 / fan_in.
        LecunNormal = "lecun_normal",
        /// Normal, with the standard deviation `init_std`.
        Normal = "normal",
        /// Uniform within ±√(3 / fan_in).
        LecunUniform = "lecun_uniform",
        /// Uniform within ±0.05.
        Uniform = "uniform",
        /// All zero.
        Zero = "zero",
    }
}

impl Default for TrainRecipe {
    fn default() -> Self {
        TrainRecipe {
            epochs: 5,
            batch: 256,
            lr: 0.9,
            seed: 0,
            init: Init::XavierUniform,
            init_gain: 1.0,
            init_std: 0.01,
            init_from: None,
            checkpoint_seconds: 60,
            histograms: false,
            optimizer: Optimizer::default(),
            schedule: Schedule::default(),
            clip_norm: None,
            ema: None,
            val_fraction: 0.0,
            patience: None,
            evaluate_every: 1,
        }
    }
}

impl Init {
    /// The names of all.
    pub fn names() -> [&'static str; Init::ALL.len()] {
        Init::ALL.map(Init::name)
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
