//! Optimizers and schedules, as recipes name them.

use super::named::named;

named! {
    /// What turns gradients into changes of parameters; PyTorch's formulas.
    pub enum OptimizerKind {
        /// Gradient descent; with `momentum` and `nesterov` as PyTorch's `SGD` without dampening.
        Sgd = "sgd",
        /// Adam, weight decay added to the gradient.
        Adam = "adam",
        /// Adam, weight decay apart from the gradient.
        AdamW = "adamw",
        /// Hidden layers' weights by orthogonal steps of the root mean square of AdamW's, all else by AdamW with the same
        /// learning rate: PyTorch's `Muon` with `match_rms_adamw`, but with float32 where that has bfloat16.
        Muon = "muon",
    }
}

/// An optimizer with its settings; those of other optimizers mean nothing to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimizer {
    /// Which one.
    pub kind: OptimizerKind,
    /// Share of the last step's velocity that is kept (`sgd`, `muon`).
    pub momentum: f32,
    /// Whether the gradient is taken ahead of the velocity (`sgd`, `muon`).
    pub nesterov: bool,
    /// Weight decay.
    pub weight_decay: f32,
    /// Whether biases and the scales of normalisations decay as well.
    pub decay_norms_and_biases: bool,
    /// Decay of the gradients' mean (`adam`, `adamw`, `muon`).
    pub beta1: f32,
    /// Decay of the squared gradients' mean (`adam`, `adamw`, `muon`).
    pub beta2: f32,
    /// Added to the root of that mean (`adam`, `adamw`, `muon`).
    pub eps: f32,
}

impl Default for Optimizer {
    fn default() -> Self {
        Optimizer::new(OptimizerKind::Sgd)
    }
}

impl Optimizer {
    /// An optimizer with its usual settings, without weight decay.
    pub fn new(kind: OptimizerKind) -> Self {
        let (momentum, nesterov) = match kind {
            OptimizerKind::Sgd | OptimizerKind::Adam | OptimizerKind::AdamW => (0.0, false),
            OptimizerKind::Muon => (0.95, true),
        };
        let (beta1, beta2, eps) = (0.9, 0.999, 1e-8);
        Optimizer { kind, momentum, nesterov, weight_decay: 0.0, decay_norms_and_biases: false, beta1, beta2, eps }
    }

    /// Floats of state a parameter: velocity, or mean and squared mean of the gradients, or velocity and direction.
    pub fn slots(&self) -> usize {
        match self.kind {
            OptimizerKind::Sgd => usize::from(self.momentum != 0.0),
            OptimizerKind::Adam | OptimizerKind::AdamW | OptimizerKind::Muon => 2,
        }
    }
}

named! {
    /// How the learning rate goes over the steps, after the warm-up.
    pub enum ScheduleKind {
        /// `lr` throughout.
        Constant = "constant",
        /// Times `gamma` every `step_epochs` epochs.
        Step = "step",
        /// Half a cosine from `lr` to `final_lr`.
        Cosine = "cosine",
        /// From `lr / 25` up to `lr` and down to `final_lr`, both by half a cosine.
        OneCycle = "one_cycle",
    }
}

/// A schedule with its settings; those of other schedules mean nothing to it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Which one.
    pub kind: ScheduleKind,
    /// Epochs over which the learning rate rises linearly from near 0.
    pub warmup_epochs: usize,
    /// Epochs between changes (`step`).
    pub step_epochs: usize,
    /// Factor of a change (`step`).
    pub gamma: f32,
    /// Learning rate at the end (`cosine`, `one_cycle`).
    pub final_lr: f32,
    /// Share of the steps before the peak (`one_cycle`).
    pub peak: f32,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            kind: ScheduleKind::Constant,
            warmup_epochs: 0,
            step_epochs: 1,
            gamma: 0.1,
            final_lr: 0.0,
            peak: 0.3,
        }
    }
}

impl Schedule {
    /// Whether the number of epochs changes the learning rate of earlier steps.
    pub fn depends_on_epochs(&self) -> bool {
        match self.kind {
            ScheduleKind::Constant | ScheduleKind::Step => false,
            ScheduleKind::Cosine | ScheduleKind::OneCycle => true,
        }
    }

    /// The learning rate of a step, from 0, in a run of `epochs` epochs of `per_epoch` steps.
    pub fn lr(&self, lr: f32, step: usize, per_epoch: usize, epochs: usize) -> f32 {
        let (lr, low, warmup) = (f64::from(lr), f64::from(self.final_lr), self.warmup_epochs * per_epoch);
        if step < warmup {
            return (lr * (step + 1) as f64 / warmup as f64) as f32;
        }
        let (t, total) = ((step - warmup) as f64, (epochs * per_epoch).saturating_sub(warmup).max(1) as f64);
        let between = |from: f64, to: f64, part: f64| {
            to + 0.5 * (from - to) * (1.0 + libm::cos(std::f64::consts::PI * part.clamp(0.0, 1.0)))
        };
        let value = match self.kind {
            ScheduleKind::Constant => lr,
            ScheduleKind::Step => {
                let changes = (step - warmup) / (per_epoch * self.step_epochs).max(1);
                lr * libm::pow(f64::from(self.gamma), changes as f64)
            }
            ScheduleKind::Cosine => between(lr, low, t / total),
            // The peak is a step, as in PyTorch's OneCycleLR.
            ScheduleKind::OneCycle => {
                let (peak, last) = (f64::from(self.peak) * total - 1.0, total - 1.0);
                if t <= peak {
                    between(lr / 25.0, lr, if peak > 0.0 { t / peak } else { 1.0 })
                } else {
                    between(lr, low, if last > peak { (t - peak) / (last - peak) } else { 1.0 })
                }
            }
        };
        value as f32
    }
}
