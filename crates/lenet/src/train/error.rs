//! What can go wrong with a training, its run and its checkpoints.

use super::layout::RECIPE;
use crate::engine::EngineError;
use crate::model::ModelError;
use crate::spec::RecipeError;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// Why a training stopped, or did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The engine: divergence, or data that do not fit.
    #[error("{error}{}", where_kept(.kept.as_deref()))]
    Engine {
        /// What the engine said.
        error: EngineError,
        /// The last good checkpoint, if there is one.
        kept: Option<PathBuf>,
    },
    /// The recipe does not fit the data, or has values that none may have.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The run's directory.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Nothing to learn from, or nothing to test with.
    #[error("{train} training and {test} test images: at least one of each is needed")]
    NoImages {
        /// Images for training.
        train: usize,
        /// Images for the test.
        test: usize,
    },
    /// A dataset does not hold an image for each label.
    #[error("the data are {bytes} bytes for {labels} images {shape:?}, channels, rows, columns")]
    Images {
        /// Bytes of all images.
        bytes: usize,
        /// Labels.
        labels: usize,
        /// Channels, rows and columns of an image.
        shape: [usize; 3],
    },
    /// The share for validation is less than one image of each class.
    #[error("train.val_fraction leaves none of {train} images for validation: raise it")]
    NoValidation {
        /// Images for training.
        train: usize,
    },
    /// The engine is for another network than the recipe's.
    #[error("the engine was built for another network than that of the spec")]
    OtherNetwork,
    /// A tensor of the model to start from has another shape.
    #[error(
        "train.init_from: the model {model} is of another network: '{theirs}' has the shape {had:?}, the recipe's '{ours}' has {needed:?}"
    )]
    InitShape {
        /// The model's directory.
        model: String,
        /// The model's tensor.
        theirs: String,
        /// Its shape.
        had: Box<[usize]>,
        /// The recipe's tensor in the same place.
        ours: String,
        /// Its shape.
        needed: Box<[usize]>,
    },
    /// The model to start from has more or fewer tensors.
    #[error(
        "train.init_from: the model {model} is of another network: it has {had} tensors, the recipe's network {needed}"
    )]
    InitTensors {
        /// The model's directory.
        model: String,
        /// Its tensors.
        had: usize,
        /// The tensors of the recipe's network.
        needed: usize,
    },
    /// Learning rates that are no range, or too few steps for a test of them.
    #[error("a range from {from} to {to} in {steps} steps: give 0 < from < to and at least 10 steps")]
    LrRange {
        /// First learning rate.
        from: f32,
        /// Last learning rate.
        to: f32,
        /// Steps between them.
        steps: usize,
    },
}

impl From<EngineError> for TrainError {
    fn from(error: EngineError) -> Self {
        TrainError::Engine { error, kept: None }
    }
}

fn where_kept(checkpoint: Option<&Path>) -> String {
    checkpoint.map_or(String::new(), |path| format!(" (the last good checkpoint is {})", path.display()))
}

/// Why a run's directory cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The file system.
    #[error("run {path}: {error}")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A new run would write over something.
    #[error("{0} is there already and not empty: choose another --out, or go on with --resume {0}")]
    Exists(PathBuf),
    /// There is no run to go on with.
    #[error("{0} is no run: there is no {RECIPE} in it")]
    NotARun(PathBuf),
    /// Another process trains there.
    #[error("run {0} is in use by another process: wait for it, or choose another --out")]
    InUse(PathBuf),
    /// The metrics are not what this program writes.
    #[error("{path}:{epoch}: these are not the metrics of epoch {epoch}; go on from a copy of the file, or train anew")]
    Metrics {
        /// The file.
        path: PathBuf,
        /// The epoch, from 1, whose line it should be.
        epoch: usize,
    },
    /// The metrics of an epoch are gone that the checkpoint has done.
    #[error(
        "{path}:{epoch}: these are not the metrics of epoch {epoch}, which the checkpoint has behind it; go on from a copy of the file, or train anew"
    )]
    LostMetrics {
        /// The file.
        path: PathBuf,
        /// The epoch, from 1, whose line it should be.
        epoch: usize,
    },
}

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file cannot be read or is not what it should be.
    #[error("checkpoint {path} {fault}; go on from another checkpoint, or train anew")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: Box<CheckpointFault>,
    },
    /// The checkpoint belongs to another training.
    #[error(
        "checkpoint {path} belongs to another recipe: {difference}; resume with the recipe and the data of that run, or train anew"
    )]
    OtherRecipe {
        /// The file.
        path: PathBuf,
        /// The keys that differ, with both values.
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
        error: io::Error,
    },
}

