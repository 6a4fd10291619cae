//! Patches into what is multiplied point by point, and sums into squares. Along a side the points are
//! 0, A, -A, B, -B, infinity, in this order.

use super::{Grid, PATCH, POINTS, SIDE};
use crate::kernel::frame::Frame;
use crate::kernel::path::Program;
use crate::kernel::simd::{CHUNK, Simd};

pub(super) const A: f32 = 0.75;
pub(super) const B: f32 = 1.5;
const A2: f32 = A * A;
const B2: f32 = B * B;

/// A side of a patch: coefficients of the polynomial with zeros at all other points.
#[inline(always)]
unsafe fn patch<S: Simd>(x: [S::V; PATCH]) -> [S::V; PATCH] {
    // SAFETY: the caller runs on S's path.
    unsafe {
        let (a, b, a2, b2) = (S::splat(A), S::splat(B), S::splat(A2), S::splat(B2));
        let (product, sum) = (S::splat(A2 * B2), S::splat(A2 + B2));
        let (even_a, odd_a) = (S::fnma(b2, x[2], x[4]), S::fnma(b2, x[1], x[3]));
        let (even_b, odd_b) = (S::fnma(a2, x[2], x[4]), S::fnma(a2, x[1], x[3]));
        [
            S::fma(product, x[0], S::fnma(sum, x[2], x[4])),
            S::fma(a, odd_a, even_a),
            S::fnma(a, odd_a, even_a),
            S::fma(b, odd_b, even_b),
            S::fnma(b, odd_b, even_b),
            S::fma(product, x[1], S::fnma(sum, x[3], x[5])),
        ]
    }
}

/// A side of a square from its sums at the points.
#[inline(always)]
unsafe fn square<S: Simd>(m: [S::V; PATCH]) -> [S::V; SIDE] {
    // SAFETY: the caller runs on S's path.
    unsafe {
        let (sum_a, difference_a) = (S::add(m[1], m[2]), S::sub(m[1], m[2]));
        let (sum_b, difference_b) = (S::add(m[3], m[4]), S::sub(m[3], m[4]));
        let (a, b, a2, b2) = (S::splat(A), S::splat(B), S::splat(A2), S::splat(B2));
        let (a3, b3) = (S::splat(A2 * A), S::splat(B2 * B));
        [
            S::add(m[0], S::add(sum_a, sum_b)),
            S::fma(a, difference_a, S::mul(b, difference_b)),
            S::fma(a2, sum_a, S::mul(b2, sum_b)),
            S::fma(a3, difference_a, S::fma(b3, difference_b, m[5])),
        ]
    }
}

/// The transpose of [`square`]: values of the polynomial with the side as its coefficients.
#[inline(always)]
unsafe fn spread<S: Simd>(z: [S::V; SIDE]) -> [S::V; PATCH] {
    // SAFETY: the caller runs on S's path.
    unsafe {
        let (a, b, a2, b2) = (S::splat(A), S::splat(B), S::splat(A2), S::splat(B2));
        let (even_a, odd_a) = (S::fma(a2, z[2], z[0]), S::fma(a2, z[3], z[1]));
        let (even_b, odd_b) = (S::fma(b2, z[2], z[0]), S::fma(b2, z[3], z[1]));
        [
            z[0],
            S::fma(a, odd_a, even_a),
            S::fnma(a, odd_a, even_a),
            S::fma(b, odd_b, even_b),
            S::fnma(b, odd_b, even_b),
            z[3],
        ]
    }
}

/// Zeros in `n` floats.
#[inline(always)]
unsafe fn clear<S: Simd>(to: *mut f32, n: usize) {
    // SAFETY: the caller vouches for the floats, whole positions.
    unsafe {
        for i in 0..n / S::LANES {
            S::store(to.add(i * S::LANES), S::splat(0.0));
        }
    }
}

