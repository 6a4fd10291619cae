//! What executes a network on a device: the [`Engine`] seam, and the CPU's implementation of it.

mod cpu;
mod initial;
pub mod reference;
mod step;
#[cfg_attr(not(feature = "threads"), path = "no_threads.rs")]
mod threads;

pub use crate::kernel::input::Pixels;
pub use crate::kernel::op::loss::Targets;
pub use crate::kernel::{CHUNK, NoMemory, Path, PathError};
pub use cpu::{CpuEngine, CpuOptions, Ranks, resolve_threads};
pub use initial::{initial_buffers, initialize};

use crate::kernel::optim::move_average;
use crate::kernel::sums::sum_of_squares;
use crate::random::{Purpose, Stream};
use crate::spec::{Augment, Network, Optimizer};
use std::fmt;

/// Some samples of a dataset: which ones, and in which order.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The pixels of the whole dataset.
    pub pixels: Pixels<'a>,
    /// The labels of the whole dataset.
    pub labels: &'a [u16],
    /// The samples of this batch, as positions in the dataset.
    pub indices: &'a [u32],
}

/// What a step of training depends on besides parameters and samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TrainStep<'a> {
    /// Seed of what is random in a step.
    pub seed: u64,
    /// Epoch, from 0: a sample meets other random numbers in every epoch.
    pub epoch: u32,
    /// What images go through; takes bytes.
    pub augment: Option<&'a Augment>,
    /// What the labels become. With weights of classes, a loss is the weighted mean, times the number of samples in sums.
    pub targets: Targets<'a>,
}

impl TrainStep<'_> {
    /// The key of a sample's dropout, to which each layer adds its own (`kernel::dropout`).
    pub fn dropout_key(&self, sample: u32) -> u32 {
        Stream::new(self.seed, Purpose::Dropout, self.epoch, sample).next_u32()
    }
}

/// Cross-entropy and hits of some samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// Sum of the samples' cross-entropies, natural logarithm.
    pub loss: f64,
    /// Samples whose largest logit is their class's (the first of equals).
    pub correct: usize,
    /// Number of samples.
    pub samples: usize,
}

impl Score {
    /// The score of logits, `[n, classes]`.
    ///
    /// # Errors
    /// A label that is no class, or logits for another number of samples.
    pub fn of(logits: &[f32], labels: impl ExactSizeIterator<Item = u16>) -> Result<Score, EngineError> {
        let mut score = Score { samples: labels.len(), ..Score::default() };
        let classes = logits.len() / labels.len().max(1);
        for (row, label) in logits.chunks_exact(classes.max(1)).zip(labels) {
            let Some(&own) = row.get(label as usize) else {
                return Err(EngineError::Mismatch(format!("label {label} for a network of {classes} outputs")));
            };
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let sum: f64 = row.iter().map(|z| libm::exp(f64::from(*z) - f64::from(largest))).sum();
            score.loss += f64::from(largest) - f64::from(own) + libm::log(sum);
            score.correct += usize::from(row.iter().position(|z| *z == largest) == Some(label as usize));
        }
        Ok(score)
    }

    /// Mean cross-entropy a sample.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.samples as f64
    }

    /// Share of hits, 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.samples as f64
    }
}

impl std::ops::AddAssign for Score {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.correct += other.correct;
        self.samples += other.samples;
    }
}

/// How gradients change parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// By which rule.
    pub optimizer: Optimizer,
    /// Learning rate of this update.
    pub lr: f32,
    /// What gradients are multiplied by first.
    pub scale: f32,
    /// Number of this update in its training, from 1.
    pub step: u64,
}

impl Update {
    /// `w -= lr · g`
    pub fn sgd(lr: f32) -> Self {
        Update { optimizer: Optimizer::default(), lr, scale: 1.0, step: 1 }
    }
}

/// Moving averages of parameters and buffers, in their orders.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Average {
    /// Of the parameters.
    pub parameters: Vec<f32>,
    /// Of the buffers.
    pub buffers: Vec<f32>,
}

/// Why an engine could not do what it was asked.
#[derive(Clone, Debug, PartialEq)]
pub enum EngineError {
    /// Training has diverged. Parameters are as they were before the step.
    NotFinite {
        /// `the loss` or `the gradient`.
        what: &'static str,
        /// Position and type, as `3 (conv2d)`.
        layer: String,
    },
    /// The batch does not fit the network.
    Mismatch(String),
    /// `LENET_PATH` names no path of this CPU.
    Path(PathError),
    /// There is no memory for the network's buffers.
    Memory(NoMemory),
    /// The device failed: no memory, no driver, or it is gone.
    Device(String),
}

