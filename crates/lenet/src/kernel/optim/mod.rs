//! Optimizers, a file or folder each: one pass over parameters, gradients and state. PyTorch's formulas.

mod adam;
pub mod muon;
mod sgd;
mod step;

pub use step::{Rule, Slabs, Step};

use crate::kernel::path::Path;
use crate::spec::OptimizerKind;

impl Step {
    /// Whether hidden matrices take steps of their own ([`Rule::Direction`], then [`Rule::Move`]).
    pub fn orthogonalizes(&self) -> bool {
        match self.optimizer.kind {
            OptimizerKind::Sgd | OptimizerKind::Adam | OptimizerKind::AdamW => false,
            OptimizerKind::Muon => true,
        }
    }

    /// Changes some parameters by a rule, all of which decay or not.
    pub fn run(&self, path: Path, rule: Rule, decays: bool, slabs: Slabs) {
        let decay = if decays { self.optimizer.weight_decay } else { 0.0 };
        match rule {
            Rule::Direction => muon::direction(path, self, slabs),
            Rule::Move { longer } => muon::step(path, self, decay, longer, slabs),
            Rule::Own => match self.optimizer.kind {
                OptimizerKind::Sgd => sgd::step(path, self, decay, slabs),
                OptimizerKind::Adam => adam::step(path, self, adam::Decay::Coupled(decay), slabs),
                OptimizerKind::AdamW | OptimizerKind::Muon => {
                    adam::step(path, self, adam::Decay::Apart(decay), slabs);
                }
            },
        }
    }
}

/// `average += rest · (values - average)`, each step rounded.
pub fn move_average(average: &mut [f32], values: &[f32], rest: f32) {
    for (a, v) in average.iter_mut().zip(values) {
        *a += rest * (v - *a);
    }
}

#[cfg(test)]
mod tests;
