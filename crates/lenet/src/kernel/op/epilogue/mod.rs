//! Activation and pooling behind a layer, fused where windows do not overlap.

pub mod single;

use crate::kernel::op::activation::{Function, with_function};
use crate::kernel::op::pool::PoolKind;
use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::{CHUNK, Simd};
use crate::spec::{Activation, PoolShape};
use std::ops::Range;

/// Activation, then pooling by windows that do not overlap, between `z` (the layer's own output) and `y`.
///
/// Forward for training leaves in `z` the derivative of the pooled value by the pre-activation, so that backward is one
/// product: `dz = z · dy[window]`. Behind a normalisation `z` stays as it is, since backward needs it
/// ([`crate::kernel::op::norm`]).
#[derive(Clone, Copy, Debug)]
pub struct Epilogue {
    /// The function; `None` for none.
    pub activation: Option<Activation>,
    /// `None` for no pooling.
    pub pool: Option<PoolKind>,
    /// Rows × columns of the window and of its step; 1 × 1 without pooling.
    pub window: [usize; 2],
    /// Step, at least the window.
    pub stride: [usize; 2],
    /// Layout before.
    pub z: Frame,
    /// Layout after.
    pub y: Frame,
    /// Layout of the gradient of `y`.
    pub dy: Frame,
}

impl Epilogue {
    /// Whether a pooling can be fused: no padding, windows that do not overlap.
    pub fn fits(s: &PoolShape) -> bool {
        s.padding == [0, 0] && s.stride[0] >= s.kh && s.stride[1] >= s.kw
    }

    /// Rows of `z` that belong to some rows of `y`; the last takes what is left.
    pub fn z_rows(&self, rows: &Range<usize>) -> Range<usize> {
        let end = if rows.end == self.y.rows { self.z.rows } else { rows.end * self.stride[0] };
        rows.start * self.stride[0]..end
    }

    /// Computes some rows of `y`; for training also the derivative in `z`.
    pub fn forward(&self, path: Path, rows: Range<usize>, train: bool, z: &mut [f32], y: &mut [f32]) {
        self.check(&rows, z, y);
        let (e, affine, z, y) = (self, [&[][..]; 2], z.as_mut_ptr(), y.as_mut_ptr());
        with_function!(self.activation, f => {
            // SAFETY: `check` compared buffers and rows with the frames.
            unsafe {
                match (self.pool, train) {
                    (None, true) => dispatch(path, Forward::<_, ALONE, true, false> { e, rows, z, y, affine, f }),
                    (None, false) => dispatch(path, Forward::<_, ALONE, false, false> { e, rows, z, y, affine, f }),
                    (Some(PoolKind::Average), true) => dispatch(path, Forward::<_, AVERAGE, true, false> { e, rows, z, y, affine, f }),
                    (Some(PoolKind::Average), false) => dispatch(path, Forward::<_, AVERAGE, false, false> { e, rows, z, y, affine, f }),
                    (Some(PoolKind::Maximum), true) => dispatch(path, Forward::<_, MAXIMUM, true, false> { e, rows, z, y, affine, f }),
                    (Some(PoolKind::Maximum), false) => dispatch(path, Forward::<_, MAXIMUM, false, false> { e, rows, z, y, affine, f }),
                }
            }
        })
    }

    /// Computes some rows of `y` from `scale[c] · z + shift[c]`, but for maxima, which are [`super::norm`]'s.
    pub(crate) fn forward_affine(
        &self,
        path: Path,
        rows: Range<usize>,
        affine: [&[f32]; 2],
        z: &mut [f32],
        y: &mut [f32],
    ) {
        self.check(&rows, z, y);
        assert!(affine.iter().all(|a| a.len() >= self.z.channels), "a scale and a shift for every channel");
        assert!(self.pool != Some(PoolKind::Maximum), "maxima go their own way");
        let (e, z, y) = (self, z.as_mut_ptr(), y.as_mut_ptr());
        with_function!(self.activation, f => {
            // SAFETY: `check` compared buffers and rows with the frames.
            unsafe {
                match self.pool {
                    None => dispatch(path, Forward::<_, ALONE, false, true> { e, rows, z, y, affine, f }),
                    Some(PoolKind::Average | PoolKind::Maximum) => {
                        dispatch(path, Forward::<_, AVERAGE, false, true> { e, rows, z, y, affine, f });
                    }
                }
            }
        })
    }

    /// Turns the derivative in `z` into the gradient, for the rows of `z` that belong to some rows of `y`.
    pub fn backward(&self, path: Path, rows: Range<usize>, z: &mut [f32], dy: &[f32]) {
        self.check_backward(&rows, z, dy);
        let (z, dy) = (z.as_mut_ptr(), dy.as_ptr());
        // SAFETY: `check` compared buffers and rows with the frames.
        unsafe { dispatch(path, Backward { e: self, rows, z, dy }) }
    }

