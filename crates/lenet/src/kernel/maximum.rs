//! Normalisation, activation and maximum pooling in one, for training and evaluation.
//!
//! A window's maximum is taken before the activation is computed. All our activations fall to some point and rise behind it,
//! or only rise, so that the largest value of a window belongs to its largest z or to its smallest, whatever the sign of the
//! channel's scale: two activations a window instead of one a position. Forward keeps the z of the maximum, `[c][oh][ow][16]`,
//! from which backward has the slope; the windows themselves are read once more, for dz.

use super::activation::{Function, slope, with_function};
use super::epilogue::Epilogue;
use super::frame::Frame;
use super::norm::{Channel, Channels, clear_lanes};
use super::path::{Path, Program, dispatch};
use super::simd::{CHUNK, Simd};
use std::marker::PhantomData;
use std::ops::Range;

/// An epilogue that takes maxima behind a normalisation.
#[derive(Clone, Copy)]
pub struct NormMaximum<'a> {
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
        with_function!(e.activation, F => {
            // SAFETY: the buffers were compared with the frames.
            unsafe { dispatch(path, Forward::<F> { e, k, rows, z, picked, y, f: PhantomData }) }
        })
    }

    /// Turns the gradient of y into that of the scaled and shifted z of each maximum, and sums it over the chunk as
    /// [`super::norm::NormBackward::sums`] does.
    pub fn sums(&self, path: Path, picked: &[f32], dy: &mut [f32], sums: &mut [f32]) {
        let e = self.e;
        assert!(sums.len() >= e.z.channels * 2 * CHUNK, "two vectors a channel");
        assert!(picked.len() >= Self::picked_len(e) && dy.len() >= e.dy.len(), "planned buffers");
        self.channels.check(e.z.channels);
        let (k, picked, dy, sums) = (self.channels, picked.as_ptr(), dy.as_mut_ptr(), sums.as_mut_ptr());
        with_function!(e.activation, F => {
            // SAFETY: the buffers were compared with the frames.
            unsafe { dispatch(path, Sums::<F> { e, k, picked, dy, sums, f: PhantomData }) }
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
    f: PhantomData<F>,
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
                        let a = F::value::<S>(S::fma(ends[0], scale, shift));
                        let b = F::value::<S>(S::fma(ends[1], scale, shift));
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
    f: PhantomData<F>,
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
                            let d = S::mul(S::load(dy.add(col * CHUNK)), slope::<S, F>(x, F::value::<S>(x)));
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
    /// Positions from `z` on that no window holds.
    #[inline(always)]
    unsafe fn gap<S: Simd>(z: *mut f32, positions: usize, k: &Channel<S>) {
        // SAFETY: the caller vouches for the positions and runs on S's path.
        unsafe {
            for i in 0..positions {
                let z = z.add(i * CHUNK);
                S::store(z, k.gradient(S::load(z), S::splat(0.0)));
            }
        }
    }

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

    /// What the windows of row `r` of y leave out of the rows of z that belong to it.
    #[inline(always)]
    unsafe fn gaps<S: Simd>(&self, r: usize, z: *mut f32, k: &Channel<S>) {
        let e = self.e;
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
                        self.gaps::<S>(r, z, &k);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::activation;
    use crate::kernel::pool::PoolKind;
    use crate::spec::Activation;

    /// Windows of 2 rows and 3 columns that leave out a row and columns, in 16 samples.
    fn case(activation: Option<Activation>) -> (Epilogue, Channels, Vec<f32>) {
        let (z, y) = (Frame::chunk([2, 5, 8]).with_border(0, 1), Frame::chunk([2, 2, 2]).with_border(1, 1));
        let pool = Some(PoolKind::Maximum);
        let e = Epilogue { activation, pool, window: [2, 3], stride: [2, 4], z, y, dy: y };
        let mut k = Channels::new(2);
        (k.scale, k.shift) = (vec![1.7, -1.1], vec![-0.6, 0.2]);
        (k.mean, k.inverse) = (vec![0.1, -0.2], vec![1.2, 0.8]);
        (k.mean_gradient, k.mean_product) = (vec![0.05, -0.03], vec![0.02, 0.07]);
        let values = (0..z.len()).map(|i| ((i * 7919 + 13) % 1009) as f32 / 1009.0 * 5.0 - 2.5).collect();
        (e, k, values)
    }

    /// Each window's maximum of the activation, computed everywhere in f64, and the place that it takes.
    fn naive(e: &Epilogue, k: &Channels, z: &[f32], [c, r, col, lane]: [usize; 4]) -> (f64, usize) {
        let mut best = (f64::NEG_INFINITY, 0);
        for (i, j) in (0..e.window[0]).flat_map(|i| (0..e.window[1]).map(move |j| (i, j))) {
            let at = e.z.at(c, r * e.stride[0] + i, col * e.stride[1] + j) + lane;
            let x = f64::from(z[at]) * f64::from(k.scale[c]) + f64::from(k.shift[c]);
            let a = e.activation.map_or(x, |f| activation::naive(f, x).0);
            if a > best.0 {
                best = (a, at);
            }
        }
        best
    }

    #[test]
    fn agrees_with_the_activation_at_every_position() {
        for activation in Activation::ALL.into_iter().map(Some).chain([None]) {
            let (e, k, z) = case(activation);
            let stage = NormMaximum { e: &e, channels: &k };
            for path in Path::available() {
                let (mut y, mut picked) = (vec![0.0; e.y.len()], vec![0.0; NormMaximum::picked_len(&e)]);
                stage.forward(path, 0..1, &z, &mut picked, &mut y);
                stage.forward(path, 1..2, &z, &mut picked, &mut y);
                let mut dy = vec![0.0f32; e.dy.len()];
                let (mut d_want, mut sums_want) = (vec![0.0f64; z.len()], vec![0.0f64; 4 * CHUNK]);
                for i in 0..2 * 2 * 2 * CHUNK {
                    let at @ [c, r, col, lane] = [i / (4 * CHUNK), i / (2 * CHUNK) % 2, i / CHUNK % 2, i % CHUNK];
                    let (value, place) = naive(&e, &k, &z, at);
                    let got = f64::from(y[e.y.at(c, r, col) + lane]);
                    assert!((got - value).abs() < 1e-6, "{activation:?} on {path}: {got} for {value}");
                    let d = (i % 11) as f32 / 11.0 - 0.4;
                    dy[e.dy.at(c, r, col) + lane] = d;
                    let x = f64::from(z[place]) * f64::from(k.scale[c]) + f64::from(k.shift[c]);
                    let d = f64::from(d) * activation.map_or(1.0, |f| activation::naive(f, x).1);
                    d_want[place] = d;
                    sums_want[2 * c * CHUNK + lane] += d;
                    let normal = (f64::from(z[place]) - f64::from(k.mean[c])) * f64::from(k.inverse[c]);
                    sums_want[(2 * c + 1) * CHUNK + lane] += d * normal;
                }
                let mut sums = vec![0.0; 4 * CHUNK];
                stage.sums(path, &picked, &mut dy, &mut sums);
                for (got, want) in sums.iter().zip(&sums_want) {
                    assert!((f64::from(*got) - want).abs() < 1e-5, "{activation:?} on {path}: {got} for {want}");
                }
                let (mut dz, samples) = (z.clone(), 13);
                stage.finish(path, 0..1, samples, &mut dz, &picked, &dy);
                stage.finish(path, 1..2, samples, &mut dz, &picked, &dy);
                for i in 0..2 * 5 * 8 * CHUNK {
                    let (c, lane) = (i / (40 * CHUNK), i % CHUNK);
                    let at = e.z.at(c, i / (8 * CHUNK) % 5, i / CHUNK % 8) + lane;
                    let [mean, inverse, scale, gradient, product] =
                        [&k.mean, &k.inverse, &k.scale, &k.mean_gradient, &k.mean_product].map(|v| f64::from(v[c]));
                    let normal = (f64::from(z[at]) - mean) * inverse;
                    let want = scale * (d_want[at] - gradient - normal * product);
                    let want = if lane < samples { want } else { 0.0 };
                    assert!((f64::from(dz[at]) - want).abs() < 2e-6, "{activation:?} on {path}: {} for {want}", dz[at]);
                }
            }
        }
    }

    #[test]
    fn of_equal_values_the_first_takes_the_gradient() {
        let (e, k, mut z) = case(Some(Activation::Silu));
        z.fill(0.25);
        let stage = NormMaximum { e: &e, channels: &k };
        let (mut y, mut picked) = (vec![0.0; e.y.len()], vec![0.0; NormMaximum::picked_len(&e)]);
        stage.forward(Path::PORTABLE, 0..2, &z, &mut picked, &mut y);
        stage.finish(Path::PORTABLE, 0..2, CHUNK, &mut z, &picked, &vec![1.0; e.dy.len()]);
        let corner = z[e.z.at(0, 0, 0)];
        assert!(z[e.z.at(0, 0, 1)..e.z.at(0, 0, 4)].iter().all(|&v| (corner - v - k.scale[0]).abs() < 1e-6));
    }

    /// What two activations a window rest on.
    #[test]
    fn activations_fall_and_then_rise() {
        for activation in Activation::ALL {
            let values: Vec<f64> =
                (-4000..4000).map(|i| activation::naive(activation, f64::from(i) / 400.0).0).collect();
            let rises = values.windows(2).position(|w| w[1] > w[0]).unwrap_or(0);
            assert!(values[rises..].windows(2).all(|w| w[1] >= w[0]), "{activation:?}");
            assert!(values[..rises].windows(2).all(|w| w[1] <= w[0]), "{activation:?}");
        }
    }
}
