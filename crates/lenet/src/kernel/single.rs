//! Activation and pooling of one sample, pixels in the lanes.

use super::activation::{Function, with_function};
use super::path::{Path, Program, dispatch};
use super::pool::PoolKind;
use super::simd::Simd;
use crate::spec::{Activation, PoolShape};
use std::marker::PhantomData;

/// Applies an activation in place; up to a vector behind the slice's last whole vector is computed in scratch.
pub fn activate(path: Path, activation: Option<Activation>, values: &mut [f32]) {
    if activation.is_some() {
        with_function!(activation, F => {
            // SAFETY: works on a slice.
            unsafe { dispatch(path, Activate::<F> { values, f: PhantomData }) }
        })
    }
}

struct Activate<'a, F> {
    values: &'a mut [f32],
    f: PhantomData<F>,
}

impl<F: Function> Program for Activate<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let whole = self.values.len() / S::LANES * S::LANES;
        let (body, tail) = self.values.split_at_mut(whole);
        // SAFETY: whole vectors of the slice, and a buffer of 16 floats for what is left.
        unsafe {
            for v in body.chunks_exact_mut(S::LANES) {
                S::store(v.as_mut_ptr(), F::value::<S>(S::load(v.as_ptr())));
            }
            if !tail.is_empty() {
                let mut edge = [0.0f32; 16];
                edge[..tail.len()].copy_from_slice(tail);
                S::store(edge.as_mut_ptr(), F::value::<S>(S::load(edge.as_ptr())));
                tail.copy_from_slice(&edge[..tail.len()]);
            }
        }
    }
}

/// Where a plane's values are: floats between rows and between columns.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// From the buffer's start to the first value.
    pub origin: usize,
    /// Between channels.
    pub plane: usize,
    /// Between rows.
    pub row: usize,
    /// Between columns.
    pub col: usize,
}

impl Steps {
    fn at(&self, c: usize, y: usize, x: usize) -> usize {
        self.origin + c * self.plane + y * self.row + x * self.col
    }
}

/// Pools one sample, in the same order of additions as the chunk kernels; a 1 × 1 window copies.
pub fn pool(kind: PoolKind, s: &PoolShape, x: &[f32], from: Steps, y: &mut [f32], to: Steps) {
    let share = 1.0 / (s.kh * s.kw) as f32;
    for c in 0..s.c {
        for oy in 0..s.oh {
            // Rows and columns of the window that lie within the input.
            let (top, bottom) = clip(oy, s.stride[0], s.kh, s.padding[0], s.ih);
            for ox in 0..s.ow {
                let (left, right) = clip(ox, s.stride[1], s.kw, s.padding[1], s.iw);
                let value = if kind == PoolKind::Average {
                    let mut sum = 0.0;
                    for iy in top..bottom {
                        for ix in left..right {
                            sum += x[from.at(c, iy, ix)];
                        }
                    }
                    sum * share
                } else {
                    let mut best = f32::NEG_INFINITY;
                    for iy in top..bottom {
                        for ix in left..right {
                            let v = x[from.at(c, iy, ix)];
                            if v > best || v.is_nan() {
                                best = v;
                            }
                        }
                    }
                    best
                };
                y[to.at(c, oy, ox)] = value;
            }
        }
    }
}

fn clip(out: usize, stride: usize, window: usize, padding: usize, len: usize) -> (usize, usize) {
    let start = out * stride;
    (start.saturating_sub(padding), (start + window).saturating_sub(padding).min(len))
}
