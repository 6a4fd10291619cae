//! Gradient descent, with momentum or without.

use super::step::{Slabs, Step};
use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::simd::Simd;

/// A step; the velocity is empty without momentum.
pub(super) fn step(path: Path, step: &Step, decay: f32, slabs: Slabs) {
    let Slabs { g, w, first: velocity, .. } = slabs;
    if decay == 0.0 && velocity.is_empty() {
        // SAFETY: works on slices.
        return unsafe { dispatch(path, Plain { lr: step.lr * step.scale, g, w }) };
    }
    // SAFETY: works on slices.
    unsafe { dispatch(path, Sgd { step, decay, g, w, velocity }) }
}

/// `w -= lr · g`, rounded once.
struct Plain<'a> {
    lr: f32,
    g: &'a [f32],
    w: &'a mut [f32],
}

impl Program for Plain<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (w, g) in self.w.iter_mut().zip(self.g) {
            *w = (-self.lr).mul_add(*g, *w);
        }
    }
}

struct Sgd<'a> {
    step: &'a Step,
    decay: f32,
    g: &'a [f32],
    w: &'a mut [f32],
    velocity: &'a mut [f32],
}

impl Program for Sgd<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (lr, scale, decay, momentum) = (self.step.lr, self.step.scale, self.decay, self.step.optimizer.momentum);
        if self.velocity.is_empty() {
            for (w, g) in self.w.iter_mut().zip(self.g) {
                *w = (-lr).mul_add(decay.mul_add(*w, scale * g), *w);
            }
            return;
        }
        // Nesterov's look ahead: the gradient counts once more.
        let ahead = if self.step.optimizer.nesterov { 1.0 } else { 0.0 };
        let kept = if self.step.optimizer.nesterov { momentum } else { 1.0 };
        for ((w, g), v) in self.w.iter_mut().zip(self.g).zip(self.velocity) {
            let g = decay.mul_add(*w, scale * g);
            *v = momentum.mul_add(*v, g);
            *w = (-lr).mul_add(kept.mul_add(*v, ahead * g), *w);
        }
    }
}

/// The published formula of one value, in f64.
#[cfg(test)]
pub(super) fn naive(o: &crate::spec::Optimizer, lr: f64, g: f64, [w, velocity]: [&mut f64; 2]) {
    let momentum = f64::from(o.momentum);
    let g = g + f64::from(o.weight_decay) * *w;
    *velocity = momentum * *velocity + g;
    *w -= lr * if o.nesterov { g + momentum * *velocity } else { *velocity };
}