/// Where `N` rows from `top` on begin; rows outside the frame are one of zeros. The padding is part of `top`.
#[inline(always)]
unsafe fn rows<const N: usize>(grid: &Grid, plane: *const f32, top: usize, zeros: *const f32) -> [*const f32; N] {
    let mut rows = [zeros; N];
    for k in 0..N {
        let row = (top + k).wrapping_sub(grid.padding[0]);
        if row < grid.from.rows {
            // SAFETY: a row of the frame.
            rows[k] = unsafe { plane.add(row * grid.from.row()) };
        }
    }
    rows
}

/// Patches of a panel at all points, `[point][channel][square][16]`.
pub(super) struct Patches<'a> {
    pub grid: &'a Grid,
    /// First row of squares.
    pub first: usize,
    pub x: *const f32,
    pub lines: *mut f32,
    pub v: *mut f32,
    /// Floats from one point to the next.
    pub point: usize,
}

impl Program for Patches<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (grid, line) = (self.grid, self.grid.line());
        let squares = grid.squares();
        // SAFETY: `Products` has buffers as long as frames and grid need.
        unsafe {
            // Columns that are padding stay zero.
            clear::<S>(self.lines, grid.lines_len());
            let columns = self.lines.add(grid.padding[1] * CHUNK);
            for (c, r) in (0..grid.from.channels * grid.panel).map(|i| (i / grid.panel, i % grid.panel)) {
                let plane = self.x.add(grid.from.at(c, 0, 0));
                let top = (self.first + r) * SIDE;
                let rows = rows::<PATCH>(grid, plane, top, self.lines.add(PATCH * line));
                for i in 0..grid.from.cols * S::PER_POSITION {
                    let mut x = [S::splat(0.0); PATCH];
                    for k in 0..PATCH {
                        x[k] = S::load(rows[k].add(i * S::LANES));
                    }
                    let x = patch::<S>(x);
                    for k in 0..PATCH {
                        S::store(columns.add(k * line + i * S::LANES), x[k]);
                    }
                }
                let v = self.v.add((c * squares + r * grid.across) * CHUNK);
                for k in 0..PATCH {
                    across::<S>(grid.across, self.lines.add(k * line), v.add(k * PATCH * self.point), self.point);
                }
            }
        }
    }
}

/// The patches of a row of squares along their columns.
#[inline(always)]
unsafe fn across<S: Simd>(squares: usize, line: *const f32, v: *mut f32, point: usize) {
    // SAFETY: the caller vouches for the line and the points.
    unsafe {
        for t in 0..squares {
            for part in 0..S::PER_POSITION {
                let mut x = [S::splat(0.0); PATCH];
                for k in 0..PATCH {
                    x[k] = S::load(line.add((t * SIDE + k) * CHUNK + part * S::LANES));
                }
                let x = patch::<S>(x);
                for k in 0..PATCH {
                    S::store(v.add(k * point + t * CHUNK + part * S::LANES), x[k]);
                }
            }
        }
    }
}

/// Squares of a panel from their sums at all points.
pub(super) struct Squares<'a> {
    pub grid: &'a Grid,
    pub to: &'a Frame,
    /// First row of squares.
    pub first: usize,
    pub m: *const f32,
    /// Floats from one point to the next.
    pub point: usize,
    /// Added to each value of a channel; null for none.
    pub bias: *const f32,
    pub y: *mut f32,
}

