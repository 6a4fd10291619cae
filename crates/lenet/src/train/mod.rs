//! Training: sessions and their runs, the loop, checkpoints, the order of samples.
//!
//! ```text
//! recipe + data → Session → Trainer → events, run directory → model
//! ```
//!
//! Without the feature `train` there is what a loop of one's own needs beside [`crate::engine::initialize`]: [`permutation`], [`split()`], and
//! [`crate::engine::Engine::step`].

#[cfg(feature = "train")]
mod checkpoint;
#[cfg(feature = "train")]
mod environment;
#[cfg(feature = "train")]
mod error;
#[cfg(feature = "train")]
mod evaluate;
#[cfg(feature = "train")]
mod event;
#[cfg(feature = "train")]
mod history;
#[cfg(feature = "train")]
mod images;
#[cfg(feature = "train")]
pub mod layout;
#[cfg(feature = "train")]
mod lr_find;
#[cfg(feature = "train")]
mod recipe;
#[cfg(feature = "train")]
mod run;
mod sampler;
#[cfg(feature = "train")]
mod session;
mod split;
#[cfg(feature = "train")]
mod start;
#[cfg(feature = "train")]
mod tensorboard;
#[cfg(all(test, feature = "train"))]
mod tests;
#[cfg(feature = "train")]
mod trainer;

#[cfg(feature = "train")]
pub use checkpoint::Checkpoint;
#[cfg(feature = "train")]
pub use environment::Machine;
#[cfg(feature = "train")]
pub use error::{CheckpointError, CheckpointFault, RunError, TrainError};
#[cfg(feature = "train")]
pub use evaluate::evaluate;
#[cfg(feature = "train")]
pub use event::{Control, EpochMetrics, Event, Outcome};
#[cfg(feature = "train")]
pub use lr_find::{LrCurve, LrPoint, LrRange, lr_find};
#[cfg(feature = "train")]
pub use recipe::recipe_split;
#[cfg(feature = "train")]
pub use run::Run;
pub use sampler::permutation;
#[cfg(feature = "train")]
pub use session::Session;
pub use split::split;
#[cfg(feature = "train")]
pub use trainer::Trainer;
