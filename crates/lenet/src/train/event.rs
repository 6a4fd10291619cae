//! What a training tells while it runs.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// One line of `metrics.jsonl`. Losses are means a sample, accuracies shares of 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpochMetrics {
    /// Number of the epoch, from 1.
    pub epoch: usize,
    /// Learning rate of the epoch's last step.
    pub lr: f32,
    /// Loss over the epoch's steps, each with the parameters of its moment.
    pub train_loss: f64,
    /// Accuracy likewise.
    pub train_accuracy: f64,
    /// Loss on the validation images after the epoch, if there are any and it was evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_loss: Option<f64>,
    /// Accuracy likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val_accuracy: Option<f64>,
    /// Loss on the test images after the epoch, if it was evaluated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_loss: Option<f64>,
    /// Accuracy likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_accuracy: Option<f64>,
    /// Seconds of the steps.
    pub train_seconds: f64,
    /// Seconds of the evaluation, if there was one.
    pub eval_seconds: f64,
    /// Training images a second.
    pub images_per_second: f64,
}

impl EpochMetrics {
    /// The fields' names, in order.
    pub(super) const NAMES: [&'static str; 11] = [
        "epoch",
        "lr",
        "train_loss",
        "train_accuracy",
        "val_loss",
        "val_accuracy",
        "test_loss",
        "test_accuracy",
        "train_seconds",
        "eval_seconds",
        "images_per_second",
    ];
}

/// What a training tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It starts or goes on.
    Started {
        /// Epochs done.
        epoch: usize,
        /// Steps done of the next.
        step: usize,
    },
    /// A step is done.
    Step {
        /// Number of the epoch, from 1.
        epoch: usize,
        /// Steps done of the epoch.
        step: usize,
        /// Steps of an epoch.
        steps: usize,
        /// Mean loss a sample so far in the epoch.
        loss: f64,
        /// Training images a second in this process.
        images_per_second: f64,
        /// What is left of all epochs' steps, at this speed.
        remaining: Duration,
    },
    /// An epoch is done, and evaluated if it was its turn.
    Epoch(&'a EpochMetrics),
    /// A checkpoint was written.
    Checkpoint {
        /// The file.
        path: PathBuf,
    },
}

/// What the listener wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// Go on.
    Continue,
    /// Save a checkpoint and stop.
    Stop,
}

/// How a training ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// All epochs are done.
    Finished,
    /// The listener stopped it; a checkpoint was written if there is a run.
    Interrupted,
}
