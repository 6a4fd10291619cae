//! Normalisation of channels: statistics of a chunk, and the way back through activation, pooling and normalisation.
//!
//! Forward is [`Epilogue::forward_affine`] with each channel's scale and shift, which leaves `z` as it is. Backward takes
//! two passes over `z` and the gradient of the output, since what the mean and variance pass back is known only when the
//! whole batch has been summed: [`NormBackward::sums`], then [`NormBackward::finish`]. The first leaves the gradient by the
//! normalised value where it found that of the output, so that the second computes no activation.

pub mod maximum;

use crate::kernel::op::activation::{Function, Identity, with_function};
use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::op::pool::PoolKind;
use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::{CHUNK, Simd, sum_lanes};
use std::marker::PhantomData;
use std::ops::Range;

/// Mean and sum of squared deviations of each channel over the first `samples` lanes of a chunk's `z`: `[channel][2]`.
///
/// Rows are summed one by one and then added, in two passes: the deviations are from the chunk's own mean.
pub fn statistics(path: Path, frame: &Frame, samples: usize, z: &[f32], out: &mut [f32]) {
    assert!(z.len() >= frame.len() && frame.lanes == CHUNK && out.len() >= 2 * frame.channels, "planned buffers");
    let count = (samples * frame.rows * frame.cols) as f64;
    for c in 0..frame.channels {
        let (mut lanes, mut means) = ([0.0f32; CHUNK], [0.0f32; CHUNK]);
        for (moment, out) in out[2 * c..2 * c + 2].iter_mut().enumerate() {
            let z = z[frame.at(c, 0, 0)..].as_ptr();
            // SAFETY: all rows of the channel lie within the frame, compared above.
            unsafe {
                if moment == 0 {
                    dispatch(path, Moment::<false> { frame, z, mean: 0.0, lanes: &mut lanes });
                } else {
                    dispatch(path, Moment::<true> { frame, z, mean: means[0], lanes: &mut lanes });
                }
            }
            lanes[samples..].fill(0.0);
            *out = sum_lanes(&lanes);
            if moment == 0 {
                *out = (f64::from(*out) / count) as f32;
                means = [*out; CHUNK];
            }
        }
    }
}

struct Moment<'a, const SECOND: bool> {
    frame: &'a Frame,
    z: *const f32,
    mean: f32,
    lanes: &'a mut [f32; CHUNK],
}

impl<const SECOND: bool> Program for Moment<'_, SECOND> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (rows, cols) = (self.frame.rows, self.frame.cols);
        // SAFETY: rows and columns of one channel.
        unsafe {
            let mean = S::splat(self.mean);
            for part in 0..S::PER_POSITION {
                let lane = part * S::LANES;
                let mut total = S::splat(0.0);
                for row in 0..rows {
                    let z = self.z.add(row * self.frame.row() + lane);
                    // Two chains a row, so that an addition need not wait for the one before.
                    let mut sums = [S::splat(0.0); 2];
                    for col in 0..cols {
                        let v = S::load(z.add(col * CHUNK));
                        let sum = sums.get_unchecked_mut(col % 2);
                        if SECOND {
                            let d = S::sub(v, mean);
                            *sum = S::fma(d, d, *sum);
                        } else {
                            *sum = S::add(*sum, v);
                        }
                    }
                    total = S::add(total, S::add(sums[0], sums[1]));
                }
                S::store(self.lanes.as_mut_ptr().add(lane), total);
            }
        }
    }
}

/// What is known of each channel, by channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channels {
    /// Factor of z.
    pub scale: Vec<f32>,
    /// Added to the scaled z.
    pub shift: Vec<f32>,
    /// Mean of z.
    pub mean: Vec<f32>,
    /// 1 / √(variance of z + eps)
    pub inverse: Vec<f32>,
    /// Mean over the batch of the gradient of the normalised, scaled and shifted value.
    pub mean_gradient: Vec<f32>,
    /// Mean over the batch of that gradient times the normalised value.
    pub mean_product: Vec<f32>,
}

impl Channels {
    /// Neutral values.
    pub fn new(n: usize) -> Self {
        let zeros = || vec![0.0; n];
        let ones = || vec![1.0; n];
        let (mean_gradient, mean_product) = (zeros(), zeros());
        Channels { scale: ones(), shift: zeros(), mean: zeros(), inverse: ones(), mean_gradient, mean_product }
    }