// By hand: the derive macro would be most of the packages of a program that only predicts.
impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EngineError::NotFinite { what, layer } => write!(
                f,
                "{what} of layer {layer} is not finite: training has diverged; lower the learning rate (train.lr)"
            ),
            EngineError::Mismatch(what) | EngineError::Device(what) => f.write_str(what),
            EngineError::Path(error) => error.fmt(f),
            EngineError::Memory(error) => {
                write!(
                    f,
                    "{error} of the network's buffers: choose fewer threads, smaller batches or a smaller network"
                )
            }
        }
    }
}

impl std::error::Error for EngineError {}

impl From<NoMemory> for EngineError {
    fn from(error: NoMemory) -> Self {
        EngineError::Memory(error)
    }
}

/// What the trainer sees of a device.
///
/// A device of its own may run behind its caller: scores and errors of steps then come with later calls, and what is lent
/// out (parameters, gradients, states, buffers) is that of the last [`Engine::settle`].
pub trait Engine: Send {
    /// What executes, in words: `CPU, AVX2, 2 threads`.
    fn device(&self) -> String;

    /// The network this engine was built for.
    fn network(&self) -> &Network;

    /// Writes the logits of a batch, `[n, outputs]`.
    ///
    /// # Errors
    /// A batch that does not fit the network, or `logits` of another length.
    fn forward(&mut self, batch: &Batch, logits: &mut [f32]) -> Result<(), EngineError>;

    /// Loss and hits of a batch, parameters and gradients untouched.
    ///
    /// # Errors
    /// A batch that does not fit the network.
    fn evaluate(&mut self, batch: &Batch) -> Result<Score, EngineError>;

    /// Loss and hits of a batch; leaves the gradient of the mean loss in [`Engine::gradients`].
    ///
    /// Of a device that runs behind, the score is that of the steps that it has done since it was last asked.
    ///
    /// # Errors
    /// A batch that does not fit the network, or values that are not finite.
    fn backward(&mut self, batch: &Batch, how: &TrainStep) -> Result<Score, EngineError>;

    /// Changes the parameters by the gradients that [`Engine::backward`] left.
    fn update(&mut self, update: Update);

    /// [`Engine::update`], after the whole gradient was scaled down to the L2 norm `longest` if it is longer: PyTorch's
    /// `clip_grad_norm_`.
    fn update_clipped(&mut self, longest: f32, update: Update) {
        let norm = sum_of_squares(self.gradients()).sqrt();
        let scale = (f64::from(longest) / (norm + 1e-6)).min(1.0) as f32;
        self.update(Update { scale, ..update });
    }

    /// Moves the average of a training towards parameters and buffers: `a += rest · (value - a)`.
    fn average(&mut self, average: &mut Average, rest: f32) {
        move_average(&mut average.parameters, self.parameters(), rest);
        move_average(&mut average.buffers, self.buffers(), rest);
    }

    /// Waits for what a device still does, brings all that is lent out up to date, and the average that
    /// [`Engine::average`] moves, and gives the score of the steps that no call has given yet.
    ///
    /// # Errors
    /// Those of the steps: parameters, states and buffers are then as they were before the one that failed.
    fn settle(&mut self, _average: Option<&mut Average>) -> Result<Score, EngineError> {
        Ok(Score::default())
    }

    /// One step of training: [`Engine::backward`], then [`Engine::update`] if all is finite.
    ///
    /// # Errors
    /// As [`Engine::backward`]; the parameters are then as they were.
    fn step(&mut self, batch: &Batch, how: &TrainStep, update: Update) -> Result<Score, EngineError> {
        let score = self.backward(batch, how)?;
        self.update(update);
        Ok(score)
    }

    /// The parameter slab, in the order of [`Network::tensors`].
    fn parameters(&self) -> &[f32];

    /// Replaces all parameters.
    ///
    /// # Errors
    /// A slab of another length.
    fn set_parameters(&mut self, parameters: &[f32]) -> Result<(), EngineError>;

    /// The gradient slab, in the order of the parameters.
    fn gradients(&self) -> &[f32];

    /// The optimizer's state: slabs in the order of the parameters, one after the other; empty while all is 0.
    fn optimizer_state(&self) -> &[f32];

    /// Replaces the optimizer's state.
    ///
    /// # Errors
    /// A length that is no multiple of the parameters'.
    fn set_optimizer_state(&mut self, state: &[f32]) -> Result<(), EngineError>;

    /// What training tracks without a gradient (statistics of normalisations), in the order of the layers.
    fn buffers(&self) -> &[f32];

    /// Replaces all buffers.
    ///
    /// # Errors
    /// A slab of another length.
    fn set_buffers(&mut self, buffers: &[f32]) -> Result<(), EngineError>;
}
