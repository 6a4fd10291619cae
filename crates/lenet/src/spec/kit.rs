//! Optimizers and schedules, as recipes name them.

use super::keyed::keyed;
#[cfg(feature = "train")]
use super::layers::Range;
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
        /// Hidden layers' weights by orthogonal steps of the root mean square of AdamW's, all else by AdamW with the
        /// same learning rate: PyTorch's `Muon` with `match_rms_adamw`, but with float32 where that has bfloat16.
        Muon = "muon",
    }
}

keyed! {
    #![cfg(feature = "train")]
    /// An optimizer with its settings; those of other optimizers mean nothing to it.
    #[derive(Copy)]
    pub struct Optimizer {
        /// What turns gradients into changes of parameters.
        pub kind: OptimizerKind = OptimizerKind::Sgd, Choice.named("optimizer");
        /// Share of the last step's velocity that is kept (`sgd`; `muon`, there 0.95 by default).
        pub momentum: f32 = 0.0, Number(Range::SHARE);
        /// Whether the gradient is taken ahead of the velocity (`sgd`; `muon`, there by default).
        pub nesterov: bool = false, Flag;
        /// Weight decay: so much of a parameter is added to its gradient (`sgd`, `adam`), or subtracted from it in each
        /// step, times the learning rate (`adamw`, `muon`).
        pub weight_decay: f32 = 0.0, Number(Range::NOT_NEGATIVE);
        /// Whether biases and the scales of normalisations decay as well.
        pub decay_norms_and_biases: bool = false, Flag;
        /// Decay of the gradients' running mean (`adam`, `adamw`, `muon`).
        pub beta1: f32 = 0.9, Number(Range::SHARE);
        /// Decay of the squared gradients' running mean (`adam`, `adamw`, `muon`).
        pub beta2: f32 = 0.999, Number(Range::SHARE);
        /// Added to the root of the squared gradients' mean (`adam`, `adamw`, `muon`).
        pub eps: f32 = 1e-8, Number(Range::POSITIVE);
    }
}

impl Optimizer {
    /// An optimizer with its usual settings, without weight decay.
    pub fn new(kind: OptimizerKind) -> Self {
        let usual = Optimizer { kind, ..Optimizer::default() };
        match kind {
            OptimizerKind::Sgd | OptimizerKind::Adam | OptimizerKind::AdamW => usual,
            OptimizerKind::Muon => Optimizer { momentum: 0.95, nesterov: true, ..usual },
        }
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

keyed! {
    #![cfg(feature = "train")]
    /// A schedule with its settings; those of other schedules mean nothing to it.
    #[derive(Copy)]
    pub struct Schedule {
        /// How the learning rate goes over the steps, after the warm-up.
        pub kind: ScheduleKind = ScheduleKind::Constant, Choice.named("schedule");
        /// Epochs over which the learning rate first rises linearly from near 0.
        pub warmup_epochs: usize = 0, Whole(0..=1_000_000);
        /// Epochs from one change of the learning rate to the next (`step`).
        pub step_epochs: usize = 1, Whole(1..=1_000_000);
        /// Factor of each change (`step`).
        pub gamma: f32 = 0.1, Number(Range::POSITIVE);
        /// Learning rate at the end (`cosine`, `one_cycle`).
        pub final_lr: f32 = 0.0, Number(Range::NOT_NEGATIVE);
        /// Share of the steps before the peak (`one_cycle`).
        pub peak: f32 = 0.3, Number(Range::INSIDE);
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
        let (lr, low, warmup) = (f64::from(lr), f64::from(self.final_lr), self.warmup_epochs.saturating_mul(per_epoch));
        if step < warmup {
            return (lr * (step + 1) as f64 / warmup as f64) as f32;
        }
        let (t, total) =
            ((step - warmup) as f64, epochs.saturating_mul(per_epoch).saturating_sub(warmup).max(1) as f64);
        let between = |from: f64, to: f64, part: f64| {
            to + 0.5 * (from - to) * (1.0 + libm::cos(std::f64::consts::PI * part.clamp(0.0, 1.0)))
        };
        let value = match self.kind {
            ScheduleKind::Constant => lr,
            ScheduleKind::Step => {
                let changes = (step - warmup) / per_epoch.saturating_mul(self.step_epochs).max(1);
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
