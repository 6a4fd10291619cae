//! Adam and AdamW.

use super::step::{Slabs, Step};
use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::simd::Simd;

/// Weight decay.
pub(super) enum Decay {
    /// Added to the gradient: Adam's.
    Coupled(f32),
    /// Apart from the gradient: AdamW's.
    Apart(f32),
}

pub(super) fn step(path: Path, step: &Step, decay: Decay, slabs: Slabs) {
    let Slabs { g, w, first: mean, second: square } = slabs;
    // SAFETY: works on slices.
    unsafe { dispatch(path, Adam { step, decay, g, w, mean, square }) }
}

struct Adam<'a> {
    step: &'a Step,
    decay: Decay,
    g: &'a [f32],
    w: &'a mut [f32],
    mean: &'a mut [f32],
    square: &'a mut [f32],
}

impl Program for Adam<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Step { optimizer: o, lr, scale, size, root } = *self.step;
        let (coupled, shrink) = match self.decay {
            Decay::Coupled(decay) => (decay, 0.0),
            Decay::Apart(decay) => (0.0, -lr * decay),
        };
        let (rest1, rest2) = (1.0 - o.beta1, 1.0 - o.beta2);
        for (((w, g), m), v) in self.w.iter_mut().zip(self.g).zip(self.mean).zip(self.square) {
            let g = coupled.mul_add(*w, scale * g);
            *w = shrink.mul_add(*w, *w);
            *m = o.beta1.mul_add(*m, rest1 * g);
            *v = o.beta2.mul_add(*v, rest2 * g * g);
            *w -= size * *m / (v.sqrt() / root + o.eps);
        }
    }
}

/// The published formula of one value at step `t`, in f64.
#[cfg(test)]
pub(super) fn naive(
    o: &crate::spec::Optimizer,
    decay: Decay,
    lr: f64,
    t: i32,
    g: f64,
    [w, mean, square]: [&mut f64; 3],
) {
    let (mut g, b1, b2) = (g, f64::from(o.beta1), f64::from(o.beta2));
    match decay {
        Decay::Coupled(decay) => g += f64::from(decay) * *w,
        Decay::Apart(decay) => *w *= 1.0 - lr * f64::from(decay),
    }
    *mean = b1 * *mean + (1.0 - b1) * g;
    *square = b2 * *square + (1.0 - b2) * g * g;
    *w -= lr * (*mean / (1.0 - b1.powi(t))) / ((*square / (1.0 - b2.powi(t))).sqrt() + f64::from(o.eps));
}
