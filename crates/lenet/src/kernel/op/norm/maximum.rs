//! Normalisation, activation and maximum pooling in one, for training and evaluation.
//!
//! A window's maximum is taken before the activation is computed. The activations that come here fall up to some point and
//! rise behind it, or only rise ([`peaks_at_an_end`](crate::kernel::op::activation::Course::peaks_at_an_end)), so that the
//! largest value of a window belongs to its largest z or to its smallest, whatever the sign of the channel's scale: two
//! activations a window instead of one a position. Forward keeps the z of the maximum, `[c][oh][ow][16]`,
//! from which backward has the slope; the windows themselves are read once more, for dz.

use super::channels::{Channel, Channels, clear_lanes, gaps};
use crate::kernel::op::activation::{Function, with_function};
use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::{CHUNK, Simd};
use std::ops::Range;

/// An epilogue that takes maxima behind a normalisation.
#[derive(Clone, Copy)]
pub(super) struct NormMaximum<'a> {
    /// The epilogue.
    pub e: &'a Epilogue,
    /// Scale and shift; for backward all that forward used.
    pub channels: &'a Channels,
}

impl NormMaximum<'_> {
    /// Layout of the z of the maxima.
    fn picked(e: &Epilogue) -> Frame {
        Frame::chunk([e.y.channels, e.y.rows, e.y.cols])
    }

    /// Floats of the z of the maxima.
    pub fn picked_len(e: &Epilogue) -> usize {
        Self::picked(e).len()
    }

    /// Computes some rows of `y`, and the z of each maximum unless `picked` is empty.
    pub fn forward(&self, path: Path, rows: Range<usize>, z: &[f32], picked: &mut [f32], y: &mut [f32]) {
        let e = self.e;
        e.check(&rows, z, y);
        self.channels.check(e.z.channels);
        assert!(picked.is_empty() || picked.len() >= Self::picked_len(e), "planned buffers");
        let picked = if picked.is_empty() { std::ptr::null_mut() } else { picked.as_mut_ptr() };
        let (k, z, y) = (self.channels, z.as_ptr(), y.as_mut_ptr());
        with_function!(e.activation, f => {
            // SAFETY: the buffers were compared with the frames.
            unsafe { dispatch(path, Forward { e, k, rows, z, picked, y, f }) }
        })
    }

    /// Turns the gradient of y into that of the scaled and shifted z of each maximum, and sums it over the chunk as
    /// [`super::NormEpilogue::sums`] does.
    pub fn sums(&self, path: Path, picked: &[f32], dy: &mut [f32], sums: &mut [f32]) {
        let e = self.e;
        assert!(sums.len() >= e.z.channels * 2 * CHUNK, "two vectors a channel");
        assert!(picked.len() >= Self::picked_len(e) && dy.len() >= e.dy.len(), "planned buffers");
        self.channels.check(e.z.channels);
        let (k, picked, dy, sums) = (self.channels, picked.as_ptr(), dy.as_mut_ptr(), sums.as_mut_ptr());
        with_function!(e.activation, f => {
            // SAFETY: the buffers were compared with the frames.
            unsafe { dispatch(path, Sums { e, k, picked, dy, sums, f }) }
        })
    }

    /// Turns the rows of `z` that belong to some rows of y into their gradient, from what [`NormMaximum::sums`] left in `dy`;
    /// lanes from `samples` on become 0.
    pub fn finish(&self, path: Path, rows: Range<usize>, samples: usize, z: &mut [f32], picked: &[f32], dy: &[f32]) {
        let e = self.e;
        e.check_backward(&rows, z, dy);
        self.channels.check(e.z.channels);
        assert!(picked.len() >= Self::picked_len(e), "planned buffers");
        let (k, picked, dy) = (self.channels, picked.as_ptr(), dy.as_ptr());
        // SAFETY: the buffers were compared with the frames.
        unsafe { dispatch(path, Finish { e, k, rows: rows.clone(), z: z.as_mut_ptr(), picked, dy }) }
        clear_lanes(&e.z, e.z_rows(&rows), samples, z);
    }
}

struct Forward<'a, F> {
    e: &'a Epilogue,
    k: &'a Channels,
    rows: Range<usize>,
    z: *const f32,
    picked: *mut f32,
    y: *mut f32,
    f: F,
}