    pub(crate) fn check(&self, n: usize) {
        let all = [&self.scale, &self.shift, &self.mean, &self.inverse, &self.mean_gradient, &self.mean_product];
        assert!(all.iter().all(|v| v.len() == n), "one value a channel");
    }
}

/// Backward through an epilogue behind a normalisation; through maxima it is [`crate::kernel::op::norm::maximum`]'s.
#[derive(Clone, Copy)]
pub struct NormBackward<'a> {
    /// The epilogue.
    pub e: &'a Epilogue,
    /// What forward used.
    pub channels: &'a Channels,
}

impl NormBackward<'_> {
    /// Sums of each channel over the chunk, lanes apart, `[channel][2][16]`: of the gradient d of the normalised, scaled
    /// and shifted value, and of d times the normalised value. Lanes without a sample have a gradient of 0.
    ///
    /// Without pooling, `dy` becomes d.
    pub fn sums(&self, path: Path, z: &[f32], dy: &mut [f32], sums: &mut [f32]) {
        let (e, rows) = (self.e, 0..self.e.y.rows);
        if e.activation.is_none() && e.pool.is_none() {
            return self.sums_of(path, rows, z, dy, sums);
        }
        self.check(&rows, z, dy, sums);
        let (z, sums, k) = (z.as_ptr().cast_mut(), sums.as_mut_ptr(), self.channels);
        let dy = dy.as_mut_ptr();
        with_function!(e.activation, F => {
            let f = PhantomData;
            // SAFETY: the buffers were compared; z is only read.
            unsafe {
                match e.pool {
                    None => dispatch(path, Backward::<F, false, SUMS> { e, k, rows, z, dy, sums, f }),
                    Some(_) => dispatch(path, Backward::<F, true, SUMS> { e, k, rows, z, dy, sums, f }),
                }
            }
        })
    }

    /// The same of some rows alone, in order, where d is known; the first rows start the sums.
    pub fn sums_of(&self, path: Path, rows: Range<usize>, z: &[f32], d: &[f32], sums: &mut [f32]) {
        let (e, k) = (self.e, self.channels);
        self.check(&rows, z, d, sums);
        let (z, dy, sums) = (z.as_ptr().cast_mut(), d.as_ptr().cast_mut(), sums.as_mut_ptr());
        // SAFETY: the buffers were compared; z and d are only read.
        unsafe { dispatch(path, Backward::<Identity, false, KNOWN> { e, k, rows, z, dy, sums, f: PhantomData }) }
    }

    /// Turns the rows of `z` that belong to some rows of y into their gradient: `scale · (d - mean d - ẑ · mean (d · ẑ))`;
    /// lanes from `samples` on become 0. `dy` is what [`NormBackward::sums`] left.
    pub fn finish(&self, path: Path, rows: Range<usize>, samples: usize, z: &mut [f32], dy: &[f32]) {
        let (e, k) = (self.e, self.channels);
        e.check_backward(&rows, z, dy);
        k.check(e.z.channels);
        let (z_start, dy, sums) = (z.as_mut_ptr(), dy.as_ptr().cast_mut(), std::ptr::null_mut());
        if e.pool.is_none() {
            let back =
                Backward::<Identity, false, APPLY> { e, k, rows: rows.clone(), z: z_start, dy, sums, f: PhantomData };
            // SAFETY: the buffers were compared; dy is only read.
            unsafe { dispatch(path, back) }
        } else {
            with_function!(e.activation, F => {
                let back = Backward::<F, true, APPLY> { e, k, rows: rows.clone(), z: z_start, dy, sums, f: PhantomData };
                // SAFETY: as above.
                unsafe { dispatch(path, back) }
            })
        }
        clear_lanes(&e.z, e.z_rows(&rows), samples, z);
    }

    fn check(&self, rows: &Range<usize>, z: &[f32], dy: &[f32], sums: &[f32]) {
        assert!(sums.len() >= self.e.z.channels * 2 * CHUNK, "two vectors a channel");
        assert!(self.e.pool != Some(PoolKind::Maximum), "maxima go their own way");
        self.e.check_backward(rows, z, dy);
        self.channels.check(self.e.z.channels);
    }
}

