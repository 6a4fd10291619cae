//! Normalisation, activation and pooling of one sample, pixels or channels in the lanes.

use super::{Epilogue, larger};
use crate::kernel::op::activation::{Function, with_function};
use crate::kernel::op::pool::PoolKind;
use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::plan::frame::Steps;
use crate::kernel::simd::{CHUNK, Simd};
use crate::spec::{Activation, PoolShape};

/// Normalisation, activation and pooling of a sample in one go: windows that do not overlap, and whose columns are at most 2
/// apart.
#[derive(Clone, Copy, Debug)]
pub struct Finish {
    /// Whether channels are scaled and shifted first.
    pub normalizes: bool,
    /// The function; `None` for none.
    pub activation: Option<Activation>,
    /// Of a 1 × 1 window, no pooling.
    pub kind: PoolKind,
    /// The pooling's geometry.
    pub s: PoolShape,
    /// Where z is: columns side by side, or else channels, in whole vectors of 16.
    pub z: Steps,
    /// Where the output goes; columns lie side by side.
    pub y: Steps,
}

impl Finish {
    /// Whether channels are in the lanes, rather than columns.
    fn across(&self) -> bool {
        self.z.plane == 1
    }

    /// Whether it can be done in one go.
    pub fn fits(&self) -> bool {
        let (s, col) = (&self.s, self.z.col);
        let fits = if self.across() { !self.normalizes } else { s.stride[1] * col <= 2 && (s.kw - 1) * col < 2 };
        fits && Epilogue::fits(s) && self.y.col == 1
    }

    /// Floats that z must have.
    pub fn z_extent(&self) -> usize {
        let s = &self.s;
        let row = (s.oh - 1) * s.stride[0] + s.kh - 1;
        if self.across() {
            self.z.at(0, row, (s.ow - 1) * s.stride[1] + s.kw - 1) + s.c.next_multiple_of(CHUNK)
        } else {
            self.z.at(s.c - 1, row, 0) + s.ow.next_multiple_of(CHUNK) * s.stride[1] * self.z.col
        }
    }

    /// Computes y. With channels in the lanes a bias is added first: nothing, or a value for each lane. A normalisation has
    /// each channel's scale and shift.
    pub fn run(&self, path: Path, z: &[f32], bias: &[f32], affine: [&[f32]; 2], y: &mut [f32]) {
        let s = &self.s;
        assert!(self.fits() && z.len() >= self.z_extent(), "planned buffers");
        assert!(y.len() > self.y.at(s.c - 1, s.oh - 1, s.ow - 1), "room for the output");
        assert!(bias.is_empty() || self.across() && bias.len() >= s.c.next_multiple_of(CHUNK), "a bias for every lane");
        assert!(!self.normalizes || affine.iter().all(|a| a.len() >= s.c), "a scale and a shift for every channel");
        let (z, y) = (z.as_ptr(), y.as_mut_ptr());
        let bias = if bias.is_empty() { std::ptr::null() } else { bias.as_ptr() };
        with_function!(self.activation, f => {
            let run = FinishRun { p: self, z, bias, affine, y, f };
            // SAFETY: the buffers were compared with what the steps reach.
            unsafe { dispatch(path, run) }
        })
    }
}

struct FinishRun<'a, F> {
    p: &'a Finish,
    z: *const f32,
    bias: *const f32,
    affine: [&'a [f32]; 2],
    y: *mut f32,
    f: F,
}

/// One more value of a window.
#[inline(always)]
unsafe fn pooled<S: Simd>(kind: PoolKind, before: S::V, a: S::V) -> S::V {
    // SAFETY: the caller runs on S's path.
    unsafe {
        match kind {
            PoolKind::Average => S::add(before, a),
            PoolKind::Maximum => larger::<S>(before, a),
        }
    }
}