    pub(crate) fn check_backward(&self, rows: &Range<usize>, z: &[f32], dy: &[f32]) {
        let same = |f: &Frame| [f.channels, f.rows, f.cols];
        assert!(same(&self.y) == same(&self.dy), "the gradient has the output's shape");
        Epilogue { y: self.dy, ..*self }.check(rows, z, dy);
    }

    pub(crate) fn check(&self, rows: &Range<usize>, z: &[f32], y: &[f32]) {
        assert!(z.len() >= self.z.len() && y.len() >= self.y.len() && rows.end <= self.y.rows, "planned buffers");
        assert!(self.z.lanes == CHUNK && self.y.lanes == CHUNK && self.z.channels == self.y.channels, "chunks");
        for d in 0..2 {
            let (z, y) = ([self.z.rows, self.z.cols][d], [self.y.rows, self.y.cols][d]);
            assert!((y - 1) * self.stride[d] + self.window[d] <= z && self.window[d] <= self.stride[d], "windows");
        }
    }
}

/// Kinds of [`Forward`].
const ALONE: u8 = 0;
const AVERAGE: u8 = 1;
const MAXIMUM: u8 = 2;

struct Forward<'a, F, const KIND: u8, const TRAIN: bool, const AFFINE: bool> {
    e: &'a Epilogue,
    rows: Range<usize>,
    z: *mut f32,
    y: *mut f32,
    /// Scale and shift of each channel.
    affine: [&'a [f32]; 2],
    f: F,
}

impl<F: Function, const KIND: u8, const TRAIN: bool, const AFFINE: bool> Forward<'_, F, KIND, TRAIN, AFFINE> {
    /// No window: one value.
    #[inline(always)]
    unsafe fn alone<S: Simd>(&self, z: *mut f32, y: *mut f32, k: [S::V; 2]) {
        // SAFETY: `run`'s.
        unsafe {
            let x = preactivation::<S, AFFINE>(z, k);
            let a = self.f.value::<S>(x);
            S::store(y, a);
            if TRAIN {
                S::store(z, self.f.slope_at::<S>(x, a));
            }
        }
    }

    /// The mean over a window.
    #[inline(always)]
    unsafe fn average<S: Simd>(&self, z: *mut f32, y: *mut f32, k: [S::V; 2]) {
        let ([kh, kw], z_row) = (self.e.window, self.e.z.row());
        let share = 1.0 / (kh * kw) as f32;
        // SAFETY: `run`'s.
        unsafe {
            let mut sum = S::splat(0.0);
            for i in 0..kh {
                for j in 0..kw {
                    let z = z.add(i * z_row + j * CHUNK);
                    let x = preactivation::<S, AFFINE>(z, k);
                    let a = self.f.value::<S>(x);
                    sum = S::add(sum, a);
                    if TRAIN {
                        S::store(z, S::mul(self.f.slope_at::<S>(x, a), S::splat(share)));
                    }
                }
            }
            S::store(y, S::mul(sum, S::splat(share)));
        }
    }

    /// The maximum of a window.
    #[inline(always)]
    unsafe fn maximum<S: Simd>(&self, z: *mut f32, y: *mut f32, k: [S::V; 2]) {
        let ([kh, kw], z_row) = (self.e.window, self.e.z.row());
        // SAFETY: `run`'s.
        unsafe {
            let mut best = S::splat(f32::NEG_INFINITY);
            for i in 0..kh {
                for j in 0..kw {
                    let z = z.add(i * z_row + j * CHUNK);
                    let a = self.f.value::<S>(preactivation::<S, AFFINE>(z, k));
                    best = larger::<S>(best, a);
                    if TRAIN && F::FROM_VALUE {
                        S::store(z, a);
                    }
                }
            }
            S::store(y, best);
            if !TRAIN {
                return;
            }
            let mut free = S::splat(1.0);
            for i in 0..kh {
                for j in 0..kw {
                    let z = z.add(i * z_row + j * CHUNK);
                    let x = S::load(z);
                    let a = if F::FROM_VALUE { x } else { self.f.value::<S>(x) };
                    let hit = S::select(S::gt(best, a), S::splat(0.0), free);
                    free = S::sub(free, hit);
                    S::store(z, S::mul(self.f.slope::<S>(x), hit));
                }
            }
        }
    }
}

impl<F: Function, const KIND: u8, const TRAIN: bool, const AFFINE: bool> Program
    for Forward<'_, F, KIND, TRAIN, AFFINE>
{
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let e = self.e;
        // SAFETY: all windows lie within z's frame and all outputs within y's (`Epilogue::check`).
        unsafe {
            for c in 0..e.z.channels {
                let mut k = [S::splat(1.0), S::splat(0.0)];
                if AFFINE {
                    k = [S::splat(*self.affine[0].get_unchecked(c)), S::splat(*self.affine[1].get_unchecked(c))];
                }
                for r in self.rows.clone() {
                    let z = self.z.add(e.z.at(c, r * e.stride[0], 0));
                    let y = self.y.add(e.y.at(c, r, 0));
                    for col in 0..e.y.cols * S::PER_POSITION {
                        let (position, lane) = (col / S::PER_POSITION, (col % S::PER_POSITION) * S::LANES);
                        let z = z.add(position * e.stride[1] * CHUNK + lane);
                        let y = y.add(position * CHUNK + lane);
                        match KIND {
                            ALONE => self.alone::<S>(z, y, k),
                            AVERAGE => self.average::<S>(z, y, k),
                            _ => self.maximum::<S>(z, y, k),
                        }
                    }
                }
            }
        }
    }
}

