//! Rows into what is multiplied point by point, and back. Lengths of 3 and 5 rows of window.

use super::layout::Layout;
use crate::kernel::path::Program;
use crate::kernel::plan::point::{Point, combine};
use crate::kernel::simd::Simd;
use std::ops::Range;

/// Rows of x, `2p .. 2p + kh + 1` for a pair p, into v.
pub(super) struct Input<'a> {
    pub w: &'a Layout,
    pub pairs: Range<usize>,
    pub x: *const f32,
    pub v: *mut f32,
}

impl Input<'_> {
    #[inline(always)]
    unsafe fn all<S: Simd, const POINTS: usize>(&self) {
        let w = self.w;
        let (row, point) = (w.x.row(), w.v_len());
        // SAFETY: `Pairs` compared the buffers with what its frames need, whole vectors included.
        unsafe {
            for c in 0..w.x.channels {
                for (i, pair) in self.pairs.clone().enumerate() {
                    let x = self.x.add(c * w.x.plane() + w.first_row(pair) * row);
                    let v = self.v.add(c * w.v.plane() + i * row);
                    for i in 0..row.div_ceil(S::LANES) {
                        let (x, v) = (x.add(i * S::LANES), v.add(i * S::LANES));
                        let mut d = [S::splat(0.0); POINTS];
                        for r in 0..POINTS {
                            d[r] = S::load(x.add(r * row));
                        }
                        if POINTS == 4 {
                            S::store(v, S::sub(d[0], d[2]));
                            S::store(v.add(point), S::add(d[2], d[1]));
                            S::store(v.add(2 * point), S::sub(d[2], d[1]));
                            S::store(v.add(3 * point), S::sub(d[3], d[1]));
                        } else {
                            let four = S::splat(4.0);
                            let (even, odd) = (S::sub(d[4], d[2]), S::sub(d[3], d[1]));
                            let (even4, odd4) = (S::fnma(four, d[2], d[4]), S::fnma(four, d[1], d[3]));
                            let odd2 = S::add(odd, odd);
                            S::store(v, S::fma(four, S::sub(d[0], d[2]), even));
                            S::store(v.add(point), S::add(even4, odd4));
                            S::store(v.add(2 * point), S::sub(even4, odd4));
                            S::store(v.add(3 * point), S::add(even, odd2));
                            S::store(v.add(4 * point), S::sub(even, odd2));
                            S::store(v.add(5 * point), S::fnma(four, odd, S::sub(d[5], d[3])));
                        }
                    }
                }
            }
        }
    }
}

impl Program for Input<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: as the caller's.
        unsafe { if self.w.points.len() == 4 { self.all::<S, 4>() } else { self.all::<S, 6>() } }
    }
}

/// A pair of rows of dz into d.
pub(super) struct Gradient<'a> {
    pub w: &'a Layout,
    pub pair: usize,
    pub dz: *const f32,
    pub d: *mut f32,
}

impl Gradient<'_> {
    #[inline(always)]
    unsafe fn point<S: Simd, const POINT: u8>(&self, d: *mut f32) {
        let w = self.w;
        let second = w.z.row();
        let (border, cols) = (w.d.border_cols * S::PER_POSITION, w.d.cols * S::PER_POSITION);
        // SAFETY: `Pairs` compared the buffers with its frames.
        unsafe {
            for c in 0..w.z.channels {
                let dz = self.dz.add(w.z.at(c, 2 * self.pair, 0));
                let d = d.add(w.d.at(c, 0, 0));
                for i in 0..cols {
                    let dz = dz.add(i * S::LANES);
                    S::store(d.add(i * S::LANES), combine::<S, POINT>(dz, second));
                }
                for i in 0..border {
                    S::store(d.sub((i + 1) * S::LANES), S::splat(0.0));
                    S::store(d.add((cols + i) * S::LANES), S::splat(0.0));
                }
            }
        }
    }
}

impl Program for Gradient<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (f, point) in self.w.points.iter().enumerate() {
            // SAFETY: each point has its own frame in d.
            unsafe {
                let d = self.d.add(f * self.w.d.len());
                match point {
                    Point::Zero => self.point::<S, { Point::Zero as u8 }>(d),
                    Point::One => self.point::<S, { Point::One as u8 }>(d),
                    Point::MinusOne => self.point::<S, { Point::MinusOne as u8 }>(d),
                    Point::Two => self.point::<S, { Point::Two as u8 }>(d),
                    Point::MinusTwo => self.point::<S, { Point::MinusTwo as u8 }>(d),
                    Point::Infinity => self.point::<S, { Point::Infinity as u8 }>(d),
                }
            }
        }
    }
}

/// The transpose of [`Input`] for a pair: m added to the rows of dx that the pairs before have reached, and the first for
/// the others.
pub(super) struct Output<'a> {
    pub w: &'a Layout,
    pub pair: usize,
    pub m: *const f32,
    pub dx: *mut f32,
}

impl Program for Output<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let w = self.w;
        let (point, row, n) = (w.m.len(), w.x.row(), w.points.len());
        // Rows of the pair's window that are rows of x, not padding.
        let (top, padding) = (2 * self.pair, w.s.padding[0]);
        let rows = padding.saturating_sub(top).min(n)..(w.x.rows + padding).saturating_sub(top).min(n);
        // SAFETY: `Pairs` compared the buffers with its frames.
        unsafe {
            for c in 0..w.m.channels {
                let m = self.m.add(w.m.at(c, 0, 0));
                // Where row 0 of the window is or would be.
                let dx = self.dx.add(w.x.at(c, 0, 0)).wrapping_add(top * row).wrapping_sub(padding * row);
                for i in 0..w.m.cols * S::PER_POSITION {
                    let (m, dx) = (m.add(i * S::LANES), dx.wrapping_add(i * S::LANES));
                    let (m0, m1) = (S::load(m), S::load(m.add(point)));
                    let (m2, m3) = (S::load(m.add(2 * point)), S::load(m.add(3 * point)));
                    let (sum, difference) = (S::add(m1, m2), S::sub(m1, m2));
                    let mut out = [m0, S::sub(difference, m3), S::sub(sum, m0), m3, m0, m0];
                    if n == 6 {
                        let (m4, m5) = (S::load(m.add(4 * point)), S::load(m.add(5 * point)));
                        let (sum2, difference2) = (S::add(m3, m4), S::sub(m3, m4));
                        let twice = S::add(difference2, difference2);
                        let four = S::splat(4.0);
                        out = [
                            S::mul(four, m0),
                            S::sub(S::mul(four, S::sub(m5, difference)), twice),
                            S::fnma(four, S::add(m0, sum), S::sub(S::splat(0.0), S::add(m0, sum2))),
                            S::fnma(S::splat(5.0), m5, S::add(difference, twice)),
                            S::add(m0, S::add(sum, sum2)),
                            m5,
                        ];
                    }
                    for r in 0..6 {
                        if !rows.contains(&r) {
                            continue;
                        }
                        let at = dx.wrapping_add(r * row);
                        let is_open = self.pair > 0 && r + 2 < n;
                        S::store(at, if is_open { S::add(S::load(at), out[r]) } else { out[r] });
                    }
                }
            }
        }
    }
}