impl<F: Function> Program for Forward<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (e, picked_frame) = (self.e, NormMaximum::picked(self.e));
        let ([kh, kw], z_row) = (e.window, e.z.row());
        // SAFETY: all windows lie within z's frame, all outputs within y's and those of the z of the maxima.
        unsafe {
            for c in 0..e.z.channels {
                let (scale, shift) = (S::splat(self.k.scale[c]), S::splat(self.k.shift[c]));
                for r in self.rows.clone() {
                    let z = self.z.add(e.z.at(c, r * e.stride[0], 0));
                    let (y, picked) = (e.y.at(c, r, 0), picked_frame.at(c, r, 0));
                    for col in 0..e.y.cols * S::PER_POSITION {
                        let (position, lane) = (col / S::PER_POSITION, (col % S::PER_POSITION) * S::LANES);
                        let z = z.add(position * e.stride[1] * CHUNK + lane);
                        let mut ends = [S::load(z); 2];
                        for i in 0..kh {
                            for j in 0..kw {
                                let v = S::load(z.add(i * z_row + j * CHUNK));
                                ends = [S::max(ends[0], v), S::min(ends[1], v)];
                            }
                        }
                        let a = self.f.value::<S>(S::fma(ends[0], scale, shift));
                        let b = self.f.value::<S>(S::fma(ends[1], scale, shift));
                        let smallest = S::gt(b, a);
                        S::store(self.y.add(y + position * CHUNK + lane), S::select(smallest, b, a));
                        if !self.picked.is_null() {
                            let at = self.picked.add(picked + position * CHUNK + lane);
                            S::store(at, S::select(smallest, ends[1], ends[0]));
                        }
                    }
                }
            }
        }
    }
}

struct Sums<'a, F> {
    e: &'a Epilogue,
    k: &'a Channels,
    picked: *const f32,
    dy: *mut f32,
    sums: *mut f32,
    f: F,
}

impl<F: Function> Program for Sums<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (e, picked_frame) = (self.e, NormMaximum::picked(self.e));
        // SAFETY: all outputs lie within both frames, and there are two vectors a channel.
        unsafe {
            for c in 0..e.z.channels {
                let k = Channel::<S>::new(self.k, c);
                for part in 0..S::PER_POSITION {
                    let lane = part * S::LANES;
                    let mut total = [S::splat(0.0); 2];
                    for r in 0..e.y.rows {
                        let picked = self.picked.add(picked_frame.at(c, r, 0) + lane);
                        let dy = self.dy.add(e.dy.at(c, r, 0) + lane);
                        let mut sums = [S::splat(0.0); 2];
                        for col in 0..e.y.cols {
                            let v = S::load(picked.add(col * CHUNK));
                            let x = S::fma(v, k.scale, k.shift);
                            let d = S::mul(S::load(dy.add(col * CHUNK)), self.f.slope_at::<S>(x, self.f.value::<S>(x)));
                            S::store(dy.add(col * CHUNK), d);
                            sums[0] = S::add(sums[0], d);
                            sums[1] = S::fma(d, S::sub(v, k.mean), sums[1]);
                        }
                        total = [S::add(total[0], sums[0]), S::add(total[1], sums[1])];
                    }
                    S::store(self.sums.add(2 * c * CHUNK + lane), total[0]);
                    S::store(self.sums.add((2 * c + 1) * CHUNK + lane), S::mul(total[1], k.inverse));
                }
            }
        }
    }
}

struct Finish<'a> {
    e: &'a Epilogue,
    k: &'a Channels,
    rows: Range<usize>,
    z: *mut f32,
    picked: *const f32,
    dy: *const f32,
}

impl Finish<'_> {
    /// One row of windows; `W` is their height and width where the compiler knows it, else 0.
    #[inline(always)]
    unsafe fn row<S: Simd, const W: usize>(&self, z: *mut f32, picked: *const f32, dy: *const f32, k: &Channel<S>) {
        let e = self.e;
        let [kh, kw] = if W == 0 { e.window } else { [W; 2] };
        // SAFETY: the windows lie within z's frame, the outputs within theirs.
        unsafe {
            for col in 0..e.y.cols {
                let (best, d) = (S::load(picked.add(col * CHUNK)), S::load(dy.add(col * CHUNK)));
                // What the first position whose z is that of the maximum takes.
                let mut left = d;
                for i in 0..kh {
                    for j in 0..kw {
                        let z = z.add(i * e.z.row() + (col * e.stride[1] + j) * CHUNK);
                        let v = S::load(z);
                        // z is not the maximum's if it lies on either side; NaN ends the step elsewhere.
                        let other = S::select(S::gt(best, v), S::splat(0.0), left);
                        let taken = S::select(S::gt(v, best), S::splat(0.0), other);
                        left = S::sub(left, taken);
                        S::store(z, k.gradient(v, taken));
                    }
                }
            }
        }
    }
}

impl Program for Finish<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (e, picked_frame) = (self.e, NormMaximum::picked(self.e));
        // SAFETY: all windows lie within z's frame and all outputs within theirs.
        unsafe {
            for c in 0..e.z.channels {
                let k = Channel::<S>::new(self.k, c);
                for part in 0..S::PER_POSITION {
                    let lane = part * S::LANES;
                    for r in self.rows.clone() {
                        let z = self.z.add(e.z.at(c, r * e.stride[0], 0) + lane);
                        let picked = self.picked.add(picked_frame.at(c, r, 0) + lane);
                        let dy = self.dy.add(e.dy.at(c, r, 0) + lane);
                        match e.window {
                            [2, 2] => self.row::<S, 2>(z, picked, dy, &k),
                            _ => self.row::<S, 0>(z, picked, dy, &k),
                        }
                        gaps::<S>(e, r, z, &k);
                    }
                }
            }
        }
    }
}
