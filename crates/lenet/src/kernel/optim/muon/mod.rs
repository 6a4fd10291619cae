//! Muon: the momentum of a hidden matrix is made orthogonal ([`orthogonal`]), and the step goes along that; all other
//! parameters take AdamW's.

pub mod orthogonal;

use super::step::{Slabs, Step};
use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::simd::Simd;
use crate::spec::Optimizer;

/// Moves the velocity; the direction to be made orthogonal goes into the second slab.
pub(super) fn direction(path: Path, step: &Step, slabs: Slabs) {
    let Slabs { g, first: velocity, second: direction, .. } = slabs;
    // SAFETY: works on slices.
    unsafe { dispatch(path, Direction { step, g, velocity, direction }) }
}

/// A step along the orthogonal direction of a matrix whose longer side is `longer`.
pub(super) fn step(path: Path, step: &Step, decay: f32, longer: usize, slabs: Slabs) {
    let Slabs { w, second: direction, .. } = slabs;
    let size = step.lr * (0.2 * libm::sqrt(longer as f64)) as f32;
    // SAFETY: works on slices.
    unsafe { dispatch(path, Move { shrink: -step.lr * decay, size, w, direction }) }
}

struct Direction<'a> {
    step: &'a Step,
    g: &'a [f32],
    velocity: &'a mut [f32],
    direction: &'a mut [f32],
}

impl Program for Direction<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Optimizer { momentum, nesterov, .. } = self.step.optimizer;
        let (scale, rest) = (self.step.scale, 1.0 - momentum);
        let (kept, ahead) = if nesterov { (momentum, rest) } else { (1.0, 0.0) };
        for ((g, v), d) in self.g.iter().zip(self.velocity).zip(self.direction) {
            let g = scale * g;
            *v = momentum.mul_add(*v, rest * g);
            *d = kept.mul_add(*v, ahead * g);
        }
    }
}

struct Move<'a> {
    shrink: f32,
    size: f32,
    w: &'a mut [f32],
    direction: &'a [f32],
}

impl Program for Move<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (w, d) in self.w.iter_mut().zip(self.direction) {
            *w = (-self.size).mul_add(*d, self.shrink.mul_add(*w, *w));
        }
    }
}
