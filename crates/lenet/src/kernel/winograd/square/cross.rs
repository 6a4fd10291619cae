//! The micro-kernel of the weights' gradient: `y[o][p] += Σ d[square][o][lane] · v[square][lane][p]`, samples summed with
//! the squares, channels of x in the vectors.

use crate::kernel::path::Path;
use crate::kernel::plan::contract::{partition, priced_partition};
use crate::kernel::plan::tile::{Tiles, of_path};
use crate::kernel::simd::{self, CHUNK, Simd};

/// What a [`CrossFn`] works on.
#[derive(Clone, Copy)]
pub(super) struct CrossArgs {
    pub d: *const f32,
    /// Floats from one square to the next.
    pub d_square: usize,
    pub v: *const f32,
    /// Floats from one lane, or from the last one of a square to the first of the next.
    pub v_row: usize,
    pub squares: usize,
    pub y: *mut f32,
    /// Floats from one output to the next.
    pub y_row: usize,
    /// Whether the sums are the first ones, and not to be added to those before.
    pub first: bool,
}

/// A compiled [`cross`].
///
/// # Safety
/// All reads and writes that [`CrossArgs`] describes must be within live buffers; the path must be available.
pub(super) type CrossFn = unsafe fn(&CrossArgs);

/// A register tile of `o` outputs × `p` vectors of inputs.
#[derive(Clone, Copy)]
struct CrossTile {
    o: usize,
    p: usize,
    run: CrossFn,
}

#[inline(always)]
unsafe fn cross<S: Simd, const O: usize, const P: usize>(a: &CrossArgs) {
    // SAFETY: the caller vouches for every address that the arguments describe.
    unsafe {
        let mut acc = [[S::splat(0.0); P]; O];
        let (mut d, mut v) = (a.d, a.v);
        for _ in 0..a.squares {
            for lane in 0..CHUNK {
                let mut x = [S::splat(0.0); P];
                for p in 0..P {
                    x[p] = S::load(v.add(p * S::LANES));
                }
                for o in 0..O {
                    let w = S::splat(*d.add(o * CHUNK + lane));
                    for p in 0..P {
                        acc[o][p] = S::fma(w, x[p], acc[o][p]);
                    }
                }
                v = v.wrapping_add(a.v_row);
            }
            d = d.wrapping_add(a.d_square);
        }
        for o in 0..O {
            for p in 0..P {
                let y = a.y.add(o * a.y_row + p * S::LANES);
                S::store(y, if a.first { acc[o][p] } else { S::add(S::load(y), acc[o][p]) });
            }
        }
    }
}

/// The compiled tiles of a path.
struct CrossTiles {
    tiles: &'static [CrossTile],
    /// Of vectors half as long, for what is left of the inputs.
    halves: &'static [CrossTile],
}

macro_rules! tiles {
    ($name:ident, $S:ty, [$($feature:meta)?], [$(($o:literal, $p:literal)),*], $halves:expr) => {
        mod $name {
            use super::*;
            $(#[$feature])?
            unsafe fn cross_fn<const O: usize, const P: usize>(a: &CrossArgs) {
                // SAFETY: this function has the path's features; the rest is the caller's.
                unsafe { cross::<$S, O, P>(a) }
            }
            #[cfg(feature = "gradients")]
            pub static TILES: CrossTiles =
                CrossTiles { tiles: &[$(CrossTile { o: $o, p: $p, run: cross_fn::<$o, $p> }),*], halves: $halves };
            #[cfg(not(feature = "gradients"))]
            pub static TILES: CrossTiles =
                CrossTiles { tiles: &[CrossTile { o: 1, p: 1, run: cross_fn::<1, 1> }], halves: &[] };
        }
    };
}

// Each number of vectors has a tile of one output, and one is among the numbers.
#[cfg(all(target_arch = "x86_64", feature = "avx512"))]
tiles!(
    avx512,
    simd::Avx512,
    [target_feature(enable = "avx512f")],
    [(8, 3), (4, 3), (1, 3), (12, 2), (6, 2), (1, 2), (6, 4), (2, 4), (1, 4), (4, 5), (1, 5), (16, 1), (4, 1), (1, 1)],
    avx2::TILES.tiles
);

#[cfg(target_arch = "x86_64")]
tiles!(
    avx2,
    simd::Avx2,
    [target_feature(enable = "avx2,fma")],
    [(6, 2), (4, 2), (1, 2), (3, 3), (1, 3), (10, 1), (4, 1), (1, 1)],
    &[]
);

#[cfg(target_arch = "aarch64")]
tiles!(neon, simd::Neon, [], [(6, 4), (4, 4), (1, 4), (8, 2), (1, 2), (12, 1), (4, 1), (1, 1)], &[]);

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
tiles!(simd128, simd::Simd128, [], [(4, 2), (1, 2), (4, 1), (1, 1)], &[]);

tiles!(portable, simd::Portable, [], [(2, 2), (1, 2), (2, 1), (1, 1)], &[]);

/// A tile, its first output and its first input.
type Call = (CrossFn, usize, usize);

/// All tiles for so many outputs and inputs, in the order of the inputs.
pub(super) fn plan(path: Path, outputs: usize, inputs: usize) -> Vec<Call> {
    let CrossTiles { tiles: all, halves } = *of_path!(path, TILES);
    let lanes = Tiles::of(path).lanes;
    let options = |tiles: &[CrossTile], p: usize| -> Vec<(usize, f64)> {
        tiles.iter().filter(|t| t.p == p && t.o <= outputs).map(|t| (t.o, (t.o * t.p) as f64 + 2.0)).collect()
    };
    let total = |p: usize| priced_partition(outputs, &options(all, p)).1;
    let mut widths: Vec<(usize, f64)> = all.iter().map(|t| (t.p, total(t.p))).collect();
    widths.dedup_by_key(|w| w.0);
    let rest = inputs % lanes;
    let half = !halves.is_empty() && rest > 0 && rest <= lanes / 2;
    let vectors = if half { inputs / lanes } else { inputs.div_ceil(lanes) };
    let (mut calls, mut input) = (Vec::new(), 0);
    let mut columns = |tiles: &[CrossTile], p: usize, lanes: usize| {
        let mut first = 0;
        for o in partition(outputs, &options(tiles, p)) {
            calls.extend(tiles.iter().find(|t| t.o == o && t.p == p).map(|t| (t.run, first, input)));
            first += o;
        }
        input += p * lanes;
    };
    partition(vectors, &widths).into_iter().for_each(|p| columns(all, p, lanes));
    if half {
        columns(halves, 1, lanes / 2);
    }
    calls
}