impl CheckpointError {
    /// This is wrong with this file.
    pub(super) fn invalid(path: &Path, fault: CheckpointFault) -> Self {
        CheckpointError::Invalid { path: path.to_path_buf(), fault: Box::new(fault) }
    }
}

/// What is wrong with a checkpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointFault {
    /// The file system, or a file that is too large.
    #[error("cannot be read: {0}")]
    Read(ModelError),
    /// The header is not that of a safetensors file, for this reason.
    #[error("is damaged: it is no whole safetensors file ({0})")]
    Header(String),
    /// The tensors are not those that the header tells of, for this reason.
    #[error("is damaged: it is no whole safetensors file: {0}")]
    Content(String),
    /// A safetensors file of something else: it lacks this metadata.
    #[error("is no checkpoint: it has no '{0}' in its metadata")]
    NoState(&'static str),
    /// Metadata that cannot be read.
    #[error("is damaged: '{key}': {reason}")]
    State {
        /// The metadata's key.
        key: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// A checkpoint of another version of the program.
    #[error("has version {found}, this program reads {known}")]
    Version {
        /// The file's.
        found: u32,
        /// The program's.
        known: u32,
    },
    /// A tensor is missing.
    #[error("is damaged: it has no tensor '{0}'")]
    NoTensor(String),
    /// A tensor of another type.
    #[error("is damaged: it tensor '{tensor}' is {found}, not F32")]
    TensorType {
        /// The tensor.
        tensor: String,
        /// Its type.
        found: String,
    },
    /// A tensor of another shape.
    #[error("is damaged: it tensor '{tensor}' has shape {found:?}, the network needs {needed:?}")]
    TensorShape {
        /// The tensor.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// What it should be.
        needed: Vec<usize>,
    },
    /// An infinite value, or none.
    #[error("is damaged: it tensor '{tensor}' holds a value that is not finite, at position {position}")]
    NotFinite {
        /// The tensor.
        tensor: String,
        /// The value's place in it.
        position: usize,
    },
    /// A tensor that the network does not have.
    #[error("is damaged: it has a tensor '{}' that the network does not know", .0.escape_debug())]
    UnknownTensor(String),
    /// The content is not the one that was saved.
    #[error("is damaged: its checksum does not fit its content")]
    Checksum,
    /// A number that must be finite and not negative.
    #[error("is damaged: '{0}' is no finite positive number")]
    Number(&'static str),
    /// The moving averages belong to another network.
    #[error("is damaged: its moving averages are not as long as the parameters")]
    Averages,
    /// It stands at a place that this training never comes by.
    #[error("says {steps} steps and {correct} hits of epoch {epoch}: there are not so many")]
    Place {
        /// Steps done of the epoch.
        steps: usize,
        /// Hits in them.
        correct: usize,
        /// Epochs done.
        epoch: usize,
    },
    /// It stands behind the end of the training.
    #[error("has {epochs} epochs and {steps} steps done, {asked} epochs are asked for")]
    PastEnd {
        /// Epochs done.
        epochs: usize,
        /// Steps done after them.
        steps: usize,
        /// The recipe's epochs.
        asked: usize,
    },
    /// The state cannot be put into a file, for this reason.
    #[error("{0}")]
    Encode(String),
}

/// What a file says may go into messages, which are one line.
pub(super) fn line(text: impl Display) -> String {
    text.to_string().replace(char::is_control, " ")
}