/// What a function is applied to: z, or its scaled and shifted value.
#[inline(always)]
unsafe fn preactivation<S: Simd, const AFFINE: bool>(z: *const f32, [scale, shift]: [S::V; 2]) -> S::V {
    // SAFETY: the caller vouches for a vector at z and runs on S's path.
    unsafe { if AFFINE { S::fma(S::load(z), scale, shift) } else { S::load(z) } }
}

/// The larger of both, `best` where they are equal, `a` where it is NaN.
#[inline(always)]
pub(crate) unsafe fn larger<S: Simd>(best: S::V, a: S::V) -> S::V {
    // SAFETY: the caller runs on S's path.
    unsafe { S::select(S::gt(best, a), best, S::max(best, a)) }
}

struct Backward<'a> {
    e: &'a Epilogue,
    rows: Range<usize>,
    z: *mut f32,
    dy: *const f32,
}

impl Backward<'_> {
    /// One row of z; `W` is the window's width where it is known to the compiler, else 0.
    #[inline(always)]
    unsafe fn row<S: Simd, const W: usize>(&self, z: *mut f32, dy: *const f32) {
        let e = self.e;
        let width = if W == 0 { e.window[1] } else { W };
        // SAFETY: a row of z and the row of y whose windows hold it (`Epilogue::check`).
        unsafe {
            for position in 0..e.y.cols {
                let start = position * e.stride[1];
                for part in 0..S::PER_POSITION {
                    let d = S::load(dy.add(position * CHUNK + part * S::LANES));
                    for j in 0..width {
                        let z = z.add((start + j) * CHUNK + part * S::LANES);
                        S::store(z, S::mul(S::load(z), d));
                    }
                }
                let end = if position + 1 == e.y.cols { e.z.cols } else { start + e.stride[1] };
                let gap = end - start - width;
                if gap > 0 {
                    std::ptr::write_bytes(z.add((start + width) * CHUNK), 0, gap * CHUNK);
                }
            }
        }
    }
}

impl Program for Backward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let e = self.e;
        // SAFETY: all windows lie within z's frame and all outputs within y's (`Epilogue::check`).
        unsafe {
            for c in 0..e.z.channels {
                for r in self.rows.clone() {
                    let z_rows = e.z_rows(&(r..r + 1));
                    let dy = self.dy.add(e.dy.at(c, r, 0));
                    for (i, z_row) in z_rows.enumerate() {
                        let z = self.z.add(e.z.at(c, z_row, 0));
                        if i >= e.window[0] {
                            std::ptr::write_bytes(z, 0, e.z.cols * CHUNK);
                            continue;
                        }
                        match e.window[1] {
                            1 => self.row::<S, 1>(z, dy),
                            2 => self.row::<S, 2>(z, dy),
                            3 => self.row::<S, 3>(z, dy),
                            _ => self.row::<S, 0>(z, dy),
                        }
                    }
                }
            }
        }
    }
}

#[cfg(feature = "bench")]
pub(crate) mod bench {
    use super::*;
    use crate::kernel::bench::{Bench, Disagreement, agree};
    use crate::kernel::kit::{filled, lane};
    use crate::kernel::op::{activation, pool};

    /// What is timed: activation and pooling behind a layer, forward and backward.
    pub(crate) fn bench(
        bench: &mut Bench,
        name: &str,
        a: Activation,
        kind: PoolKind,
        s: &PoolShape,
    ) -> Result<(), Disagreement> {
        let (z, y) = (Frame::chunk([s.c, s.ih, s.iw]), Frame::chunk([s.c, s.oh, s.ow]));
        let (activation, pool, window) = (Some(a), Some(kind), [s.kh, s.kw]);
        let e = Epilogue { activation, pool, window, stride: s.stride, z, y, dy: y };
        let (path, mut work, mut out) = (bench.path, filled(&z, 11), vec![0.0; y.len()]);
        let values: Vec<f64> = lane(&z, &work, 3).into_iter().map(|v| activation::naive(a, v).0).collect();
        e.forward(path, 0..s.oh, true, &mut work, &mut out);
        agree(name, &lane(&y, &out, 3), &pool::naive::forward(kind, s, &values).0, 1e-6)?;
        bench.row(format!("{name} forward"), 0, || e.forward(path, 0..s.oh, true, &mut work, &mut out));
        bench.row(format!("{name} backward"), 0, || e.backward(path, 0..s.oh, &mut work, &out));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
