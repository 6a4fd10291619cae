//! The forward micro-kernel of row pairs, and the outer products of what the points make of pairs of gradients.

use crate::kernel::path::Path;
use crate::kernel::plan::point::Point;
use crate::kernel::plan::tile::{Outer, OuterArgs, Tap, multiply, of_path, outer};
use crate::kernel::simd::{self, Simd};

/// What a [`PairFn`] works on. `x` is `[point]` of planes read at `tap.x + p`, `w` is `[point][row][o]`, `y` is `[o][2][p]`.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub(super) struct PairArgs {
    pub points: *const Point,
    pub n_points: usize,
    pub taps: *const Tap,
    pub n_taps: usize,
    pub w: *const f32,
    /// Floats from the weights of one point to those of the next, and from one row of them to the next.
    pub w_point: usize,
    pub w_row: usize,
    /// Added to each finished sum; null for none.
    pub bias: *const f32,
    pub x: *const f32,
    /// Floats from the inputs of one point to those of the next.
    pub x_point: usize,
    pub y: *mut f32,
    /// Floats from the first row of a pair to the second.
    pub y_row: usize,
    pub y_plane: usize,
    /// So many tiles side by side.
    pub repeat: usize,
}

/// A compiled [`pair`].
///
/// # Safety
/// All reads and writes that [`PairArgs`] describes must be within live buffers; the path must be available.
pub(super) type PairFn = unsafe fn(&PairArgs);

/// A register tile of `o` outputs × `p` vectors of two rows.
#[derive(Clone, Copy)]
pub(super) struct PairTile {
    pub o: usize,
    pub p: usize,
    pub run: PairFn,
}

/// Each point's products are summed in registers, then join the sums of the two rows: nothing but these is stored.
#[inline(always)]
unsafe fn pair<S: Simd, const O: usize, const P: usize>(a: &PairArgs) {
    // SAFETY: the caller vouches for every address that the arguments describe.
    unsafe {
        let (mut x, mut y) = (a.x, a.y);
        for _ in 0..a.repeat {
            let mut first = [[S::splat(0.0); P]; O];
            let mut second = [[S::splat(0.0); P]; O];
            for f in 0..a.n_points {
                let (xf, wf) = (x.add(f * a.x_point), a.w.add(f * a.w_point));
                let mut acc = [[S::splat(0.0); P]; O];
                for i in 0..a.n_taps {
                    let tap = *a.taps.add(i);
                    let xt = xf.add(tap.x as usize);
                    let wt = wf.add(tap.w as usize * a.w_row);
                    multiply::<S, O, P, true>(xt, wt, 0, &mut acc);
                }
                let point = *a.points.add(f);
                if point != Point::Infinity {
                    for o in 0..O {
                        for p in 0..P {
                            first[o][p] = S::add(first[o][p], acc[o][p]);
                        }
                    }
                }
                match point {
                    Point::Zero => {}
                    Point::One | Point::Infinity => {
                        for o in 0..O {
                            for p in 0..P {
                                second[o][p] = S::add(second[o][p], acc[o][p]);
                            }
                        }
                    }
                    Point::MinusOne => {
                        for o in 0..O {
                            for p in 0..P {
                                second[o][p] = S::sub(second[o][p], acc[o][p]);
                            }
                        }
                    }
                    Point::Two => {
                        for o in 0..O {
                            for p in 0..P {
                                second[o][p] = S::add(second[o][p], S::add(acc[o][p], acc[o][p]));
                            }
                        }
                    }
                    Point::MinusTwo => {
                        for o in 0..O {
                            for p in 0..P {
                                second[o][p] = S::sub(second[o][p], S::add(acc[o][p], acc[o][p]));
                            }
                        }
                    }
                }
            }
            for o in 0..O {
                let bias = S::splat(if a.bias.is_null() { 0.0 } else { *a.bias.add(o) });
                for p in 0..P {
                    let at = y.add(o * a.y_plane + p * S::LANES);
                    S::store(at, S::add(first[o][p], bias));
                    S::store(at.add(a.y_row), S::add(second[o][p], bias));
                }
            }
            // Past the last tile these may leave the buffer: they are not used there.
            x = x.wrapping_add(P * S::LANES);
            y = y.wrapping_add(P * S::LANES);
        }
    }
}

/// The compiled tiles of a path.
pub(super) struct PairTiles {
    pub forward: &'static [PairTile],
    /// For weight gradients.
    pub outers: &'static [Outer],
}

impl PairTiles {
    pub fn of(path: Path) -> &'static PairTiles {
        of_path!(path, TILES)
    }
}

