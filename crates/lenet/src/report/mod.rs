//! Reports: one run, or several compared, as one HTML file that needs nothing else, neither scripts nor the network.
//!
//! ```text
//! RunReport::read (the run's files) → RunReport::examine (a dataset's images) → html
//! ```

mod chart;
mod compare;
mod examine;
mod page;
mod picture;
mod sections;

pub use examine::{Activations, Evidence, Example, Filters, Part};

use crate::engine::EngineError;
use crate::metrics::MetricsError;
use crate::model::{Model, ModelError};
use crate::spec::Summary;
use crate::spec::{Network, Recipe, RecipeError};
use crate::train::{EpochMetrics, Run, RunError};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};

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

/// All that a report shows of one run.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Name of the run's directory.
    pub name: String,
    /// What decided the training.
    pub recipe: Recipe,
    /// What `environment.json` says; null if there is none.
    pub environment: Value,
    /// Metrics of the epochs done.
    pub metrics: Vec<EpochMetrics>,
    /// The network, once it is known: from the model, or from recipe and data.
    pub network: Option<Network>,
    /// The model; a run that has not ended has none.
    pub model: Option<Model>,
    /// What the model does on images, after [`RunReport::examine`].
    pub evidence: Option<Evidence>,
}

impl RunReport {
    /// Reads a run's directory, locking nothing: the run may be going on.
    ///
    /// # Errors
    /// A directory that is no run, files that are damaged.
    pub fn read(dir: &Path) -> Result<Self, ReportError> {
        let recipe = dir.join("recipe.toml");
        if !recipe.is_file() {
            return Err(RunError::NotARun(dir.to_path_buf()).into());
        }
        let recipe = Recipe::load(&recipe.to_string_lossy())?;
        let model = match dir.join("model") {
            model if model.join("config.json").is_file() => Some(Model::load(&model)?),
            _ => None,
        };
        Ok(RunReport {
            name: name(dir),
            recipe,
            environment: environment(&dir.join("environment.json"))?,
            metrics: Run::metrics_of(dir)?,
            network: model.as_ref().map(|m| m.network.clone()),
            model,
            evidence: None,
        })
    }

    fn summary(&self) -> Option<Summary> {
        self.network.as_ref().map(Summary::new)
    }

    /// Metrics of the last epoch.
    fn last(&self) -> Option<&EpochMetrics> {
        self.metrics.last()
    }
}

/// The directory's own name, also of `.` and the like.
fn name(dir: &Path) -> String {
    let whole = dir.canonicalize().unwrap_or_else(|_| dir.to_path_buf());
    whole.file_name().map_or_else(|| "run".into(), |n| n.to_string_lossy().into_owned())
}

fn environment(path: &Path) -> Result<Value, ReportError> {
    let wrong = |error| ReportError::Environment { path: path.to_path_buf(), error };
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Value::Null),
        Err(error) => Err(wrong(error)),
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|e| wrong(e.into())),
    }
}

/// The report as the text of an HTML file: of one run, or of several compared with the first.
///
/// The same runs give the same bytes. All names are escaped.
///
/// # Errors
/// No run or more than [`MOST_RUNS`], or a chart that cannot be drawn.
pub fn html(runs: &[RunReport]) -> Result<String, ReportError> {
    if runs.is_empty() || runs.len() > MOST_RUNS {
        return Err(ReportError::Runs(runs.len()));
    }
    let names = distinct(runs);
    let title = match &names[..] {
        [one] => format!("Report of {one}"),
        several => format!("{} compared", several.join(", ")),
    };
    let page = if let [run] = runs {
        page::page(&title, &sections::run(run, &names[0], "", 2)?, &[])
    } else {
        let compared = compare::sections(runs, &names)?;
        let each = runs.iter().zip(&names).enumerate();
        let each = each.map(|(i, (run, name))| Ok((name.clone(), sections::run(run, name, &format!("run{i}-"), 3)?)));
        page::page(&title, &compared, &each.collect::<Result<Vec<_>, ReportError>>()?)
    };
    Ok(page.into_string())
}

/// The runs' names; those that come twice are numbered.
fn distinct(runs: &[RunReport]) -> Vec<String> {
    let count = |i: usize| runs[..i].iter().filter(|r| r.name == runs[i].name).count();
    let twice = |i: usize| runs.iter().filter(|r| r.name == runs[i].name).count() > 1;
    let name = |i: usize| if twice(i) { format!("{} ({})", runs[i].name, count(i) + 1) } else { runs[i].name.clone() };
    (0..runs.len()).map(name).collect()
}

#[cfg(test)]
mod tests;
