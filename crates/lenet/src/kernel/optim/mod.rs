//! Optimizers, one pass over parameters, gradients and state; moving averages; norms.

pub mod muon;

use crate::kernel::elementwise;
use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::simd::Simd;
use crate::spec::{Optimizer, OptimizerKind};

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
    optimizer: Optimizer,
    lr: f32,
    scale: f32,
    /// Adam: lr / (1 - β₁ᵗ), and √(1 - β₂ᵗ).
    size: f32,
    root: f32,
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

    /// Changes some parameters by a rule, all of which decay or not. `first` is the velocity or the gradients' mean, `second` the
    /// mean of their squares: each as long as the parameters, or empty if [`Optimizer::slots`] has no place for it.
    #[allow(clippy::too_many_arguments)]
    pub fn run(
        &self,
        path: Path,
        rule: Rule,
        decays: bool,
        g: &[f32],
        w: &mut [f32],
        first: &mut [f32],
        second: &mut [f32],
    ) {
        let decay = if decays { self.optimizer.weight_decay } else { 0.0 };
        match (rule, self.optimizer.kind) {
            // SAFETY: works on slices.
            (Rule::Direction, _) => unsafe {
                dispatch(path, Direction { step: self, g, velocity: first, direction: second })
            },
            (Rule::Move { longer }, _) => {
                let size = self.lr * (0.2 * libm::sqrt(longer as f64)) as f32;
                // SAFETY: works on slices.
                unsafe { dispatch(path, Move { shrink: -self.lr * decay, size, w, direction: second }) }
            }
            (Rule::Own, OptimizerKind::Sgd) if decay == 0.0 && first.is_empty() => {
                elementwise::sgd(path, self.lr * self.scale, g, w);
            }
            // SAFETY: works on slices.
            (Rule::Own, OptimizerKind::Sgd) => unsafe {
                dispatch(path, Sgd { step: self, decay, g, w, velocity: first })
            },
            // SAFETY: works on slices.
            (Rule::Own, _) => unsafe { dispatch(path, Adam { step: self, decay, g, w, mean: first, square: second }) },
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

struct Adam<'a> {
    step: &'a Step,
    decay: f32,
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
        let coupled = if o.kind == OptimizerKind::Adam { self.decay } else { 0.0 };
        let shrink = if o.kind == OptimizerKind::Adam { 0.0 } else { -lr * self.decay };
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

/// Sum of squares in f64, in 16 chains that are then added in order: the same bits everywhere.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let mut sums = [0.0f64; 16];
    let (blocks, rest) = values.as_chunks::<16>();
    for block in blocks {
        for i in 0..16 {
            sums[i] += f64::from(block[i]) * f64::from(block[i]);
        }
    }
    for (s, v) in sums.iter_mut().zip(rest) {
        *s += f64::from(*v) * f64::from(*v);
    }
    sums.iter().sum()
}

/// `average += rest · (values - average)`, each step rounded.
pub fn move_average(average: &mut [f32], values: &[f32], rest: f32) {
    for (a, v) in average.iter_mut().zip(values) {
        *a += rest * (v - *a);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The published formulas, in f64.
    fn naive(o: &Optimizer, lr: f64, t: i32, g: f64, w: &mut f64, m: &mut f64, v: &mut f64) {
        let (decay, b1, b2) = (f64::from(o.weight_decay), f64::from(o.beta1), f64::from(o.beta2));
        let mut g = g;
        match o.kind {
            OptimizerKind::AdamW | OptimizerKind::Muon => *w *= 1.0 - lr * decay,
            _ => g += decay * *w,
        }
        if o.kind == OptimizerKind::Sgd {
            let momentum = f64::from(o.momentum);
            *m = momentum * *m + g;
            *w -= lr * if o.nesterov { g + momentum * *m } else { *m };
            return;
        }
        *m = b1 * *m + (1.0 - b1) * g;
        *v = b2 * *v + (1.0 - b2) * g * g;
        *w -= lr * (*m / (1.0 - b1.powi(t))) / ((*v / (1.0 - b2.powi(t))).sqrt() + f64::from(o.eps));
    }

    #[test]
    fn every_optimizer_follows_its_formula_with_the_same_bits_on_every_path() {
        const N: usize = 37;
        for kind in OptimizerKind::ALL {
            for (momentum, nesterov, weight_decay) in
                [(0.0, false, 0.0), (0.0, false, 0.1), (0.9, false, 0.1), (0.9, true, 0.1)]
            {
                let o = Optimizer { kind, momentum, nesterov, weight_decay, ..Optimizer::default() };
                let mut first: Option<Vec<u32>> = None;
                for path in Path::available() {
                    let start = |i: usize| (i as f32 * 0.7).sin();
                    let mut w: Vec<f32> = (0..N).map(start).collect();
                    let mut exact: Vec<[f64; 3]> = w.iter().map(|&w| [f64::from(w), 0.0, 0.0]).collect();
                    let mut m = vec![0.0; if o.slots() > 0 { N } else { 0 }];
                    let mut v = vec![0.0; if o.slots() > 1 { N } else { 0 }];
                    for t in 1..=20 {
                        let g: Vec<f32> = (0..N).map(|i| ((i * 7 + t * 13) as f32 * 0.37).cos()).collect();
                        Step::new(o, 0.01, 0.5, t as u64).run(path, Rule::Own, true, &g, &mut w, &mut m, &mut v);
                        for (e, g) in exact.iter_mut().zip(&g) {
                            let [w, m, v] = e;
                            naive(&o, f64::from(0.01f32), t as i32, f64::from(*g) * 0.5, w, m, v);
                        }
                    }
                    for (w, e) in w.iter().zip(&exact) {
                        assert!((f64::from(*w) - e[0]).abs() < 4e-6, "{o:?} {path}: {w} for {}", e[0]);
                    }
                    let bits: Vec<u32> = w.iter().map(|w| w.to_bits()).collect();
                    assert_eq!(*first.get_or_insert(bits.clone()), bits, "{o:?} {path}");
                }
            }
        }
    }

    #[test]
    fn norms_and_averages() {
        let v: Vec<f32> = (1..=100).map(|i| i as f32).collect();
        assert_eq!(sum_of_squares(&v), 338_350.0);
        let mut a = [1.0f32, 2.0];
        move_average(&mut a, &[3.0, 2.0], 0.25);
        assert_eq!(a, [1.5, 2.0]);
    }
}
