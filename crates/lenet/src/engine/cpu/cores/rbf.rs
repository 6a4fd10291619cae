//! Distances to codes.

use super::core::{Pass, Plain};
use super::planner::{Ask, Made};
use crate::kernel::op::rbf;
use crate::spec::DenseShape;
use std::ops::Range;

struct Rbf {
    shape: DenseShape,
    /// Place in the buffer slab.
    codes: Range<usize>,
}

pub(super) fn plan(ask: &Ask, shape: DenseShape) -> Made {
    Made::Plain(Box::new(Rbf { shape, codes: ask.layer.buffers[0].range.clone() }))
}

impl Plain for Rbf {
    fn forward(&self, pass: &Pass, x: &[f32], y: &mut [f32], _: &mut [f32]) {
        rbf::forward(pass.path, &self.shape, &pass.buffers[self.codes.clone()], x, y);
    }

    fn backward(&self, pass: &Pass, dy: &[f32], _: &[f32], x: &mut [f32], elsewhere: Option<&mut [f32]>) {
        let to = match elsewhere {
            Some(to) => {
                to.copy_from_slice(x);
                to
            }
            None => x,
        };
        rbf::backward(pass.path, &self.shape, &pass.buffers[self.codes.clone()], dy, to);
    }
}
