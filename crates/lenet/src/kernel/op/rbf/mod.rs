//! Distances to codes: `y[o] = -Σ (x[i] - code[o][i])²`, the output layer of the historical LeNet-5.

use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::simd::{CHUNK, Simd};
use crate::spec::DenseShape;

/// y `[outputs][16]` of a chunk from x `[inputs][16]`.
pub fn forward(path: Path, s: &DenseShape, codes: &[f32], x: &[f32], y: &mut [f32]) {
    // SAFETY: works on slices.
    unsafe { dispatch(path, Forward { s, codes, x, y }) }
}

struct Forward<'a> {
    s: &'a DenseShape,
    codes: &'a [f32],
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Program for Forward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let x = self.x.as_chunks::<CHUNK>().0;
        for (code, y) in self.codes.chunks_exact(self.s.inputs).zip(self.y.as_chunks_mut::<CHUNK>().0) {
            let mut sum = [0.0f32; CHUNK];
            for (w, x) in code.iter().zip(x) {
                for lane in 0..CHUNK {
                    let d = x[lane] - w;
                    sum[lane] = d.mul_add(-d, sum[lane]);
                }
            }
            *y = sum;
        }
    }
}

/// Turns x `[inputs][16]` into its gradient, from dy `[outputs][16]`: `Σ 2 · dy[o] · (code[o][i] - x[i])`.
pub fn backward(path: Path, s: &DenseShape, codes: &[f32], dy: &[f32], x: &mut [f32]) {
    // SAFETY: works on slices.
    unsafe { dispatch(path, Backward { s, codes, dy, x }) }
}

struct Backward<'a> {
    s: &'a DenseShape,
    codes: &'a [f32],
    dy: &'a [f32],
    x: &'a mut [f32],
}

impl Program for Backward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let dy = self.dy.as_chunks::<CHUNK>().0;
        for (i, x) in self.x.as_chunks_mut::<CHUNK>().0.iter_mut().enumerate().take(self.s.inputs) {
            let mut sum = [0.0f32; CHUNK];
            for (code, dy) in self.codes.chunks_exact(self.s.inputs).zip(dy) {
                for lane in 0..CHUNK {
                    sum[lane] = dy[lane].mul_add(2.0 * (code[i] - x[lane]), sum[lane]);
                }
            }
            *x = sum;
        }
    }
}

#[cfg(feature = "bench")]
pub(crate) mod bench {
    use super::*;
    use crate::kernel::bench::{Bench, Disagreement, agree};
    use crate::kernel::kit::{f64s, lane_of, values};

    /// What is timed: forward and backward.
    pub(crate) fn bench(bench: &mut Bench, name: &str, s: &DenseShape) -> Result<(), Disagreement> {
        let (path, codes) = (bench.path, values(s.inputs * s.outputs, 19));
        let (x, dy, exact) = (values(s.inputs * CHUNK, 17), values(s.outputs * CHUNK, 18), f64s(&codes));
        let (mut y, mut dx) = (vec![0.0; s.outputs * CHUNK], x.clone());
        forward(path, s, &codes, &x, &mut y);
        agree(name, &lane_of(&y, 3), &naive::forward(s, &exact, &lane_of(&x, 3)), 1e-5)?;
        backward(path, s, &codes, &dy, &mut dx);
        agree(name, &lane_of(&dx, 3), &naive::backward(s, &exact, &lane_of(&x, 3), &lane_of(&dy, 3)), 1e-5)?;
        bench.row(format!("{name} forward"), 0, || forward(path, s, &codes, &x, &mut y));
        bench.row(format!("{name} backward"), 0, || backward(path, s, &codes, &dy, &mut dx));
        Ok(())
    }
}

/// The naive reference, one sample in f64.
pub mod naive {
    use crate::spec::DenseShape;

    /// y of one sample.
    pub fn forward(s: &DenseShape, codes: &[f64], x: &[f64]) -> Vec<f64> {
        codes.chunks_exact(s.inputs).map(|c| -c.iter().zip(x).map(|(w, x)| (x - w).powi(2)).sum::<f64>()).collect()
    }

    /// dx of one sample.
    pub fn backward(s: &DenseShape, codes: &[f64], x: &[f64], dy: &[f64]) -> Vec<f64> {
        let term = |i: usize, o: usize| 2.0 * dy[o] * (codes[o * s.inputs + i] - x[i]);
        (0..s.inputs).map(|i| (0..s.outputs).map(|o| term(i, o)).sum()).collect()
    }
}
