//! Training: the order of samples, the loop, checkpoints, run directories.
//!
//! Without the feature `train` there is what a loop of one's own needs beside [`crate::engine::initialize`]: [`permutation`], [`split()`], and
//! [`crate::engine::Engine::step`].

#[cfg(feature = "train")]
mod checkpoint;
#[cfg(feature = "train")]
mod evaluate;
#[cfg(feature = "train")]
mod event;
#[cfg(feature = "train")]
mod lr_find;
#[cfg(feature = "train")]
mod recipe;
#[cfg(feature = "train")]
mod run;
mod sampler;
mod split;
#[cfg(feature = "train")]
mod start;
#[cfg(feature = "train")]
mod tensorboard;
#[cfg(feature = "train")]
mod trainer;

#[cfg(feature = "train")]
pub use checkpoint::{Checkpoint, CheckpointError};
#[cfg(feature = "train")]
pub use evaluate::evaluate;
#[cfg(feature = "train")]
pub use event::{Control, EpochMetrics, Event, Outcome};
#[cfg(feature = "train")]
pub use lr_find::{LrCurve, LrPoint, LrRange, lr_find};
#[cfg(feature = "train")]
pub use recipe::recipe_split;
#[cfg(feature = "train")]
pub use run::{Run, RunError};
pub use sampler::permutation;
pub use split::split;
#[cfg(feature = "train")]
pub use trainer::{TrainError, Trainer};