macro_rules! tiles {
    ($name:ident, $S:ty, [$($feature:meta)?], forward: [$(($o:literal, $p:literal)),*], outers: [$(($oo:literal, $ot:literal)),*]) => {
        mod $name {
            use super::*;
            $(#[$feature])?
            unsafe fn pair_fn<const O: usize, const P: usize>(a: &PairArgs) {
                // SAFETY: this function has the path's features; the rest is the caller's.
                unsafe { pair::<$S, O, P>(a) }
            }
            $(#[$feature])?
            unsafe fn outer_fn<const O: usize, const T: usize>(a: &OuterArgs) {
                // SAFETY: this function has the path's features; the rest is the caller's.
                unsafe {
                    match a.point {
                        Point::Zero => outer::<$S, O, T, { Point::Zero as u8 }>(a),
                        Point::One => outer::<$S, O, T, { Point::One as u8 }>(a),
                        Point::MinusOne => outer::<$S, O, T, { Point::MinusOne as u8 }>(a),
                        Point::Two => outer::<$S, O, T, { Point::Two as u8 }>(a),
                        Point::MinusTwo => outer::<$S, O, T, { Point::MinusTwo as u8 }>(a),
                        Point::Infinity => outer::<$S, O, T, { Point::Infinity as u8 }>(a),
                    }
                }
            }
            #[cfg(feature = "gradients")]
            const OUTERS: &[Outer] = &[$(Outer { o: $oo, t: $ot, run: outer_fn::<$oo, $ot> }),*];
            #[cfg(not(feature = "gradients"))]
            const OUTERS: &[Outer] = &[Outer { o: 1, t: 1, run: outer_fn::<1, 1> }];
            pub static TILES: PairTiles = PairTiles {
                forward: &[$(PairTile { o: $o, p: $p, run: pair_fn::<$o, $p> }),*],
                outers: OUTERS,
            };
        }
    };
}

// Registers: 3·o·p accumulators, min(o, p) operands kept, one streamed. With 16 registers the sums of the rows go to
// the stack between points.
#[cfg(all(target_arch = "x86_64", feature = "avx512"))]
tiles!(avx512, simd::Avx512, [target_feature(enable = "avx512f")],
    forward: [(8, 1), (6, 1), (5, 1), (4, 1), (3, 1), (2, 1), (1, 1), (4, 2), (3, 2), (2, 2), (1, 2), (3, 3), (2, 3), (1, 3),
              (2, 4), (1, 4), (2, 5), (1, 8)],
    outers: [(4, 5), (3, 5), (2, 5), (1, 5), (6, 4), (4, 4), (2, 4), (1, 4), (6, 3), (4, 3), (3, 3), (2, 3), (1, 3),
             (6, 2), (4, 2), (2, 2), (1, 2), (6, 1), (4, 1), (2, 1), (1, 1)]);

#[cfg(target_arch = "x86_64")]
tiles!(avx2, simd::Avx2, [target_feature(enable = "avx2,fma")],
    forward: [(8, 1), (6, 1), (5, 1), (4, 1), (3, 1), (2, 1), (1, 1), (5, 2), (4, 2), (3, 2), (2, 2), (1, 2), (2, 4), (2, 5),
              (1, 4), (1, 8)],
    outers: [(2, 5), (1, 5), (2, 4), (1, 4), (3, 3), (2, 3), (1, 3), (6, 2), (4, 2), (2, 2), (1, 2), (6, 1), (4, 1), (2, 1), (1, 1)]);

#[cfg(target_arch = "aarch64")]
tiles!(neon, simd::Neon, [],
    forward: [(8, 1), (6, 1), (4, 1), (2, 1), (1, 1), (4, 2), (3, 2), (2, 2), (1, 2), (2, 4), (1, 4), (1, 8)],
    outers: [(4, 5), (2, 5), (1, 5), (4, 4), (2, 4), (1, 4), (6, 3), (4, 3), (2, 3), (1, 3), (4, 2), (2, 2), (1, 2), (4, 1),
             (2, 1), (1, 1)]);

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
tiles!(simd128, simd::Simd128, [],
    forward: [(4, 1), (2, 1), (1, 1), (2, 2), (1, 2), (1, 4)],
    outers: [(4, 2), (2, 2), (1, 2), (2, 4), (1, 4), (2, 5), (1, 5), (3, 3), (1, 3), (2, 1), (1, 1)]);

tiles!(portable, simd::Portable, [],
    forward: [(2, 2), (1, 2), (2, 1), (1, 1)],
    outers: [(2, 2), (1, 2), (2, 1), (1, 1)]);
