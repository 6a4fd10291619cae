//! The micro-kernels. Every contraction of the engine is one of three loops over a register tile whose two sizes are the
//! only compile-time constants:
//!
//! - [`Tile`]: `acc[o][p] += w[tap][o] · x[offset[tap] + p]`, weights broadcast, positions in vectors
//! - [`Outer`]: `acc[o][t] += dz[o][position] · x[position + t]`, both in vectors, lanes kept apart
//! - [`BatchTile`]: the first loop over the samples of a batch, chunk by chunk, summed in the chunk tree
//!
//! Each accumulator is one chain in the order of its taps (positions, samples), so the bits do not depend on the tile.

use super::point::{Point, combine};
use crate::kernel::path::Path;
use crate::kernel::simd::{self, CHUNK, Simd};

/// One term of a contraction: where its inputs are, and which row of weights goes with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// Floats from the tile's first input.
    pub x: u32,
    /// Row of the packed weights.
    pub w: u32,
}

/// What a [`TileFn`] works on. `x` is read at `tap.x + p`, `w` is `[rows][w_stride]`, `y` is `[o][p]`.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct TileArgs {
    pub taps: *const Tap,
    pub n_taps: usize,
    pub w: *const f32,
    /// Floats from one row of weights to the next.
    pub w_stride: usize,
    /// Added to each output's sum at the end, so that the sum itself starts small; null for none.
    pub bias: *const f32,
    pub x: *const f32,
    /// Floats from one position (16 lanes) to the next, of inputs and of outputs; unused where both are 16.
    pub x_pitch: usize,
    pub y_pitch: usize,
    pub y: *mut f32,
    /// Floats from one output to the next.
    pub y_plane: usize,
    /// So many tiles in a row, `x_step` and `y_step` floats apart.
    pub repeat: usize,
    pub x_step: usize,
    pub y_step: usize,
}

/// A compiled [`Tile`].
///
/// # Safety
/// All reads and writes that [`TileArgs`] describes must be within live buffers; the path must be available.
pub type TileFn = unsafe fn(&TileArgs);

/// A register tile of `o` outputs × `p` vectors.
#[derive(Clone, Copy)]
pub struct Tile {
    /// Outputs.
    pub o: usize,
    /// Vectors.
    pub p: usize,
    /// For positions one after another.
    pub unit: TileFn,
    /// For positions at a pitch.
    pub pitched: TileFn,
}

/// What an [`OuterFn`] works on: dz is `[o][row][col][16]`, x is `[t]` views of `[row][col][16]`, acc is `[o][t][16]`.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct OuterArgs {
    pub dz: *const f32,
    pub dz_plane: usize,
    pub dz_row: usize,
    pub x: *const f32,
    pub x_row: usize,
    pub x_col: usize,
    /// Floats from one tap to the next.
    pub x_tap: usize,
    pub rows: usize,
    pub cols: usize,
    pub acc: *mut f32,
    pub acc_o: usize,
    pub acc_tap: usize,
    /// Whether accumulators start at zero rather than at what `acc` holds.
    pub zero: bool,
    /// Where dz is combined from two rows: how, and floats between them.
    pub point: Point,
    pub dz_second: usize,
}

/// A compiled [`Outer`].
///
/// # Safety
/// As [`TileFn`].
pub type OuterFn = unsafe fn(&OuterArgs);

/// A register tile of `o` outputs × `t` taps, each accumulator one vector.
#[derive(Clone, Copy)]
pub struct Outer {
    /// Outputs.
    pub o: usize,
    /// Taps.
    pub t: usize,
    /// The code.
    pub run: OuterFn,
}

/// What a [`BatchTileFn`] works on: each chunk's dz is `[16][dz_stride]`, its x is `[16][x_stride]`, y is `[o][p]`.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct BatchTileArgs<'a> {
    /// Rows of dz, one block of 16 samples a chunk, from the tile's first output on.
    pub dz: &'a [*const f32],
    pub dz_stride: usize,
    /// Rows of x likewise; the tile starts at `x_offset`.
    pub x: &'a [*const f32],
    pub x_stride: usize,
    pub dz_offset: usize,
    pub x_offset: usize,
    pub y: *mut f32,
    pub y_stride: usize,
}

/// A compiled [`BatchTile`].
///
/// # Safety
/// As [`TileFn`].
pub type BatchTileFn = unsafe fn(&BatchTileArgs);

