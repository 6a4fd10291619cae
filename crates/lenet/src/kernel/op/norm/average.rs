//! The way back through a normalisation where windows average, or there are none.

use super::channels::{Channel, Channels, gaps};
use crate::kernel::op::activation::Function;
use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::path::Program;
use crate::kernel::simd::{CHUNK, Simd};
use std::ops::Range;

/// A pass of [`Backward`]: sums, leaving d in dy where there is no pooling.
pub(super) const SUMS: u8 = 0;
/// Sums on top of others, where dy is d.
pub(super) const KNOWN: u8 = 1;
/// The gradient of z, where dy is d if there is no pooling.
pub(super) const APPLY: u8 = 2;

/// Backward through a normalisation where windows average, or there are none.
pub(super) struct Backward<'a, F, const AVERAGE: bool, const PASS: u8> {
    pub e: &'a Epilogue,
    pub k: &'a Channels,
    pub rows: Range<usize>,
    pub z: *mut f32,
    pub dy: *mut f32,
    pub sums: *mut f32,
    pub f: F,
}

impl<F: Function, const AVERAGE: bool, const PASS: u8> Backward<'_, F, AVERAGE, PASS> {
    /// One vector of z whose activation has the gradient `d`.
    #[inline(always)]
    unsafe fn position<S: Simd>(&self, z: *mut f32, dy: *mut f32, d: S::V, k: &Channel<S>, sums: &mut [S::V; 2]) {
        // SAFETY: the caller vouches for a vector at z and at dy, and runs on S's path.
        unsafe {
            let (v, mut d) = (S::load(z), d);
            if AVERAGE || PASS == SUMS {
                let x = S::fma(v, k.scale, k.shift);
                let from = if F::FROM_VALUE { self.f.value::<S>(x) } else { x };
                d = S::mul(d, self.f.slope::<S>(from));
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
                                        self.position::<S>(z, dy, d, &k, &mut sums);
                                    }
                                }
                            } else {
                                self.position::<S>(z.add(col * CHUNK), dy, S::load(dy), &k, &mut sums);
                            }
                        }
                        if PASS == KNOWN {
                            sums[1] = S::mul(sums[1], k.inverse);
                        }
                        total = [S::add(total[0], sums[0]), S::add(total[1], sums[1])];
                        if AVERAGE && PASS == APPLY {
                            gaps::<S>(e, r, z, &k);
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
