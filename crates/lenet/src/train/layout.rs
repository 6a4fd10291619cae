//! The names of a run's files, for all that write, read or serve them.

pub use crate::model::layout::DIRECTORY as MODEL;

/// Where runs are numbered unless another directory is given.
pub const RUNS: &str = "runs";

/// What decided the training, resolved. Where this file is, there is a run.
pub const RECIPE: &str = "recipe.toml";

/// What the run was done with: version, CPU, threads, the data's checksums.
pub const ENVIRONMENT: &str = "environment.json";

/// One line per epoch ([`super::EpochMetrics`]).
pub const METRICS: &str = "metrics.jsonl";

/// The same as a table.
pub const METRICS_TABLE: &str = "metrics.csv";

/// How the names of the event files for TensorBoard begin.
pub const EVENTS: &str = "events.out.tfevents.";

/// The directory of the checkpoints.
pub const CHECKPOINTS: &str = "checkpoint";

/// The checkpoint that a resumed run goes on from, in [`CHECKPOINTS`].
pub const LAST: &str = "last.safetensors";

/// The checkpoint of the epoch with the best validation accuracy, in [`CHECKPOINTS`].
pub const BEST: &str = "best.safetensors";

/// The run as a page for the browser.
pub const REPORT: &str = "report.html";

/// The file that the training process locks.
pub(super) const LOCK: &str = ".lock";
