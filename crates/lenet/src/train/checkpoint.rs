//! Checkpoints: all that a training needs to go on, in one file.

use super::error::{CheckpointError, CheckpointFault, line};
use crate::data::Dataset;
use crate::fs::{hex, write_atomic};
use crate::model::read_bounded;
use crate::spec::{Network, Recipe};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

mod file;

const VERSION: u32 = 2;
const KEY: &str = "lenet_checkpoint";
/// What is kept beside the parameters; empty slabs are left out.
pub(super) const BUFFERS: &str = "buffers";
pub(super) const OPTIMIZER: &str = "optimizer.state";
pub(super) const EMA_PARAMETERS: &str = "ema.parameters";
pub(super) const EMA_BUFFERS: &str = "ema.buffers";
const SLABS: [&str; 4] = [BUFFERS, OPTIMIZER, EMA_PARAMETERS, EMA_BUFFERS];

/// Where a training is, with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The parameter slab.
    pub parameters: Vec<f32>,
    /// What else the training keeps: `buffers`, `optimizer.state`, `ema.parameters`, `ema.buffers`.
    pub slabs: BTreeMap<String, Vec<f32>>,
    /// What decides the training, as TOML: the recipe with `epochs`, `checkpoint_seconds` and the like left out of account, and the
    /// data's fingerprint.
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
    /// Bits in hexadecimal, too: the checksum is of them.
    seconds: String,
    /// SHA-256 of the parameters' bytes and of all other values.
    sha256: String,
}

/// SHA-256 of the class names, the labels, and the pixels of up to 1,024 images spread over all: to read every pixel
/// would cost more than the start of a training may take.
fn fingerprint(train: &Dataset) -> String {
    let mut sha = Sha256::new();
    train.classes.iter().for_each(|class| sha.update(format!("{class}\n")));
    train.labels.iter().for_each(|label| sha.update(label.to_le_bytes()));
    let step = train.len().div_ceil(1024).max(1);
    (0..train.len()).step_by(step).for_each(|i| sha.update(train.image(i)));
    hex(&sha.finalize())
}

impl State {
    /// The state in a file's header.
    fn read(bytes: &[u8]) -> Result<State, CheckpointFault> {
        let header = safetensors::SafeTensors::read_metadata(bytes);
        let (_, header) = header.map_err(|e| CheckpointFault::Header(line(e)))?;
        let json = header.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or(CheckpointFault::NoState(KEY))?;
        let state: State =
            serde_json::from_str(json).map_err(|e| CheckpointFault::State { key: KEY, reason: line(e) })?;
        match state.version {
            VERSION => Ok(state),
            found => Err(CheckpointFault::Version { found, known: VERSION }),
        }
    }

    /// The checkpoint in a file with this state.
    fn checkpoint(self, network: &Network, bytes: &[u8]) -> Result<Checkpoint, CheckpointFault> {
        let (parameters, slabs) = file::from_bytes(network, &SLABS, bytes)?;
        if self.digest(&parameters, &slabs) != self.sha256 {
            return Err(CheckpointFault::Checksum);
        }
        let float = |field, bits: &str| {
            let value = u64::from_str_radix(bits, 16).map(f64::from_bits).ok().filter(|v| v.is_finite() && *v >= 0.0);
            value.ok_or(CheckpointFault::Number(field))
        };
        let (loss, seconds) = (float("loss", &self.loss)?, float("seconds", &self.seconds)?);
        let State { identity, epoch, step, correct, .. } = self;
        Ok(Checkpoint { parameters, slabs, identity, epoch, step, loss, correct, seconds })
    }

    fn digest(&self, parameters: &[f32], slabs: &BTreeMap<String, Vec<f32>>) -> String {
        let mut sha = Sha256::new();
        parameters.iter().for_each(|p| sha.update(p.to_le_bytes()));
        for (name, values) in slabs {
            sha.update(format!("\n{name} {}\n", values.len()));
            values.iter().for_each(|v| sha.update(v.to_le_bytes()));
        }
        let State { version, identity, epoch, step, loss, correct, seconds, .. } = self;
        sha.update(format!("{version}\n{identity}\n{epoch} {step} {loss} {correct} {seconds}"));
        hex(&sha.finalize())
    }
}