impl<F: Function> FinishRun<'_, F> {
    /// The function of a normalised value, or of the value as it is. Each call is a copy of the function, for each function
    /// and path: there are few.
    #[inline(always)]
    unsafe fn value<S: Simd>(&self, x: S::V, [scale, shift]: [S::V; 2]) -> S::V {
        // SAFETY: the caller runs on S's path.
        unsafe {
            let x = if self.p.normalizes { S::fma(x, scale, shift) } else { x };
            if S::CALLS { Self::called::<S>(self.f, x) } else { self.f.value::<S>(x) }
        }
    }

    /// The function, once a program.
    #[inline(never)]
    unsafe fn called<S: Simd>(f: F, x: S::V) -> S::V {
        // SAFETY: the caller runs on S's path.
        unsafe { f.value::<S>(x) }
    }

    /// A vector of a window's first columns and one of its last; `step` floats lie from one window to the next. Of windows
    /// 2 apart, two vectors are taken in turn; the second may be one that is not needed.
    #[inline(always)]
    unsafe fn halves<S: Simd>(z: *const f32, step: usize, more: bool) -> (S::V, S::V) {
        // SAFETY: `Finish::run` compared the buffers.
        unsafe {
            let a = S::load(z);
            if step == 1 { (a, a) } else { S::unzip(a, if more { S::load(z.add(S::LANES)) } else { a }) }
        }
    }

    /// Columns in the lanes.
    #[inline(always)]
    unsafe fn columns<S: Simd>(&self, first: S::V, share: S::V) {
        let (p, s) = (self.p, &self.p.s);
        let step = s.stride[1] * p.z.col;
        let mut affine = [first; 2];
        // As in chunks a maximum is found before the function is applied, if there is a normalisation.
        let ends = p.normalizes && p.kind == PoolKind::Maximum && s.kh * s.kw > 1;
        // SAFETY: `Finish::run` compared the buffers.
        unsafe {
            for (c, oy) in (0..s.c * s.oh).map(|i| (i / s.oh, i % s.oh)) {
                if p.normalizes {
                    affine = [S::splat(*self.affine[0].get_unchecked(c)), S::splat(*self.affine[1].get_unchecked(c))];
                }
                let z = self.z.add(p.z.at(c, oy * s.stride[0], 0));
                let y = self.y.add(p.y.at(c, oy, 0));
                for ox in (0..s.ow).step_by(S::LANES) {
                    let n = S::LANES.min(s.ow - ox);
                    let (z, more) = (z.add(ox * step), 2 * n > S::LANES);
                    let mut value = first;
                    if ends {
                        let mut ends = [Self::halves::<S>(z, step, more).0; 2];
                        for i in 0..s.kh {
                            let (even, odd) = Self::halves::<S>(z.add(i * p.z.row), step, more);
                            ends = [S::max(ends[0], even), S::min(ends[1], even)];
                            if s.kw == 2 {
                                ends = [S::max(ends[0], odd), S::min(ends[1], odd)];
                            }
                        }
                        let (a, b) = (self.value::<S>(ends[0], affine), self.value::<S>(ends[1], affine));
                        S::store_first(y.add(ox), S::select(S::gt(b, a), b, a), n);
                        continue;
                    }
                    for i in 0..s.kh {
                        let (even, odd) = Self::halves::<S>(z.add(i * p.z.row), step, more);
                        value = pooled::<S>(p.kind, value, self.value::<S>(even, affine));
                        if s.kw == 2 {
                            value = pooled::<S>(p.kind, value, self.value::<S>(odd, affine));
                        }
                    }
                    if p.kind == PoolKind::Average {
                        value = S::mul(value, share);
                    }
                    S::store_first(y.add(ox), value, n);
                }
            }
        }
    }

    /// Channels in the lanes.
    #[inline(always)]
    unsafe fn channels<S: Simd>(&self, first: S::V, share: S::V) {
        let (p, s) = (self.p, &self.p.s);
        // SAFETY: `Finish::run` compared the buffers.
        unsafe {
            for c in (0..s.c).step_by(S::LANES) {
                let bias = if self.bias.is_null() { S::splat(0.0) } else { S::load(self.bias.add(c)) };
                for (oy, ox) in (0..s.oh * s.ow).map(|i| (i / s.ow, i % s.ow)) {
                    let z = self.z.add(p.z.at(c, oy * s.stride[0], ox * s.stride[1]));
                    let mut value = first;
                    for (i, j) in (0..s.kh * s.kw).map(|k| (k / s.kw, k % s.kw)) {
                        let x = S::load(z.add(i * p.z.row + j * p.z.col));
                        value = pooled::<S>(p.kind, value, self.value::<S>(S::add(x, bias), [bias; 2]));
                    }
                    if p.kind == PoolKind::Average {
                        value = S::mul(value, share);
                    }
                    let mut values = [0.0f32; CHUNK];
                    S::store(values.as_mut_ptr(), value);
                    let y = self.y.add(p.y.at(c, oy, ox));
                    for lane in 0..S::LANES.min(s.c - c) {
                        *y.add(lane * p.y.plane) = values[lane];
                    }
                }
            }
        }
    }
}

impl<F: Function> Program for FinishRun<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (p, s) = (self.p, &self.p.s);
        // SAFETY: `Finish::run` compared the buffers.
        unsafe {
            let first = S::splat(if p.kind == PoolKind::Average { 0.0 } else { f32::NEG_INFINITY });
            let share = S::splat(1.0 / (s.kh * s.kw) as f32);
            if p.across() {
                self.channels::<S>(first, share);
            } else {
                self.columns::<S>(first, share);
            }
        }
    }
}