/// Lanes from `samples` on of some rows become 0.
pub(crate) fn clear_lanes(f: &Frame, rows: Range<usize>, samples: usize, z: &mut [f32]) {
    if samples == CHUNK {
        return;
    }
    for (c, row) in (0..f.channels).flat_map(|c| rows.clone().map(move |row| (c, row))) {
        let at = f.at(c, row, 0);
        z[at..at + f.cols * CHUNK].as_chunks_mut::<CHUNK>().0.iter_mut().for_each(|v| v[samples..].fill(0.0));
    }
}

/// A pass of [`Backward`]: sums, leaving d in dy where there is no pooling.
const SUMS: u8 = 0;
/// Sums on top of others, where dy is d.
const KNOWN: u8 = 1;
/// The gradient of z, where dy is d if there is no pooling.
const APPLY: u8 = 2;

struct Backward<'a, F, const AVERAGE: bool, const PASS: u8> {
    e: &'a Epilogue,
    k: &'a Channels,
    rows: Range<usize>,
    z: *mut f32,
    dy: *mut f32,
    sums: *mut f32,
    f: PhantomData<F>,
}

/// A channel's values in vectors.
#[derive(Clone, Copy)]
pub(crate) struct Channel<S: Simd> {
    pub scale: S::V,
    pub shift: S::V,
    pub mean: S::V,
    pub inverse: S::V,
    /// What the gradient of z has of the distance of z from its mean.
    slope: S::V,
    /// What it has in any case.
    constant: S::V,
}

impl<S: Simd> Channel<S> {
    #[inline(always)]
    pub unsafe fn new(k: &Channels, c: usize) -> Self {
        // SAFETY: the caller runs on S's path.
        unsafe {
            Channel {
                scale: S::splat(k.scale[c]),
                shift: S::splat(k.shift[c]),
                mean: S::splat(k.mean[c]),
                inverse: S::splat(k.inverse[c]),
                slope: S::splat(-(k.scale[c] * k.inverse[c] * k.mean_product[c])),
                constant: S::splat(-(k.scale[c] * k.mean_gradient[c])),
            }
        }
    }

    /// The gradient of z from d: `scale · (d - mean d - ẑ · mean (d · ẑ))`.
    #[inline(always)]
    pub unsafe fn gradient(&self, z: S::V, d: S::V) -> S::V {
        // SAFETY: the caller runs on S's path.
        unsafe { S::fma(self.scale, d, S::fma(self.slope, S::sub(z, self.mean), self.constant)) }
    }
}

impl<F: Function, const AVERAGE: bool, const PASS: u8> Backward<'_, F, AVERAGE, PASS> {
    /// One vector of z whose activation has the gradient `d`.
    #[inline(always)]
    unsafe fn position<S: Simd>(z: *mut f32, dy: *mut f32, d: S::V, k: &Channel<S>, sums: &mut [S::V; 2]) {
        // SAFETY: the caller vouches for a vector at z and at dy, and runs on S's path.
        unsafe {
            let (v, mut d) = (S::load(z), d);
            if AVERAGE || PASS == SUMS {
                let x = S::fma(v, k.scale, k.shift);
                d = S::mul(d, if F::FROM_VALUE { F::slope::<S>(F::value::<S>(x)) } else { F::slope::<S>(x) });
            }
            if PASS == APPLY {
                S::store(z, k.gradient(v, d));
                return;
            }
            if PASS == SUMS && !AVERAGE {
                S::store(dy, d);
            }
            sums[0] = S::add(sums[0], d);
            sums[1] = S::fma(d, S::sub(v, k.mean), sums[1]);
        }
    }

    /// Positions from `z` on that no window holds.
    #[inline(always)]
    unsafe fn gap<S: Simd>(z: *mut f32, positions: usize, k: &Channel<S>) {
        if PASS == APPLY {
            // SAFETY: the caller vouches for the positions and runs on S's path.
            unsafe {
                for i in 0..positions {
                    let z = z.add(i * CHUNK);
                    S::store(z, k.gradient(S::load(z), S::splat(0.0)));
                }
            }
        }
    }

    /// What the windows of row `r` of y leave out of the rows of z that belong to it.
    #[inline(always)]
    unsafe fn gaps<S: Simd>(e: &Epilogue, r: usize, z: *mut f32, k: &Channel<S>) {
        let [kh, kw] = e.window;
        // SAFETY: rows and columns within z's frame; the caller runs on S's path.
        unsafe {
            for i in 0..e.z_rows(&(r..r + 1)).len() {
                let z = z.add(i * e.z.row());
                if i >= kh {
                    Self::gap::<S>(z, e.z.cols, k);
                    continue;
                }
                for col in 0..e.y.cols {
                    let start = col * e.stride[1] + kw;
                    let end = if col + 1 == e.y.cols { e.z.cols } else { (col + 1) * e.stride[1] };
                    Self::gap::<S>(z.add(start * CHUNK), end - start, k);
                }
            }
        }
    }
}

