//! How a network learns, as data.

#[cfg(feature = "train")]
use super::error::did_you_mean;
use super::keyed::keyed;
#[cfg(feature = "train")]
use super::layers::Range;
use super::named::named;
use super::{Optimizer, Schedule};
use std::fmt;

keyed! {
    #![cfg(feature = "train")]
    /// How it learns.
    pub struct TrainRecipe {
        /// Passes over the training images.
        pub epochs: usize = 5, Whole(1..=1_000_000);
        /// Images per step.
        pub batch: usize = 256, Whole(1..=1_000_000);
        /// Learning rate; the schedule changes it over the steps.
        pub lr: f32 = 0.9, Number(Range::POSITIVE.said("a number above 0, for example 0.1"));
        /// Seed of all random numbers: of initial weights, the order of the images, augmentation, dropout.
        pub seed: u64 = 0, Whole(0..=u64::MAX);
        /// How weights start; biases start at 0.
        pub init: Init = Init::XavierUniform, Choice;
        /// Factor of the initialiser's bound or standard deviation.
        pub init_gain: f32 = 1.0, Number(Range::FACTOR);
        /// Standard deviation of the initial weights with `init = "normal"`; the other initialisers have their own.
        pub init_std: f32 = 0.01, Number(Range::FACTOR);
        /// Directory of a model, or of its run, whose parameters the training starts with instead.
        pub init_from: Option<String> = None, Text("the directory of a model or of a run");
        /// Seconds from one checkpoint to the next within an epoch; 0 saves at the ends of epochs only.
        pub checkpoint_seconds: u64 = 60, Whole(0..=366 * 24 * 3600);
        /// Whether the event files for TensorBoard get histograms of the weights after every epoch.
        pub histograms: bool = false, Flag;
        /// What gradients do to parameters.
        pub optimizer: Optimizer = Optimizer::default();
        /// How the learning rate goes.
        pub schedule: Schedule = Schedule::default();
        /// Largest L2 norm of the whole gradient; a longer one is scaled down to it.
        pub clip_norm: Option<f32> = None, Number(Range::POSITIVE);
        /// Decay per step of a moving average of the weights, which is then what is evaluated and saved as the model.
        pub ema: Option<f32> = None, Number(Range::INSIDE.said("above 0 and below 1, for example 0.999"));
        /// Share of the training images of each class that is kept for validation; 0 for none.
        pub val_fraction: f32 = 0.0, Number(Range::SHARE);
        /// Evaluations without a better validation accuracy after which training ends; there is one every
        /// `evaluate_every` epochs.
        pub patience: Option<usize> = None, Whole(1..=1_000_000);
        /// Epochs from one evaluation on validation and test images to the next; the last epoch is evaluated always.
        pub evaluate_every: usize = 1, Whole(1..=1_000_000);
    }
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

/// A name that is no initialiser.
#[cfg(feature = "train")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown initialiser {name:?}{hint} (known: {})", Init::names().join(", "))]
pub struct UnknownInit {
    name: String,
    hint: String,
}

#[cfg(feature = "train")]
impl std::str::FromStr for Init {
    type Err = UnknownInit;

    fn from_str(name: &str) -> Result<Self, UnknownInit> {
        let unknown = || UnknownInit { name: name.into(), hint: did_you_mean(name, &Init::names()) };
        Init::ALL.into_iter().find(|i| i.name() == name).ok_or_else(unknown)
    }
}
