//! Windows into points, and sums at points into gradients of windows.

use super::grid::{PATCH, POINTS};
use super::transform::{A, B};
use crate::kernel::path::Program;
use crate::kernel::simd::{CHUNK, Simd};
use crate::spec::ConvShape;

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
unsafe fn evaluate<S: Simd>([w0, w1, w2]: [S::V; 3]) -> [S::V; PATCH] {
    // SAFETY: the caller runs on S's path.
    unsafe {
        let (a2, b2) = (S::splat(A2 as f32), S::splat(B2 as f32));
        let even_a = S::mul(S::fma(a2, w2, w0), S::splat(AT_A as f32));
        let even_b = S::mul(S::fma(b2, w2, w0), S::splat(AT_B as f32));
        let (odd_a, odd_b) = (S::splat((A1 * AT_A) as f32), S::splat((B1 * AT_B) as f32));
        [
            S::mul(w0, S::splat(AT_0 as f32)),
            S::fma(odd_a, w1, even_a),
            S::fnma(odd_a, w1, even_a),
            S::fma(odd_b, w1, even_b),
            S::fnma(odd_b, w1, even_b),
            w2,
        ]
    }
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
        assert!(self.packed.len() >= POINTS * len, "room for all points");
        let mut windows = [0.0f32; 9 * CHUNK];
        for &(first, outputs) in self.groups {
            for (i, o) in (0..inputs).flat_map(|i| (0..outputs).step_by(S::LANES).map(move |o| (i, o))) {
                let n = S::LANES.min(outputs - o);
                for lane in 0..n {
                    let window = &self.w[(first + o + lane) * output + i * input..][..9];
                    for k in 0..9 {
                        windows[(if self.turned { 8 - k } else { k }) * CHUNK + lane] = window[k];
                    }
                }
                let at = first * inputs + i * outputs + o;
                // SAFETY: the array has whole vectors, and so has each point's part of what is packed from `at` on
                // where they are stored whole. What lies behind the n values is written later.
                unsafe {
                    let mut rows = [[S::splat(0.0); 3]; PATCH];
                    for y in 0..3 {
                        let w = windows.as_ptr().add(3 * y * CHUNK);
                        let row = evaluate::<S>([S::load(w), S::load(w.add(CHUNK)), S::load(w.add(2 * CHUNK))]);
                        for x in 0..PATCH {
                            rows[x][y] = row[x];
                        }
                    }
                    for x in 0..PATCH {
                        let column = evaluate::<S>(rows[x]);
                        for y in 0..PATCH {
                            let to = &mut self.packed[(y * PATCH + x) * len..][..len];
                            if at + S::LANES <= len {
                                S::store(to.as_mut_ptr().add(at), column[y]);
                            } else {
                                let mut values = [0.0; CHUNK];
                                S::store(values.as_mut_ptr(), column[y]);
                                to[at..at + n].copy_from_slice(&values[..n]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Sums, `[point][oc][row]` with the inputs in rows, into the gradient of the weights, `[oc][ic][3][3]`.
pub(super) struct Finish<'a> {
    pub s: &'a ConvShape,
    pub sums: &'a [f32],
    pub row: usize,
    pub dw: &'a mut [f32],
}

/// The transpose of [`evaluate`].
#[inline(always)]
unsafe fn gather<S: Simd>(u: [S::V; PATCH]) -> [S::V; 3] {
    // SAFETY: the caller runs on S's path.
    unsafe {
        let (at_a, at_b) = (S::splat(AT_A as f32), S::splat(AT_B as f32));
        let (a, b) = (S::splat((A1 * AT_A) as f32), S::splat((B1 * AT_B) as f32));
        let (sum_a, sum_b) = (S::mul(S::add(u[1], u[2]), at_a), S::mul(S::add(u[3], u[4]), at_b));
        let (difference_a, difference_b) = (S::sub(u[1], u[2]), S::sub(u[3], u[4]));
        let (a2, b2) = (S::splat(A2 as f32), S::splat(B2 as f32));
        [
            S::fma(S::splat(AT_0 as f32), u[0], S::add(sum_a, sum_b)),
            S::fma(a, difference_a, S::mul(b, difference_b)),
            S::fma(a2, sum_a, S::fma(b2, sum_b, u[5])),
        ]
    }
}

impl Program for Finish<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (len, ic) = (self.sums.len() / POINTS, self.s.ic);
        assert!(self.row >= ic.next_multiple_of(CHUNK) && len == self.s.oc * self.row, "rows of whole vectors");
        let mut windows = [0.0; 9 * CHUNK];
        for (o, dw) in self.dw.chunks_exact_mut(9 * ic).enumerate() {
            for (block, dw) in dw.chunks_mut(9 * S::LANES).enumerate() {
                // SAFETY: rows are whole vectors, as was compared above, and so are those of the array.
                unsafe {
                    let u = self.sums.as_ptr().add(o * self.row + block * S::LANES);
                    let mut rows = [[S::splat(0.0); PATCH]; 3];
                    for y in 0..PATCH {
                        let mut points = [S::splat(0.0); PATCH];
                        for x in 0..PATCH {
                            points[x] = S::load(u.add((y * PATCH + x) * len));
                        }
                        let row = gather::<S>(points);
                        for x in 0..3 {
                            rows[x][y] = row[x];
                        }
                    }
                    for x in 0..3 {
                        let column = gather::<S>(rows[x]);
                        for y in 0..3 {
                            S::store(windows.as_mut_ptr().add((y * 3 + x) * CHUNK), column[y]);
                        }
                    }
                }
                for (lane, dw) in dw.chunks_exact_mut(9).enumerate() {
                    for k in 0..9 {
                        dw[k] = windows[k * CHUNK + lane];
                    }
                }
            }
        }
    }
}
