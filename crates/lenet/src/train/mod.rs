//! Training: initialisers, the order of samples, the loop, checkpoints, run directories.

mod checkpoint;
mod codes;
mod evaluate;
mod event;
mod init;
mod lr_find;
pub mod random;
mod run;
mod sampler;
mod split;
mod tensorboard;
mod trainer;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use evaluate::evaluate;
pub use event::{Control, EpochMetrics, Event, Outcome};
pub use init::{initial_buffers, initialize};
pub use lr_find::{LrCurve, LrPoint, LrRange, lr_find};
pub use run::{Run, RunError};
pub use sampler::permutation;
pub use split::{recipe_split, split};
pub use trainer::{TrainError, Trainer};