impl Program for Squares<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (grid, to) = (self.grid, self.to);
        let (squares, row) = (grid.squares(), to.row());
        // SAFETY: `Products` has buffers as long as frames and grid need.
        unsafe {
            for (o, t) in (0..to.channels * squares).map(|i| (i / squares, i % squares)) {
                let bias = S::splat(if self.bias.is_null() { 0.0 } else { *self.bias.add(o) });
                let (top, left) = ((self.first + t / grid.across) * SIDE, t % grid.across * SIDE);
                let (height, width) = ((to.rows - top).min(SIDE), (to.cols - left).min(SIDE));
                let m = self.m.add((o * squares + t) * CHUNK);
                let y = self.y.add(to.at(o, top, left));
                for part in 0..S::PER_POSITION {
                    let (m, y) = (m.add(part * S::LANES), y.add(part * S::LANES));
                    let mut rows = [[S::splat(0.0); PATCH]; SIDE];
                    for j in 0..PATCH {
                        let mut column = [S::splat(0.0); PATCH];
                        for i in 0..PATCH {
                            column[i] = S::load(m.add((i * PATCH + j) * self.point));
                        }
                        let column = square::<S>(column);
                        for i in 0..SIDE {
                            rows[i][j] = column[i];
                        }
                    }
                    for i in 0..SIDE {
                        if i == height {
                            break;
                        }
                        let values = square::<S>(rows[i]);
                        for j in 0..SIDE {
                            if j < width {
                                S::store(y.add(i * row + j * CHUNK), S::add(values[j], bias));
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One row of points, `[point of the row][channel][square][16]`.
pub(super) struct Row<'a> {
    pub grid: &'a Grid,
    /// First row of squares.
    pub first: usize,
    /// Which row of points.
    pub point: usize,
    pub from: *const f32,
    pub lines: *mut f32,
    pub to: *mut f32,
    /// Floats from one point to the next.
    pub plane: usize,
}

impl Row<'_> {
    /// `N` is [`PATCH`] for patches, and [`SIDE`] for squares.
    #[inline(always)]
    unsafe fn all<S: Simd, const N: usize, const POINT: usize>(&self) {
        let (grid, line) = (self.grid, self.grid.line());
        let squares = grid.squares();
        // SAFETY: `Square` has buffers as long as frames and grid need.
        unsafe {
            clear::<S>(self.lines, 2 * line);
            let columns = self.lines.add(grid.padding[1] * CHUNK);
            for (c, r) in (0..grid.from.channels * grid.panel).map(|i| (i / grid.panel, i % grid.panel)) {
                let plane = self.from.add(grid.from.at(c, 0, 0));
                let rows = rows::<N>(grid, plane, (self.first + r) * SIDE, self.lines.add(line));
                for i in 0..grid.from.cols * S::PER_POSITION {
                    let mut x = [S::splat(0.0); PATCH];
                    for k in 0..N {
                        x[k] = S::load(rows[k].add(i * S::LANES));
                    }
                    // What other points need is not computed.
                    let x = if N == PATCH { patch::<S>(x) } else { spread::<S>([x[0], x[1], x[2], x[3]]) };
                    S::store(columns.add(i * S::LANES), x[POINT]);
                }
                let to = self.to.add((c * squares + r * grid.across) * CHUNK);
                if N == PATCH {
                    across::<S>(grid.across, self.lines, to, self.plane);
                    continue;
                }
                for t in 0..grid.across {
                    for part in 0..S::PER_POSITION {
                        let mut z = [S::splat(0.0); SIDE];
                        for k in 0..SIDE {
                            z[k] = S::load(self.lines.add((t * SIDE + k) * CHUNK + part * S::LANES));
                        }
                        let z = spread::<S>(z);
                        for k in 0..PATCH {
                            S::store(to.add(k * self.plane + t * CHUNK + part * S::LANES), z[k]);
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    unsafe fn run<S: Simd, const N: usize>(&self) {
        // SAFETY: as the caller's.
        unsafe {
            match self.point {
                0 => self.all::<S, N, 0>(),
                1 => self.all::<S, N, 1>(),
                2 => self.all::<S, N, 2>(),
                3 => self.all::<S, N, 3>(),
                4 => self.all::<S, N, 4>(),
                _ => self.all::<S, N, 5>(),
            }
        }
    }
}

/// A row of points of patches.
pub(super) struct PatchRow<'a>(pub Row<'a>);

impl Program for PatchRow<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: as the caller's.
        unsafe { self.0.run::<S, PATCH>() }
    }
}

/// A row of points of squares.
pub(super) struct SquareRow<'a>(pub Row<'a>);

impl Program for SquareRow<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: as the caller's.
        unsafe { self.0.run::<S, SIDE>() }
    }
}

const _: () = assert!(POINTS == PATCH * PATCH);
