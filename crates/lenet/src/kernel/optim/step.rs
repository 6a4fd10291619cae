//! What a step of any optimizer is made of.

use crate::spec::Optimizer;

/// What a pass does to a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A whole step of the optimizer; of Muon, AdamW's.
    Own,
    /// Muon's velocity moves; the direction to be made orthogonal goes into the second slab.
    Direction,
    /// Muon's step along the orthogonal direction of a matrix whose longer side is `longer`.
    Move {
        /// Rows or columns.
        longer: usize,
    },
}

/// The numbers of one update, rounded once from f64.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub(super) optimizer: Optimizer,
    pub(super) lr: f32,
    /// What gradients are multiplied by first.
    pub(super) scale: f32,
    /// Adam: lr / (1 - β₁ᵗ), and √(1 - β₂ᵗ).
    pub(super) size: f32,
    pub(super) root: f32,
}

impl Step {
    /// The update number `step`, from 1; gradients are multiplied by `scale` first.
    pub fn new(optimizer: Optimizer, lr: f32, scale: f32, step: u64) -> Self {
        let correction = |beta: f32| 1.0 - libm::pow(f64::from(beta), step as f64);
        let size = (f64::from(lr) / correction(optimizer.beta1)) as f32;
        Step { optimizer, lr, scale, size, root: libm::sqrt(correction(optimizer.beta2)) as f32 }
    }

    /// The optimizer's settings.
    pub fn optimizer(&self) -> &Optimizer {
        &self.optimizer
    }
}

/// Some parameters, and what belongs to them: slices of one length, or empty where [`Optimizer::slots`] has no place for a state.
pub struct Slabs<'a> {
    /// Gradients.
    pub g: &'a [f32],
    /// Parameters.
    pub w: &'a mut [f32],
    /// The velocity, or the gradients' mean.
    pub first: &'a mut [f32],
    /// The mean of the gradients' squares, or Muon's direction.
    pub second: &'a mut [f32],
}