impl Checkpoint {
    /// The [`Checkpoint::identity`] of a recipe's training on these images: the recipe without what may change between a
    /// training and its continuation, and the data's fingerprint.
    pub fn identity_of(recipe: &Recipe, train: &Dataset) -> String {
        let mut recipe = recipe.clone();
        // Prolonging changes nothing that was done, unless the schedule looks at the end.
        if !recipe.train.schedule.depends_on_epochs() {
            recipe.train.epochs = 1;
        }
        recipe.train.checkpoint_seconds = 0;
        recipe.train.histograms = false;
        // Evaluations decide nothing but when patience is out.
        if recipe.train.patience.is_none() {
            recipe.train.evaluate_every = 1;
        }
        recipe.resolve_normalization(train);
        format!("{}\n[dataset]\nimages = {}\nlabels = \"{}\"\n", recipe.to_toml(), train.len(), fingerprint(train))
    }

    /// Writes the checkpoint, whole or not at all.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn save(&self, network: &Network, path: impl AsRef<Path>) -> Result<(), CheckpointError> {
        let path = path.as_ref();
        let mut state = State {
            version: VERSION,
            identity: self.identity.clone(),
            epoch: self.epoch,
            step: self.step,
            loss: format!("{:016x}", self.loss.to_bits()),
            correct: self.correct,
            seconds: format!("{:016x}", self.seconds.to_bits()),
            sha256: String::new(),
        };
        state.sha256 = state.digest(&self.parameters, &self.slabs);
        let bytes = serde_json::to_string(&state)
            .map_err(|e| e.to_string())
            .and_then(|json| file::to_bytes(network, &self.parameters, &self.slabs, KEY, &json))
            .map_err(|reason| CheckpointError::invalid(path, CheckpointFault::Encode(reason)))?;
        write_atomic(path, &bytes).map_err(|error| CheckpointError::Write { path: path.to_path_buf(), error })
    }

    /// Reads a checkpoint of the training with this [`Checkpoint::identity`], and believes nothing in it before it was
    /// checked.
    ///
    /// # Errors
    /// What is wrong with the file, or how its recipe differs.
    pub fn load(network: &Network, own: &str, path: impl AsRef<Path>) -> Result<Checkpoint, CheckpointError> {
        let path = path.as_ref();
        let invalid = |fault| CheckpointError::invalid(path, fault);
        let bytes = read_bounded(path).map_err(|e| invalid(CheckpointFault::Read(e)))?;
        let state = State::read(&bytes).map_err(invalid)?;
        if state.identity != own {
            let difference = line(difference(&state.identity, own));
            return Err(CheckpointError::OtherRecipe { path: path.to_path_buf(), difference });
        }
        state.checkpoint(network, &bytes).map_err(invalid)
    }
}

/// All keys in which two recipes differ, with their values.
fn difference(theirs: &str, ours: &str) -> String {
    let values = |text: &str| {
        let table: toml::Table = text.parse().unwrap_or_default();
        let mut values = BTreeMap::new();
        flatten(String::new(), &toml::Value::Table(table), &mut values);
        values
    };
    let (theirs, ours) = (values(theirs), values(ours));
    let keys: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let value = |values: &BTreeMap<String, String>, key| values.get(key).cloned().unwrap_or("nothing".into());
    let differences = keys.into_iter().filter(|key| theirs.get(*key) != ours.get(*key));
    let words = differences.map(|key| format!("{key} is {} there and {} here", value(&theirs, key), value(&ours, key)));
    words.collect::<Vec<_>>().join(", ")
}

/// Keys with dots, and values as text.
fn flatten(key: String, value: &toml::Value, into: &mut BTreeMap<String, String>) {
    let below = |name: &str| if key.is_empty() { name.to_string() } else { format!("{key}.{name}") };
    match value {
        toml::Value::Table(table) => table.iter().for_each(|(name, v)| flatten(below(name), v, into)),
        toml::Value::Array(items) if items.iter().any(|item| item.is_table()) => {
            items.iter().enumerate().for_each(|(i, v)| flatten(below(&i.to_string()), v, into));
        }
        value => drop(into.insert(key, value.to_string())),
    }
}

#[cfg(test)]
mod tests;
