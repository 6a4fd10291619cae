//! Training: initialisers, the order of samples, the loop, checkpoints, run directories.

mod checkpoint;
mod codes;
mod init;
pub mod random;
mod run;
mod sampler;
mod trainer;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use init::{initial_buffers, initialize};
pub use run::{Run, RunError};
pub use sampler::permutation;
pub use trainer::{Control, EpochMetrics, Event, Outcome, TrainError, Trainer, evaluate};
