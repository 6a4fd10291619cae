//! What a report shows of a run.

use super::error::ReportError;
use super::evidence::Evidence;
use crate::model::Model;
use crate::model::layout::CONFIG;
use crate::spec::{Network, Recipe, Summary};
use crate::train::layout::{ENVIRONMENT, MODEL};
use crate::train::{EpochMetrics, Run};
use serde_json::Value;
use std::io;
use std::path::Path;

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
        let recipe = Recipe::load(&Run::recipe_path(dir)?.to_string_lossy())?;
        let model = match dir.join(MODEL) {
            model if model.join(CONFIG).is_file() => Some(Model::load(&model)?),
            _ => None,
        };
        Ok(RunReport {
            name: name(dir),
            recipe,
            environment: environment(&dir.join(ENVIRONMENT))?,
            metrics: Run::metrics_of(dir)?,
            network: model.as_ref().map(|m| m.network.clone()),
            model,
            evidence: None,
        })
    }

    pub(super) fn summary(&self) -> Option<Summary> {
        self.network.as_ref().map(Summary::new)
    }

    /// Metrics of the last epoch.
    pub(super) fn last(&self) -> Option<&EpochMetrics> {
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
