//! Patches into what is multiplied point by point, and sums into squares. Along a side the points are
//! 0, A, -A, B, -B, infinity, in this order.

use super::grid::{Grid, PATCH, SIDE};
use crate::kernel::path::Program;
use crate::kernel::plan::frame::Frame;
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
                    across::<S>(
                        grid.across,
                        self.lines.add(k * line),
                        v.add(k * PATCH * self.point),
                        self.point,
                        CHUNK,
                    );
                }
            }
        }
    }
}

/// The patches of a row of squares along their columns; floats from one point to the next, and from one square.
#[inline(always)]
unsafe fn across<S: Simd>(squares: usize, line: *const f32, v: *mut f32, point: usize, square: usize) {
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
                    S::store(v.add(k * point + t * square + part * S::LANES), x[k]);
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

/// What [`PatchRow`] and [`SquareRow`] have in common: one row of points of a panel.
#[derive(Clone, Copy)]
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
    /// The line of a row of squares at one row of points; `N` is [`PATCH`] for patches, and [`SIDE`] for squares.
    #[inline(always)]
    unsafe fn line<S: Simd, const N: usize, const POINT: usize>(&self, channel: usize, row: usize) {
        let grid = self.grid;
        // SAFETY: `Square` has buffers as long as frames and grid need.
        unsafe {
            let plane = self.from.add(grid.from.at(channel, 0, 0));
            let columns = self.lines.add(grid.padding[1] * CHUNK);
            let rows = rows::<N>(grid, plane, (self.first + row) * SIDE, self.lines.add(grid.line()));
            for i in 0..grid.from.cols * S::PER_POSITION {
                let mut x = [S::splat(0.0); PATCH];
                for k in 0..N {
                    x[k] = S::load(rows[k].add(i * S::LANES));
                }
                // What other points need is not computed.
                let x = if N == PATCH { patch::<S>(x) } else { spread::<S>([x[0], x[1], x[2], x[3]]) };
                S::store(columns.add(i * S::LANES), x[POINT]);
            }
        }
    }

    #[inline(always)]
    unsafe fn at_point<S: Simd, const N: usize>(&self, channel: usize, row: usize) {
        // SAFETY: as the caller's.
        unsafe {
            match self.point {
                0 => self.line::<S, N, 0>(channel, row),
                1 => self.line::<S, N, 1>(channel, row),
                2 => self.line::<S, N, 2>(channel, row),
                3 => self.line::<S, N, 3>(channel, row),
                4 => self.line::<S, N, 4>(channel, row),
                _ => self.line::<S, N, 5>(channel, row),
            }
        }
    }
}

/// Channels that are transposed together.
const TOGETHER: usize = 8;

/// Floats of a [`PatchRow`]'s lines: one, one of zeros, and the patches of some channels before they are transposed.
pub(super) fn patch_row_len(grid: &Grid) -> usize {
    2 * grid.line() + PATCH * grid.across * TOGETHER * CHUNK
}

/// Patches at a row of points, `[point of the row][square][16][channel]`, lines of `row` floats.
pub(super) struct PatchRow<'a> {
    pub row: Row<'a>,
    pub channels: usize,
}

impl Program for PatchRow<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Row { grid, lines, to, plane, .. } = self.row;
        let step = TOGETHER * CHUNK;
        // SAFETY: `Square` has buffers as long as frames and grid need.
        unsafe {
            clear::<S>(lines, 2 * grid.line());
            let some = lines.add(2 * grid.line());
            for (first, r) in (0..grid.from.channels.div_ceil(TOGETHER) * grid.panel)
                .map(|i| (i / grid.panel * TOGETHER, i % grid.panel))
            {
                for c in first..(first + TOGETHER).min(grid.from.channels) {
                    self.row.at_point::<S, PATCH>(c, r);
                    across::<S>(grid.across, lines, some.add((c - first) * CHUNK), grid.across * step, step);
                }
                for (k, t) in (0..PATCH * grid.across).map(|i| (i / grid.across, i % grid.across)) {
                    let from = some.add((k * grid.across + t) * step);
                    let to = to.add(k * plane + (r * grid.across + t) * CHUNK * self.channels + first);
                    S::transpose_8(from, to, self.channels);
                    S::transpose_8(from.add(8), to.add(8 * self.channels), self.channels);
                }
            }
        }
    }
}

/// Squares at a row of points, `[point of the row][square][channel][16]`.
pub(super) struct SquareRow<'a>(pub Row<'a>);

impl Program for SquareRow<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Row { grid, lines, to, plane, .. } = self.0;
        let channels = grid.from.channels;
        // SAFETY: `Square` has buffers as long as frames and grid need.
        unsafe {
            clear::<S>(lines, 2 * grid.line());
            for (c, r) in (0..channels * grid.panel).map(|i| (i / grid.panel, i % grid.panel)) {
                self.0.at_point::<S, SIDE>(c, r);
                for (t, part) in (0..grid.across * S::PER_POSITION).map(|i| (i / S::PER_POSITION, i % S::PER_POSITION))
                {
                    let to = to.add(((r * grid.across + t) * channels + c) * CHUNK + part * S::LANES);
                    let mut z = [S::splat(0.0); SIDE];
                    for k in 0..SIDE {
                        z[k] = S::load(lines.add((t * SIDE + k) * CHUNK + part * S::LANES));
                    }
                    let z = spread::<S>(z);
                    for k in 0..PATCH {
                        S::store(to.add(k * plane), z[k]);
                    }
                }
            }
        }
    }
}
