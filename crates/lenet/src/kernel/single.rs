//! Activation and pooling of one sample, pixels in the lanes.

use super::activation::{Function, with_function};
use super::epilogue::{Epilogue, larger};
use super::frame::Frame;
use super::path::{Path, Program, dispatch};
use super::pool::PoolKind;
use super::simd::{CHUNK, Simd};
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
        // SAFETY: whole vectors of the slice, and a buffer of 16 floats for what is left.
        unsafe {
            for v in self.values.chunks_mut(S::LANES) {
                let mut edge = [0.0f32; 16];
                let n = v.len();
                let at = if n == S::LANES {
                    v.as_mut_ptr()
                } else {
                    edge[..n].copy_from_slice(v);
                    edge.as_mut_ptr()
                };
                S::store(at, F::value::<S>(S::load(at)));
                if n < S::LANES {
                    v.copy_from_slice(&edge[..n]);
                }
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
        with_function!(self.activation, F => {
            let run = FinishRun::<F> { p: self, z, bias, affine, y, f: PhantomData };
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
    f: PhantomData<F>,
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
            if S::CALLS { Self::called::<S>(x) } else { F::value::<S>(x) }
        }
    }

    /// The function, once a program.
    #[inline(never)]
    unsafe fn called<S: Simd>(x: S::V) -> S::V {
        // SAFETY: the caller runs on S's path.
        unsafe { F::value::<S>(x) }
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

/// Scales and shifts the planes of as many channels as have a scale and a shift.
pub fn scale_planes(path: Path, plane: usize, affine: [&[f32]; 2], z: &mut [f32]) {
    // SAFETY: works on slices.
    unsafe { dispatch(path, ScalePlanes { plane, affine, z }) }
}

struct ScalePlanes<'a> {
    plane: usize,
    affine: [&'a [f32]; 2],
    z: &'a mut [f32],
}

impl Program for ScalePlanes<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (plane, (scale, shift)) in self.z.chunks_mut(self.plane).zip(self.affine[0].iter().zip(self.affine[1])) {
            for v in plane {
                *v = v.mul_add(*scale, *shift);
            }
        }
    }
}

/// The sum of two values of a sample into planes without a border.
pub fn sum_planes([(a, from), (b, other)]: [(&[f32], &Frame); 2], to: Steps, sum: &mut [f32]) {
    let add = |sum: &mut [f32], a: &[f32], b: &[f32]| {
        sum.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum = a + b);
    };
    if [from, other].iter().all(|f| [f.border_rows, f.border_cols] == [0, 0]) {
        // Shapes may differ then, as before and behind a flatten.
        return add(&mut sum[..from.len()], &a[..from.len()], b);
    }
    for (c, row) in (0..from.channels * from.rows).map(|i| (i / from.rows, i % from.rows)) {
        let sum = &mut sum[to.at(c, row, 0)..][..from.cols];
        add(sum, &a[from.at(c, row, 0)..], &b[other.at(c, row, 0)..]);
    }
}

fn clip(out: usize, stride: usize, window: usize, padding: usize, len: usize) -> (usize, usize) {
    let start = out * stride;
    (start.saturating_sub(padding), (start + window).saturating_sub(padding).min(len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i * 7919 % 1009) as f32 / 250.0 - 2.0).collect()
    }

    /// All at once gives what activation and pooling give one after the other, and touches nothing else.
    #[test]
    fn in_one_go_or_step_by_step_the_bits_are_the_same() {
        for (c, [ih, iw], [kh, kw], stride, col) in [
            (6, [28, 28], [2, 2], [2, 2], 1),
            (3, [7, 11], [2, 2], [2, 2], 1),
            (4, [5, 37], [3, 1], [3, 2], 1),
            (4, [6, 19], [3, 1], [3, 1], 1),
            (2, [4, 21], [1, 1], [1, 1], 1),
            (2, [4, 9], [1, 1], [1, 1], 2),
            (20, [6, 5], [2, 2], [3, 2], 32),
            (16, [10, 10], [3, 3], [3, 3], 16),
        ] {
            let (oh, ow) = ((ih - kh) / stride[0] + 1, (iw - kw) / stride[1] + 1);
            let s = PoolShape { c, ih, iw, oh, ow, kh, kw, stride, padding: [0, 0] };
            let y = Steps { origin: 5, plane: (oh + 1) * (ow + 3), row: ow + 3, col: 1 };
            let across = col > 2;
            let row = iw * col + 3;
            let z = Steps { origin: 2, plane: if across { 1 } else { ih * row }, row, col };
            let all: Vec<_> = (0..c * ih * iw).map(|i| (i / (ih * iw), i / iw % ih, i % iw)).collect();
            for (kind, normalizes) in
                [PoolKind::Average, PoolKind::Maximum].into_iter().flat_map(|k| [false, !across].map(|n| (k, n)))
            {
                for activation in [None, Some(Activation::Sigmoid), Some(Activation::Silu)] {
                    let finish = Finish { normalizes, activation, kind, s, z, y };
                    assert!(finish.fits());
                    let from = values(finish.z_extent().max(c * ih * row));
                    let affine = [values(c + 3).split_off(3), values(c)];
                    let mut bias = vec![0.0; if across { c.next_multiple_of(CHUNK) } else { 0 }];
                    bias.iter_mut().zip(values(c)).for_each(|(b, v)| *b = v);
                    let mut steps = from.clone();
                    for &(i, row, col) in &all {
                        let value = &mut steps[z.at(i, row, col)];
                        if across {
                            *value += bias[i];
                        } else if normalizes {
                            *value = value.mul_add(affine[0][i], affine[1][i]);
                        }
                    }
                    activate(Path::PORTABLE, activation, &mut steps);
                    let mut want = vec![7.0; c * y.plane + 5];
                    pool(kind, &s, &steps, z, &mut want, y);
                    for path in Path::available() {
                        let mut got = vec![7.0; want.len()];
                        finish.run(path, &from, &bias, [&affine[0], &affine[1]], &mut got);
                        assert_eq!(got, want, "{path} {s:?} {kind:?} {activation:?}");
                    }
                }
            }
        }
    }
}
