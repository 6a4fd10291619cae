//! Pooling by any window, on its own; where windows do not overlap it is fused with what is before ([`crate::kernel::op::epilogue`]).

#[cfg(feature = "bench")]
pub(crate) mod bench;
pub mod naive;
pub mod single;

use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::{CHUNK, Simd};
use crate::spec::PoolShape;

/// What a pooling window gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The mean over the window, padding included.
    Average,
    /// The maximum; of equal ones the first in row-major order takes the gradient.
    Maximum,
}

/// Pooling by any window, on its own: y `[c][oh][ow][16]` from x `[c][ih][iw][16]`.
#[derive(Clone, Copy, Debug)]
pub struct Pooling {
    /// Mean or maximum.
    pub kind: PoolKind,
    /// Geometry.
    pub s: PoolShape,
    /// Layout before.
    pub x: Frame,
    /// Layout after.
    pub y: Frame,
}

impl Pooling {
    /// Positions of x that a window holds, as (place in the window, row, column).
    pub(super) fn window(
        s: &PoolShape,
        oy: usize,
        ox: usize,
    ) -> impl Iterator<Item = (usize, usize, usize)> + Clone + use<> {
        let s = *s;
        (0..s.kh * s.kw).filter_map(move |k| {
            let y = (oy * s.stride[0] + k / s.kw).checked_sub(s.padding[0])?;
            let x = (ox * s.stride[1] + k % s.kw).checked_sub(s.padding[1])?;
            (y < s.ih && x < s.iw).then_some((k, y, x))
        })
    }

    /// Floats of the places of maxima that training keeps.
    pub fn places_len(&self) -> usize {
        if self.kind == PoolKind::Maximum { self.s.c * self.s.oh * self.s.ow * CHUNK } else { 0 }
    }

    /// Computes y; `places`, if not empty, takes the place of each maximum in its window.
    pub fn forward(&self, path: Path, x: &[f32], y: &mut [f32], places: &mut [f32]) {
        // SAFETY: works on slices.
        unsafe { dispatch(path, PoolForward { p: self, x, y, places }) }
    }

    /// Gradient of x from that of y.
    pub fn backward(&self, path: Path, dy: &[f32], places: &[f32], dx: &mut [f32]) {
        // SAFETY: works on slices.
        unsafe { dispatch(path, PoolBackward { p: self, dy, places, dx }) }
    }
}

struct PoolForward<'a> {
    p: &'a Pooling,
    x: &'a [f32],
    y: &'a mut [f32],
    places: &'a mut [f32],
}

impl Program for PoolForward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let PoolForward { p, x, y, places } = self;
        let s = &p.s;
        let share = 1.0 / (s.kh * s.kw) as f32;
        for c in 0..s.c {
            for oy in 0..s.oh {
                for ox in 0..s.ow {
                    let mut value = [if p.kind == PoolKind::Average { 0.0 } else { f32::NEG_INFINITY }; CHUNK];
                    let mut place = [0.0f32; CHUNK];
                    for (k, iy, ix) in Pooling::window(s, oy, ox) {
                        let at = p.x.at(c, iy, ix);
                        let v = &x[at..at + CHUNK];
                        for l in 0..CHUNK {
                            if p.kind == PoolKind::Average {
                                value[l] += v[l];
                            } else if v[l] > value[l] || v[l].is_nan() {
                                (value[l], place[l]) = (v[l], k as f32);
                            }
                        }
                    }
                    if p.kind == PoolKind::Average {
                        value.iter_mut().for_each(|v| *v *= share);
                    } else if !places.is_empty() {
                        places[((c * s.oh + oy) * s.ow + ox) * CHUNK..][..CHUNK].copy_from_slice(&place);
                    }
                    let at = p.y.at(c, oy, ox);
                    y[at..at + CHUNK].copy_from_slice(&value);
                }
            }
        }
    }
}

struct PoolBackward<'a> {
    p: &'a Pooling,
    dy: &'a [f32],
    places: &'a [f32],
    dx: &'a mut [f32],
}

impl Program for PoolBackward<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let PoolBackward { p, dy, places, dx } = self;
        let s = &p.s;
        let share = 1.0 / (s.kh * s.kw) as f32;
        for c in 0..s.c {
            for y in 0..s.ih {
                let at = p.x.at(c, y, 0);
                dx[at..at + s.iw * CHUNK].fill(0.0);
            }
            for oy in 0..s.oh {
                for ox in 0..s.ow {
                    let d = &dy[p.y.at(c, oy, ox)..][..CHUNK];
                    for (k, iy, ix) in Pooling::window(s, oy, ox) {
                        let at = p.x.at(c, iy, ix);
                        let dx = &mut dx[at..at + CHUNK];
                        if p.kind == PoolKind::Average {
                            dx.iter_mut().zip(d).for_each(|(x, d)| *x += d * share);
                        } else {
                            let place = &places[((c * s.oh + oy) * s.ow + ox) * CHUNK..][..CHUNK];
                            for l in 0..CHUNK {
                                if place[l] == k as f32 {
                                    dx[l] += d[l];
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
