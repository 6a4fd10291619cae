//! PReLU: x where it is above 0, else x times its channel's slope.

use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::{CHUNK, Simd};
use std::ops::Range;

/// Computes some rows of y, from as many slopes as there are channels.
pub fn forward(
    path: Path,
    rows: Range<usize>,
    slopes: &[f32],
    [x_frame, y_frame]: [&Frame; 2],
    x: &[f32],
    y: &mut [f32],
) {
    let len = x_frame.cols * CHUNK;
    for (c, &slope) in slopes.iter().enumerate() {
        for row in rows.clone() {
            let (x, y) = (&x[x_frame.at(c, row, 0)..][..len], &mut y[y_frame.at(c, row, 0)..][..len]);
            // SAFETY: works on slices.
            unsafe { dispatch(path, Forward { slope, x, y }) }
        }
    }
}

struct Forward<'a> {
    slope: f32,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Program for Forward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (x, y) in self.x.iter().zip(self.y) {
            *y = if *x > 0.0 { *x } else { self.slope * *x };
        }
    }
}

/// Turns d, the gradient of y, into that of x. `lanes` becomes the gradients of the slopes, `[channels][16]`: per sample
/// one chain in row-major order.
pub fn backward(
    path: Path,
    slopes: &[f32],
    [x_frame, d_frame]: [&Frame; 2],
    x: &[f32],
    d: &mut [f32],
    lanes: &mut [f32],
) {
    let len = x_frame.cols * CHUNK;
    for ((c, &slope), sums) in slopes.iter().enumerate().zip(lanes.as_chunks_mut::<CHUNK>().0) {
        *sums = [0.0; CHUNK];
        for row in 0..x_frame.rows {
            let (x, d) = (&x[x_frame.at(c, row, 0)..][..len], &mut d[d_frame.at(c, row, 0)..][..len]);
            // SAFETY: works on slices.
            unsafe { dispatch(path, Backward { slope, x, d, sums }) }
        }
    }
}

struct Backward<'a> {
    slope: f32,
    x: &'a [f32],
    d: &'a mut [f32],
    sums: &'a mut [f32; CHUNK],
}

impl Program for Backward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut sums = *self.sums;
        for (x, d) in self.x.as_chunks::<CHUNK>().0.iter().zip(self.d.as_chunks_mut::<CHUNK>().0) {
            for lane in 0..CHUNK {
                let is_above = x[lane] > 0.0;
                sums[lane] = if is_above { sums[lane] } else { d[lane].mul_add(x[lane], sums[lane]) };
                d[lane] = if is_above { d[lane] } else { self.slope * d[lane] };
            }
        }
        *self.sums = sums;
    }
}

/// The naive reference, one sample in f64.
pub mod naive {
    use crate::spec::PreluShape;

    /// y of one sample.
    pub fn forward(s: &PreluShape, slopes: &[f64], x: &[f64]) -> Vec<f64> {
        x.iter().enumerate().map(|(i, &x)| if x > 0.0 { x } else { slopes[i / s.positions] * x }).collect()
    }

    /// dx of one sample; the gradients of the slopes are added to `dw`.
    pub fn backward(s: &PreluShape, slopes: &[f64], x: &[f64], dy: &[f64], dw: &mut [f64]) -> Vec<f64> {
        let one = |(i, (&x, &d)): (usize, (&f64, &f64))| {
            let c = i / s.positions;
            if x > 0.0 {
                return d;
            }
            dw[c] += x * d;
            slopes[c] * d
        };
        x.iter().zip(dy).enumerate().map(one).collect()
    }
}

#[cfg(feature = "bench")]
pub(crate) mod bench {
    use super::*;
    use crate::kernel::bench::{Bench, Disagreement, agree};
    use crate::kernel::kit::{f64s, filled, lane, values};
    use crate::spec::PreluShape;

    /// What is timed: forward and backward.
    pub(crate) fn bench(bench: &mut Bench, name: &str, s: &PreluShape, f: Frame) -> Result<(), Disagreement> {
        let (path, slopes, frames) = (bench.path, values(s.channels, 23), [&f, &f]);
        let (x, dy) = (filled(&f, 21), filled(&f, 22));
        let (mut y, mut d, mut lanes) = (vec![0.0; f.len()], dy.clone(), vec![0.0; s.channels * CHUNK]);
        forward(path, 0..f.rows, &slopes, frames, &x, &mut y);
        agree(name, &lane(&f, &y, 3), &naive::forward(s, &f64s(&slopes), &lane(&f, &x, 3)), 1e-6)?;
        backward(path, &slopes, frames, &x, &mut d, &mut lanes);
        let mut dw = vec![0.0; s.channels];
        let want = naive::backward(s, &f64s(&slopes), &lane(&f, &x, 3), &lane(&f, &dy, 3), &mut dw);
        agree(name, &lane(&f, &d, 3), &want, 1e-6)?;
        agree(name, &f64s(&lanes.iter().skip(3).step_by(CHUNK).copied().collect::<Vec<_>>()), &dw, 1e-5)?;
        bench.row(format!("{name} forward"), 0, || forward(path, 0..f.rows, &slopes, frames, &x, &mut y));
        bench.row(format!("{name} backward"), 0, || backward(path, &slopes, frames, &x, &mut d, &mut lanes));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
