//! Checkpoints: all that a training needs to go on, in one file.

use crate::fs::write_atomic;
use crate::model::{read_bounded, tensors};
use crate::spec::{Network, Recipe};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

const VERSION: u32 = 1;
const KEY: &str = "lenet_checkpoint";

/// Where a training is, with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The parameter slab.
    pub parameters: Vec<f32>,
    /// What decides the training, as text: the recipe with `epochs` and `checkpoint_seconds` left out of account.
    pub identity: String,
    /// Epochs done.
    pub epoch: usize,
    /// Steps done of the epoch after these.
    pub step: usize,
    /// Sum of the losses of the samples of these steps.
    pub loss: f64,
    /// Hits among them.
    pub correct: usize,
    /// Seconds that these steps took.
    pub seconds: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    version: u32,
    identity: String,
    epoch: usize,
    step: usize,
    /// Bits in hexadecimal: a sum must come back exactly.
    loss: String,
    correct: usize,
    seconds: f64,
    /// SHA-256 of the parameters' bytes and of all other values.
    sha256: String,
}

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file cannot be read or is not what it should be.
    #[error("checkpoint {path} {what}; go on from another checkpoint, or train anew")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The checkpoint belongs to another training.
    #[error(
        "checkpoint {path} belongs to another recipe: {difference}; resume with the recipe of that run, or train anew"
    )]
    OtherRecipe {
        /// The file.
        path: PathBuf,
        /// The first difference.
        difference: String,
    },
    /// The file cannot be written.
    #[error(
        "checkpoint {path} could not be written: {error}; make room or mend the directory's rights (an earlier checkpoint stays), then --resume"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

/// The recipe without what may change between a training and its continuation.
pub(super) fn identity(recipe: &Recipe) -> String {
    let mut recipe = recipe.clone();
    recipe.train.epochs = 1;
    recipe.train.checkpoint_seconds = 0;
    recipe.to_toml()
}

impl State {
    fn digest(&self, parameters: &[f32]) -> String {
        let mut sha = Sha256::new();
        parameters.iter().for_each(|p| sha.update(p.to_le_bytes()));
        let State { version, identity, epoch, step, loss, correct, seconds, .. } = self;
        sha.update(format!("{version}\n{identity}\n{epoch} {step} {loss} {correct} {:x}", seconds.to_bits()));
        sha.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

impl Checkpoint {
    /// Writes the checkpoint, whole or not at all.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn save(&self, network: &Network, path: &Path) -> Result<(), CheckpointError> {
        let mut state = State {
            version: VERSION,
            identity: self.identity.clone(),
            epoch: self.epoch,
            step: self.step,
            loss: format!("{:016x}", self.loss.to_bits()),
            correct: self.correct,
            seconds: self.seconds,
            sha256: String::new(),
        };
        state.sha256 = state.digest(&self.parameters);
        let bytes = serde_json::to_string(&state)
            .map_err(|e| e.to_string())
            .and_then(|json| tensors::to_bytes(network, &self.parameters, KEY, &json))
            .map_err(|what| CheckpointError::Invalid { path: path.to_path_buf(), what })?;
        write_atomic(path, &bytes).map_err(|error| CheckpointError::Write { path: path.to_path_buf(), error })
    }

    /// Reads a checkpoint of this recipe's training, and believes nothing in it before it was checked.
    ///
    /// # Errors
    /// What is wrong with the file, or how its recipe differs.
    pub fn load(network: &Network, recipe: &Recipe, path: &Path) -> Result<Checkpoint, CheckpointError> {
        let invalid = |what: String| CheckpointError::Invalid { path: path.to_path_buf(), what };
        let bytes = read_bounded(path).map_err(|e| invalid(format!("cannot be read: {e}")))?;
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes)
            .map_err(|e| invalid(format!("is damaged: it is no whole safetensors file ({e})")))?;
        let json = header.metadata().as_ref().and_then(|m| m.get(KEY));
        let json = json.ok_or_else(|| invalid(format!("is no checkpoint: it has no '{KEY}' in its metadata")))?;
        let state: State = serde_json::from_str(json).map_err(|e| invalid(format!("is damaged: '{KEY}': {e}")))?;
        if state.version != VERSION {
            return Err(invalid(format!("has version {}, this program reads {VERSION}", state.version)));
        }
        let own = identity(recipe);
        if state.identity != own {
            let difference = difference(&state.identity, &own);
            return Err(CheckpointError::OtherRecipe { path: path.to_path_buf(), difference });
        }
        let parameters =
            tensors::from_bytes(network, &bytes).map_err(|what| invalid(format!("is damaged: it {what}")))?;
        if state.digest(&parameters) != state.sha256 {
            return Err(invalid("is damaged: its checksum does not fit its content".to_string()));
        }
        let loss = u64::from_str_radix(&state.loss, 16).map_err(|e| invalid(format!("is damaged: 'loss': {e}")))?;
        let State { identity, epoch, step, correct, seconds, .. } = state;
        Ok(Checkpoint { parameters, identity, epoch, step, loss: f64::from_bits(loss), correct, seconds })
    }
}

/// The first line in which two recipes differ.
fn difference(theirs: &str, ours: &str) -> String {
    let mut lines = theirs.lines().zip(ours.lines());
    match lines.find(|(a, b)| a != b) {
        Some((a, b)) => format!("it has `{a}` where this recipe has `{b}`"),
        None => "one of them has more layers".to_string(),
    }
}
