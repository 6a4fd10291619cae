//! Why there is no report.

use crate::engine::EngineError;
use crate::metrics::MetricsError;
use crate::model::ModelError;
use crate::spec::RecipeError;
use crate::train::RunError;
use std::io;
use std::path::PathBuf;

/// Most runs in one report: there are so many colours and dashes to tell them apart by.
pub const MOST_RUNS: usize = 8;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The run's directory.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run's recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The run's model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The run's environment.
    #[error("{path}: {error}; without it, restore or remove the file")]
    Environment {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: io::Error,
    },
    /// The network's computation.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The images do not belong to the run, or there are none.
    #[error("{0}")]
    Data(String),
    /// More runs than one report holds, or none.
    #[error("{0} runs for one report: it takes 1 to {MOST_RUNS}")]
    Runs(usize),
    /// A picture or a chart that could not be drawn.
    #[error("cannot draw {what}: {reason}")]
    Drawing {
        /// What was to be drawn.
        what: &'static str,
        /// What the library said.
        reason: String,
    },
}
