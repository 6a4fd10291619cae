//! What can go wrong with a sweep.

use super::layout::SWEEP;
use crate::spec::RecipeError;
use std::io;
use std::path::PathBuf;

/// Why a sweep cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SweepError {
    /// The file says something that cannot be.
    #[error("{path}: {fault}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        fault: SweepFault,
    },
    /// The directory belongs to another sweep.
    #[error("{0} holds another sweep (its {SWEEP} differs): give another --out, or remove it")]
    Other(PathBuf),
    /// The file system.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// No trial can run; the reason of the first.
    #[error("no trial can run; trial 0: {0}")]
    AllInvalid(Box<RecipeError>),
}

/// What is wrong with a sweep's file.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SweepFault {
    /// It is no TOML, or not a sweep's; what the reader says, in one line.
    #[error("{0}")]
    Syntax(String),
    /// The section that the method draws from is empty.
    #[error("there is no key in [{0}]: give at least one, as \"train.lr\" = [0.1, 0.2]")]
    NoKeys(&'static str),
    /// A key that all trials have in common.
    #[error("{0:?} cannot differ between trials: put it into [set], or seeds = N at the top")]
    Shared(String),
    /// A share for validation that leaves none for validation, or for training.
    #[error("val_fraction must be above 0 and below 1, not {0}")]
    ValFraction(f64),
    /// Nothing to do.
    #[error("seeds, trials and epochs must be at least 1")]
    Zero,
    /// Rungs that go nowhere.
    #[error("[asha] needs min_epochs of at least 1 and a factor of at least 2")]
    Halving,
    /// A key of the grid without values.
    #[error("grid {0:?} must be a list of values")]
    NoList(String),
    /// A distribution that cannot be drawn from.
    #[error("random {key:?} {fault}")]
    Draw {
        /// The key whose values it gives.
        key: String,
        /// What is wrong.
        fault: DrawFault,
    },
    /// Too many trials.
    #[error("{trials} trials: at most {most} are possible")]
    TooMany {
        /// What the file asks for.
        trials: usize,
        /// What is possible.
        most: usize,
    },
}

/// What is wrong with a distribution.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DrawFault {
    /// It is none of those that there are.
    #[error(
        "must be a list of values, {{ log = [low, high] }}, {{ uniform = [low, high] }} or {{ int = [low, high] }}"
    )]
    Kind,
    /// Its ends, low and high, are not in order.
    #[error("must have a low end below its high end, not {0} and {1}")]
    Ends(f64, f64),
    /// A logarithm of what is not above 0.
    #[error("must start above 0 to be logarithmic, not at {0}")]
    Log(f64),
}