/// A register tile of `o` outputs × `p` vectors of inputs, over a batch.
#[derive(Clone, Copy)]
pub struct BatchTile {
    /// Outputs.
    pub o: usize,
    /// Vectors.
    pub p: usize,
    /// The code.
    pub run: BatchTileFn,
}

/// Floats from a tile's first vector to vector `p`.
#[inline(always)]
fn vector_at<S: Simd, const UNIT: bool>(p: usize, pitch: usize) -> usize {
    if UNIT { p * S::LANES } else { (p / S::PER_POSITION) * pitch + (p % S::PER_POSITION) * S::LANES }
}

/// `acc[o][p] += w[o] · x[p]`: one tap of a register tile.
///
/// # Safety
/// `O` weights and `P` vectors must be readable, and the caller runs on S's path.
#[inline(always)]
pub(crate) unsafe fn multiply<S: Simd, const O: usize, const P: usize, const UNIT: bool>(
    x: *const f32,
    w: *const f32,
    x_pitch: usize,
    acc: &mut [[S::V; P]; O],
) {
    // SAFETY: the caller vouches for the addresses.
    unsafe {
        // The smaller set of operands stays in registers, the larger one streams.
        if P <= O {
            let mut xs = [S::splat(0.0); P];
            for p in 0..P {
                xs[p] = S::load(x.add(vector_at::<S, UNIT>(p, x_pitch)));
            }
            for o in 0..O {
                let w = S::splat(*w.add(o));
                for p in 0..P {
                    acc[o][p] = S::fma(w, xs[p], acc[o][p]);
                }
            }
        } else {
            let mut ws = [S::splat(0.0); O];
            for o in 0..O {
                ws[o] = S::splat(*w.add(o));
            }
            for p in 0..P {
                let v = S::load(x.add(vector_at::<S, UNIT>(p, x_pitch)));
                for o in 0..O {
                    acc[o][p] = S::fma(ws[o], v, acc[o][p]);
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn tile<S: Simd, const O: usize, const P: usize, const UNIT: bool>(a: &TileArgs) {
    // SAFETY: the caller vouches for every address that the arguments describe.
    unsafe {
        let (mut x, mut y) = (a.x, a.y);
        for _ in 0..a.repeat {
            let mut acc = [[S::splat(0.0); P]; O];
            for i in 0..a.n_taps {
                let tap = *a.taps.add(i);
                let xt = x.add(tap.x as usize);
                let wt = a.w.add(tap.w as usize * a.w_stride);
                multiply::<S, O, P, UNIT>(xt, wt, a.x_pitch, &mut acc);
            }
            if !a.bias.is_null() {
                for o in 0..O {
                    let bias = S::splat(*a.bias.add(o));
                    for p in 0..P {
                        acc[o][p] = S::add(acc[o][p], bias);
                    }
                }
            }
            for o in 0..O {
                for p in 0..P {
                    S::store(y.add(o * a.y_plane + vector_at::<S, UNIT>(p, a.y_pitch)), acc[o][p]);
                }
            }
            // Past the last tile these may leave the buffer: they are not read there.
            x = x.wrapping_add(a.x_step);
            y = y.wrapping_add(a.y_step);
        }
    }
}

/// The outer product, dz being what `POINT` makes of a pair of rows; at [`Point::Zero`] it is the first row alone.
///
/// # Safety
/// As [`OuterFn`].
#[inline(always)]
pub(crate) unsafe fn outer<S: Simd, const O: usize, const T: usize, const POINT: u8>(a: &OuterArgs) {
    // SAFETY: the caller vouches for every address that the arguments describe.
    unsafe {
        for part in 0..S::PER_POSITION {
            let lane = part * S::LANES;
            let mut acc = [[S::splat(0.0); T]; O];
            if !a.zero {
                for o in 0..O {
                    for t in 0..T {
                        acc[o][t] = S::load(a.acc.add(o * a.acc_o + t * a.acc_tap + lane));
                    }
                }
            }
            for row in 0..a.rows {
                let mut dz = a.dz.add(row * a.dz_row + lane);
                let mut x = a.x.add(row * a.x_row + lane);
                for _ in 0..a.cols {
                    if T <= O {
                        let mut xs = [S::splat(0.0); T];
                        for t in 0..T {
                            xs[t] = S::load(x.add(t * a.x_tap));
                        }
                        for o in 0..O {
                            let at = dz.add(o * a.dz_plane);
                            let d = combine::<S, POINT>(at, a.dz_second);
                            for t in 0..T {
                                acc[o][t] = S::fma(d, xs[t], acc[o][t]);
                            }
                        }
                    } else {
                        let mut ds = [S::splat(0.0); O];
                        for o in 0..O {
                            let at = dz.add(o * a.dz_plane);
                            ds[o] = combine::<S, POINT>(at, a.dz_second);
                        }
                        for t in 0..T {
                            let v = S::load(x.add(t * a.x_tap));
                            for o in 0..O {
                                acc[o][t] = S::fma(ds[o], v, acc[o][t]);
                            }
                        }
                    }
                    dz = dz.wrapping_add(CHUNK);
                    x = x.wrapping_add(a.x_col);
                }
            }
            for o in 0..O {
                for t in 0..T {
                    S::store(a.acc.add(o * a.acc_o + t * a.acc_tap + lane), acc[o][t]);
                }
            }
        }
    }
}

/// Chunks of a batch are summed in a binary tree; this many levels are enough for 2²⁴ chunks.
const LEVELS: usize = 24;

/// `sum = older + sum`
#[inline(always)]
unsafe fn add_tile<S: Simd, const O: usize, const P: usize>(older: &[[S::V; P]; O], sum: &mut [[S::V; P]; O]) {
    for o in 0..O {
        for p in 0..P {
            // SAFETY: the caller runs on S's path.
            sum[o][p] = unsafe { S::add(older[o][p], sum[o][p]) };
        }
    }
}

#[inline(always)]
unsafe fn batch_tile<S: Simd, const O: usize, const P: usize>(a: &BatchTileArgs) {
    // SAFETY: the caller vouches for every address that the arguments describe.
    unsafe {
        // A binary counter: level l holds the sum of an aligned group of 2^l chunks while bit l of the count is set.
        // Only those levels are read, each after it was written.
        let mut levels = [const { std::mem::MaybeUninit::<[[S::V; P]; O]>::uninit() }; LEVELS];
        let n = a.dz.len();
        for k in 0..n {
            let dz = (*a.dz.get_unchecked(k)).add(a.dz_offset);
            let x = (*a.x.get_unchecked(k)).add(a.x_offset);
            let mut acc = [[S::splat(0.0); P]; O];
            for s in 0..CHUNK {
                let mut xs = [S::splat(0.0); P];
                for p in 0..P {
                    xs[p] = S::load(x.add(s * a.x_stride + p * S::LANES));
                }
                for o in 0..O {
                    let w = S::splat(*dz.add(s * a.dz_stride + o));
                    for p in 0..P {
                        acc[o][p] = S::fma(w, xs[p], acc[o][p]);
                    }
                }
            }
            let mut level = 0;
            while k >> level & 1 == 1 {
                add_tile::<S, O, P>(levels[level].assume_init_ref(), &mut acc);
                level += 1;
            }
            levels[level].write(acc);
        }
        // What is left are groups of falling size: the smallest joins the next larger one, and so on.
        let lowest = n.trailing_zeros() as usize;
        let mut sum = levels[lowest].assume_init();
        for l in lowest + 1..LEVELS {
            if n >> l & 1 == 1 {
                add_tile::<S, O, P>(levels[l].assume_init_ref(), &mut sum);
            }
        }
        for o in 0..O {
            for p in 0..P {
                S::store(a.y.add(o * a.y_stride + p * S::LANES), sum[o][p]);
            }
        }
    }
}

/// The compiled tiles of a path.
pub struct Tiles {
    /// Floats a vector.
    pub lanes: usize,
    /// Most multiply-adds and loads of a vector that a cycle can start, and cycles until a multiply-add is done.
    pub(crate) machine: Machine,
    /// For contractions.
    pub tiles: &'static [Tile],
    /// For weight gradients of convolutions.
    pub outers: &'static [Outer],
    /// For weight gradients of dense layers.
    pub batch_tiles: &'static [BatchTile],
}

/// A rough model of a core, only ever used to choose between tiles.
#[derive(Clone, Copy)]
pub(crate) struct Machine {
    pub fma: f64,
    pub load: f64,
    pub latency: f64,
}

impl Machine {
    /// Cycles for one step of an `a` × `b` tile whose operands are all loaded.
    pub fn step(&self, a: usize, b: usize) -> f64 {
        self.step_with(a * b, a + b)
    }

    /// Cycles for so many multiply-adds that do not wait for one another, and loads.
    pub fn step_with(&self, fmas: usize, loads: usize) -> f64 {
        let (fmas, loads) = (fmas as f64, loads as f64);
        (fmas / self.fma).max((loads + 1.0) / self.load).max(self.latency)
    }
}

macro_rules! tiles {
    ($name:ident, $S:ty, [$($feature:meta)?], $machine:expr,
     tiles: [$(($o:literal, $p:literal)),*], outers: [$(($oo:literal, $ot:literal)),*],
     batch: [$(($bo:literal, $bp:literal)),*]) => {
        mod $name {
            use super::*;
            $(#[$feature])?
            unsafe fn tile_fn<const O: usize, const P: usize, const UNIT: bool>(a: &TileArgs) {
                // SAFETY: this function has the path's features; the rest is the caller's.
                unsafe { tile::<$S, O, P, UNIT>(a) }
            }
            $(#[$feature])?
            unsafe fn outer_fn<const O: usize, const T: usize>(a: &OuterArgs) {
                // SAFETY: this function has the path's features; the rest is the caller's.
                unsafe { outer::<$S, O, T, { Point::Zero as u8 }>(a) }
            }
            $(#[$feature])?
            unsafe fn batch_fn<const O: usize, const P: usize>(a: &BatchTileArgs) {
                // SAFETY: this function has the path's features; the rest is the caller's.
                unsafe { batch_tile::<$S, O, P>(a) }
            }
            #[cfg(feature = "gradients")]
            const OUTERS: &[Outer] = &[$(Outer { o: $oo, t: $ot, run: outer_fn::<$oo, $ot> }),*];
            #[cfg(feature = "gradients")]
            const BATCH_TILES: &[BatchTile] = &[$(BatchTile { o: $bo, p: $bp, run: batch_fn::<$bo, $bp> }),*];
            #[cfg(not(feature = "gradients"))]
            const OUTERS: &[Outer] = &[Outer { o: 1, t: 1, run: outer_fn::<1, 1> }];
            #[cfg(not(feature = "gradients"))]
            const BATCH_TILES: &[BatchTile] = &[BatchTile { o: 1, p: 1, run: batch_fn::<1, 1> }];
            pub static TILES: Tiles = Tiles {
                lanes: <$S>::LANES,
                machine: $machine,
                tiles: &[$(Tile {
                    o: $o,
                    p: $p,
                    unit: tile_fn::<$o, $p, true>,
                    pitched: tile_fn::<$o, $p, false>,
                }),*],
                outers: OUTERS,
                batch_tiles: BATCH_TILES,
            };
        }
    };
}

// Which tiles there are. Registers: o·p accumulators, min(o, p) operands kept, one streamed. On 16 registers 12
// accumulators are the most; 3×4 and 4×3 fit on paper, but compilers spill them. `lenet bench` watches every tile.
#[cfg(all(target_arch = "x86_64", feature = "avx512"))]
tiles!(avx512, simd::Avx512, [target_feature(enable = "avx512f")], Machine { fma: 1.0, load: 1.0, latency: 4.0 },
    tiles: [(24, 1), (16, 1), (12, 1), (10, 1), (8, 1), (6, 1), (5, 1), (4, 1), (3, 1), (2, 1), (1, 1),
            (12, 2), (10, 2), (8, 2), (6, 2), (5, 2), (4, 2), (3, 2), (2, 2), (1, 2),
            (8, 3), (6, 3), (5, 3), (4, 3), (3, 3), (6, 4), (5, 4), (4, 4), (3, 4), (2, 4), (1, 4),
            (4, 5), (3, 5), (2, 5), (4, 6), (3, 7), (3, 8), (2, 7), (2, 8), (2, 10), (1, 8)],
    outers: [(8, 3), (6, 3), (5, 3), (4, 3), (3, 3), (2, 3), (1, 3), (4, 5), (3, 5), (2, 5), (1, 5),
             (6, 4), (5, 4), (4, 4), (3, 4), (2, 4), (1, 4), (8, 2), (6, 2), (4, 2), (2, 2), (1, 2),
             (12, 1), (8, 1), (6, 1), (4, 1), (3, 1), (2, 1), (1, 1), (3, 7), (2, 7), (1, 7)],
    batch: [(12, 2), (8, 3), (6, 4), (6, 3), (5, 4), (4, 5), (6, 2), (12, 1), (4, 4), (4, 1), (2, 4), (2, 1), (1, 4), (1, 1)]);

#[cfg(target_arch = "x86_64")]
tiles!(avx2, simd::Avx2, [target_feature(enable = "avx2,fma")], Machine { fma: 2.0, load: 2.0, latency: 4.0 },
    tiles: [(10, 1), (8, 1), (6, 1), (5, 1), (4, 1), (3, 1), (2, 1), (1, 1),
            (6, 2), (5, 2), (4, 2), (3, 2), (2, 2), (1, 2), (3, 3), (2, 4), (2, 5), (2, 6), (1, 4), (1, 6), (1, 8), (1, 10)],
    outers: [(6, 2), (5, 2), (4, 2), (3, 2), (2, 2), (1, 2), (2, 5), (1, 5), (2, 6), (2, 4), (1, 4), (3, 3), (2, 3), (1, 3),
             (10, 1), (8, 1), (6, 1), (4, 1), (3, 1), (2, 1), (1, 1)],
    batch: [(6, 2), (5, 2), (4, 2), (2, 5), (2, 6), (2, 2), (6, 1), (4, 1), (2, 1), (1, 4), (1, 1)]);

#[cfg(target_arch = "aarch64")]
tiles!(neon, simd::Neon, [], Machine { fma: 2.0, load: 2.0, latency: 4.0 },
    tiles: [(12, 1), (8, 1), (4, 1), (2, 1), (1, 1), (12, 2), (8, 2), (4, 2), (2, 2), (1, 2), (6, 4), (5, 4), (4, 4),
            (3, 4), (2, 4), (1, 4), (3, 8), (2, 8), (1, 8), (2, 12), (1, 12)],
    outers: [(6, 3), (4, 3), (3, 3), (2, 3), (1, 3), (4, 5), (3, 5), (2, 5), (1, 5), (6, 4), (4, 4), (2, 4), (1, 4),
             (8, 2), (4, 2), (2, 2), (1, 2), (12, 1), (8, 1), (4, 1), (2, 1), (1, 1)],
    batch: [(6, 4), (4, 4), (2, 4), (1, 4), (12, 1), (4, 1), (2, 1), (1, 1)]);

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
tiles!(simd128, simd::Simd128, [], Machine { fma: 1.0, load: 2.0, latency: 8.0 },
    tiles: [(8, 1), (4, 1), (2, 1), (1, 1), (4, 2), (2, 2), (1, 2), (2, 4), (1, 4), (1, 8)],
    outers: [(4, 2), (2, 2), (1, 2), (2, 4), (1, 4), (2, 5), (1, 5), (3, 3), (1, 3), (4, 1), (2, 1), (1, 1)],
    batch: [(4, 2), (2, 2), (2, 4), (1, 4), (4, 1), (2, 1), (1, 1)]);

tiles!(portable, simd::Portable, [], Machine { fma: 2.0, load: 2.0, latency: 4.0 },
    tiles: [(4, 2), (2, 2), (1, 2), (4, 1), (2, 1), (1, 1)],
    outers: [(2, 2), (1, 2), (2, 1), (1, 1)],
    batch: [(4, 2), (2, 2), (1, 2), (4, 1), (2, 1), (1, 1)]);

/// What the modules that [`tiles`] makes hold under a name, of the one that belongs to a path.
macro_rules! of_path {
    ($path:expr, $name:ident) => {
        match $path.set() {
            #[cfg(all(target_arch = "x86_64", feature = "avx512"))]
            $crate::kernel::path::Set::Avx512 => &avx512::$name,
            #[cfg(target_arch = "x86_64")]
            $crate::kernel::path::Set::Avx2 => &avx2::$name,
            #[cfg(target_arch = "aarch64")]
            $crate::kernel::path::Set::Neon => &neon::$name,
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            $crate::kernel::path::Set::Simd128 => &simd128::$name,
            $crate::kernel::path::Set::Portable => &portable::$name,
        }
    };
}
pub(crate) use of_path;

impl Tiles {
    /// The tiles of a path.
    pub fn of(path: Path) -> &'static Tiles {
        of_path!(path, TILES)
    }

    /// Vectors that hold one position of a chunk.
    pub fn per_position(&self) -> usize {
        CHUNK / self.lanes
    }
}
