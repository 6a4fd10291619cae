//! Windows into points, and sums at points into gradients of windows: in f64, eight windows side by side.

use super::transform::{A, B};
use super::{PATCH, POINTS};
use crate::kernel::path::Program;
use crate::kernel::simd::Simd;
use crate::spec::ConvShape;

const WINDOWS: usize = 8;
type Lanes = [f64; WINDOWS];

const A1: f64 = A as f64;
const B1: f64 = B as f64;
const A2: f64 = A1 * A1;
const B2: f64 = B1 * B1;
/// One over the product of a point's distances from the others.
const AT_0: f64 = 1.0 / (A2 * B2);
const AT_A: f64 = 1.0 / (2.0 * A2 * (A2 - B2));
const AT_B: f64 = 1.0 / (2.0 * B2 * (B2 - A2));

/// A side of windows at all points.
#[inline(always)]
fn evaluate(w: [&Lanes; 3], out: [&mut Lanes; PATCH]) {
    let [o0, o1, o2, o3, o4, o5] = out;
    for i in 0..WINDOWS {
        let (w0, w1, w2) = (w[0][i], w[1][i], w[2][i]);
        let (even_a, odd_a) = ((w0 + A2 * w2) * AT_A, w1 * (A1 * AT_A));
        let (even_b, odd_b) = ((w0 + B2 * w2) * AT_B, w1 * (B1 * AT_B));
        o0[i] = w0 * AT_0;
        (o1[i], o2[i]) = (even_a + odd_a, even_a - odd_a);
        (o3[i], o4[i]) = (even_b + odd_b, even_b - odd_b);
        o5[i] = w2;
    }
}

/// The transpose of [`evaluate`].
#[inline(always)]
fn gather(u: [&Lanes; PATCH]) -> [Lanes; 3] {
    let mut out = [[0.0; WINDOWS]; 3];
    for i in 0..WINDOWS {
        let (sum_a, difference_a) = ((u[1][i] + u[2][i]) * AT_A, (u[1][i] - u[2][i]) * (A1 * AT_A));
        let (sum_b, difference_b) = ((u[3][i] + u[4][i]) * AT_B, (u[3][i] - u[4][i]) * (B1 * AT_B));
        out[0][i] = u[0][i] * AT_0 + (sum_a + sum_b);
        out[1][i] = difference_a + difference_b;
        out[2][i] = (A2 * sum_a + B2 * sum_b) + u[5][i];
    }
    out
}

/// Weights, `[oc][ic][3][3]`, into blocks of groups of outputs at each point: `[point][group][inputs][outputs of the group]`.
/// Turned, inputs and outputs change places, and windows their corners.
pub(super) struct Pack<'a> {
    pub s: &'a ConvShape,
    pub w: &'a [f32],
    /// First output and number.
    pub groups: &'a [(usize, usize)],
    pub turned: bool,
    pub packed: &'a mut [f32],
}

impl Program for Pack<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let s = self.s;
        let (output, input, inputs) = if self.turned { (9, 9 * s.ic, s.oc) } else { (9 * s.ic, 9, s.ic) };
        let len = s.oc * s.ic;
        for &(first, outputs) in self.groups {
            for i in 0..inputs {
                for o in (0..outputs).step_by(WINDOWS) {
                    let n = WINDOWS.min(outputs - o);
                    let mut w = [[0.0; WINDOWS]; 9];
                    for lane in 0..n {
                        let at = (first + o + lane) * output + i * input;
                        let window = &self.w[at..at + 9];
                        for k in 0..9 {
                            w[k][lane] = f64::from(window[if self.turned { 8 - k } else { k }]);
                        }
                    }
                    let mut rows = [[[0.0; WINDOWS]; PATCH]; 3];
                    for (y, row) in rows.iter_mut().enumerate() {
                        evaluate([&w[3 * y], &w[3 * y + 1], &w[3 * y + 2]], row.each_mut());
                    }
                    let mut u = [[[0.0; WINDOWS]; PATCH]; PATCH];
                    for x in 0..PATCH {
                        let [u0, u1, u2, u3, u4, u5] = &mut u;
                        let out = [&mut u0[x], &mut u1[x], &mut u2[x], &mut u3[x], &mut u4[x], &mut u5[x]];
                        evaluate([&rows[0][x], &rows[1][x], &rows[2][x]], out);
                    }
                    let at = first * inputs + i * outputs + o;
                    for (f, u) in u.as_flattened().iter().enumerate() {
                        let to = &mut self.packed[f * len + at..][..n];
                        for lane in 0..n {
                            to[lane] = u[lane] as f32;
                        }
                    }
                }
            }
        }
    }
}

/// Sums, `[point][oc][ic]`, into the gradient of the weights, `[oc][ic][3][3]`.
pub(super) struct Finish<'a> {
    pub sums: &'a [f32],
    pub dw: &'a mut [f32],
}

impl Program for Finish<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let len = self.sums.len() / POINTS;
        for (block, dw) in self.dw.chunks_mut(9 * WINDOWS).enumerate() {
            let (at, n) = (block * WINDOWS, dw.len() / 9);
            let mut u = [[0.0; WINDOWS]; POINTS];
            for f in 0..POINTS {
                let from = &self.sums[f * len + at..][..n];
                for lane in 0..n {
                    u[f][lane] = f64::from(from[lane]);
                }
            }
            let mut rows = [[[0.0; WINDOWS]; 3]; PATCH];
            for y in 0..PATCH {
                let u = &u[y * PATCH..][..PATCH];
                rows[y] = gather([&u[0], &u[1], &u[2], &u[3], &u[4], &u[5]]);
            }
            for x in 0..3 {
                let r = &rows;
                let column = gather([&r[0][x], &r[1][x], &r[2][x], &r[3][x], &r[4][x], &r[5][x]]);
                for lane in 0..n {
                    for y in 0..3 {
                        dw[lane * 9 + y * 3 + x] = column[y][lane] as f32;
                    }
                }
            }
        }
    }
}