impl<F: Function, const AVERAGE: bool, const PASS: u8> Program for Backward<'_, F, AVERAGE, PASS> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let e = self.e;
        let [kh, kw] = e.window;
        // SAFETY: all windows lie within z's frame and all outputs within dy's (`Epilogue::check_backward`); there are two
        // vectors of sums a channel.
        unsafe {
            let share = S::splat(1.0 / (kh * kw) as f32);
            for c in 0..e.z.channels {
                let k = Channel::<S>::new(self.k, c);
                for part in 0..S::PER_POSITION {
                    let lane = part * S::LANES;
                    let out = self.sums.wrapping_add(2 * c * CHUNK + lane);
                    let mut total = [S::splat(0.0); 2];
                    if PASS == KNOWN && self.rows.start > 0 {
                        total = [S::load(out), S::load(out.add(CHUNK))];
                    }
                    for r in self.rows.clone() {
                        let z = self.z.add(e.z.at(c, r * e.stride[0], 0) + lane);
                        let dy = self.dy.add(e.dy.at(c, r, 0) + lane);
                        let mut sums = [S::splat(0.0); 2];
                        for col in 0..e.y.cols {
                            let dy = dy.add(col * CHUNK);
                            if AVERAGE {
                                let d = S::mul(S::load(dy), share);
                                for i in 0..kh {
                                    for j in 0..kw {
                                        let z = z.add(i * e.z.row() + (col * e.stride[1] + j) * CHUNK);
                                        Self::position::<S>(z, dy, d, &k, &mut sums);
                                    }
                                }
                            } else {
                                Self::position::<S>(z.add(col * CHUNK), dy, S::load(dy), &k, &mut sums);
                            }
                        }
                        if PASS == KNOWN {
                            sums[1] = S::mul(sums[1], k.inverse);
                        }
                        total = [S::add(total[0], sums[0]), S::add(total[1], sums[1])];
                        if AVERAGE {
                            Self::gaps::<S>(e, r, z, &k);
                        }
                    }
                    if PASS == SUMS {
                        total[1] = S::mul(total[1], k.inverse);
                    }
                    if PASS != APPLY {
                        S::store(out, total[0]);
                        S::store(out.add(CHUNK), total[1]);
                    }
                }
            }
        }
    }
}

/// The naive reference in f64, one channel of a whole batch.
pub mod naive {
    /// Mean and biased variance.
    pub fn moments(x: &[f64]) -> (f64, f64) {
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        (mean, x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n)
    }

    /// `weight · (x - mean) / √(variance + eps) + bias`
    pub fn forward(x: &[f64], (mean, variance): (f64, f64), eps: f64, weight: f64, bias: f64) -> Vec<f64> {
        x.iter().map(|x| weight * (x - mean) / (variance + eps).sqrt() + bias).collect()
    }

    /// dx, and the gradients of weight and bias, where mean and variance are those of x itself.
    pub fn backward(x: &[f64], dy: &[f64], eps: f64, weight: f64) -> (Vec<f64>, f64, f64) {
        let (n, (mean, variance)) = (x.len() as f64, moments(x));
        let inverse = 1.0 / (variance + eps).sqrt();
        let normal: Vec<f64> = x.iter().map(|x| (x - mean) * inverse).collect();
        let db = dy.iter().sum::<f64>();
        let dw = dy.iter().zip(&normal).map(|(d, x)| d * x).sum::<f64>();
        let dx = dy.iter().zip(&normal).map(|(d, x)| weight * inverse * (d - db / n - x * dw / n)).collect();
        (dx, dw, db)
    }

    /// The same where mean and variance are given and depend on nothing.
    pub fn backward_running(
        x: &[f64],
        dy: &[f64],
        (mean, variance): (f64, f64),
        eps: f64,
        weight: f64,
    ) -> (Vec<f64>, f64, f64) {
        let inverse = 1.0 / (variance + eps).sqrt();
        let dw = dy.iter().zip(x).map(|(d, x)| d * (x - mean) * inverse).sum();
        (dy.iter().map(|d| d * weight * inverse).collect(), dw, dy.iter().sum())
    }
}
