//! The gradient of the weights.

use super::forward::first_window;
use crate::kernel::plan::contract::{partition, priced_partition};
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::point::Point;
use crate::kernel::plan::tile::{Outer, OuterArgs, Tiles};
use crate::kernel::simd::CHUNK;
use crate::spec::ConvShape;
use std::ops::Range;

struct Call {
    outer: Outer,
    dz: usize,
    x: usize,
    acc: usize,
    x_tap: usize,
    acc_tap: usize,
}

/// Gradient of the weights of a chunk, lanes kept apart: `acc[oc][ic][ky][kx][16] += Σ dz[oc][y][x] · x[ic][y·s+ky·d][x·s+kx·d]`,
/// with the stride s and the dilation d.
pub struct WeightGradient {
    calls: Vec<Call>,
    s: ConvShape,
    dz: Frame,
    x: Frame,
    x_origin: usize,
    acc_len: usize,
    /// Rows of dz that make one row of the plan.
    dz_rows: usize,
}

/// What the calls of a plan are cut from.
struct Cut<'a> {
    s: &'a ConvShape,
    dz: &'a Frame,
    x: &'a Frame,
    outers: &'static [Outer],
    /// Taps that one tile can hold lie at one distance: columns of the window, or channels of a 1-wide one.
    along_channels: bool,
}

impl Cut<'_> {
    /// The calls for `o` outputs of a group, from `first` on, whose taps are cut into these parts.
    fn calls(&self, group: usize, first: usize, o: usize, parts: &[usize], calls: &mut Vec<Call>) {
        let Cut { s, dz, x, along_channels, .. } = *self;
        let (acc_oc, acc_ic) = (s.taps() * CHUNK, s.kh * s.kw * CHUNK);
        let channels = if along_channels { 1 } else { s.group_inputs() };
        for (ic, ky) in (0..channels * s.kh).map(|i| (i / s.kh, i % s.kh)) {
            let mut t = 0;
            for &part in parts {
                let (channel, kx) = if along_channels { (t, 0) } else { (ic, t) };
                let outer = self.outers.iter().find(|c| c.o == o && c.t == part);
                calls.push(Call {
                    outer: *outer.expect("parts are sizes of tiles"),
                    dz: first * dz.plane(),
                    x: (group * s.group_inputs() + channel) * x.plane()
                        + ky * s.dilation[0] * x.row()
                        + kx * s.dilation[1] * CHUNK,
                    acc: first * acc_oc + channel * acc_ic + (ky * s.kw + kx) * CHUNK,
                    x_tap: if along_channels { x.plane() } else { s.dilation[1] * CHUNK },
                    acc_tap: if along_channels { acc_ic } else { CHUNK },
                });
                t += part;
            }
        }
    }
}

impl WeightGradient {
    /// Plans for a convolution whose output gradients are in `dz` and whose inputs are in `x`.
    pub fn plan(tiles: &'static Tiles, s: &ConvShape, dz: &Frame, x: &Frame) -> Self {
        Self::plan_rows(tiles, tiles.outers, s, dz, x, 1)
    }

    /// The same where each row of the plan takes two rows of dz, which these tiles combine.
    pub(crate) fn plan_pairs(
        tiles: &'static Tiles,
        outers: &'static [Outer],
        s: &ConvShape,
        dz: &Frame,
        x: &Frame,
    ) -> Self {
        Self::plan_rows(tiles, outers, s, dz, x, 2)
    }

    fn plan_rows(
        tiles: &'static Tiles,
        outers: &'static [Outer],
        s: &ConvShape,
        dz: &Frame,
        x: &Frame,
        dz_rows: usize,
    ) -> Self {
        let cut = Cut { s, dz, x, outers, along_channels: s.kw == 1 };
        let taps = if cut.along_channels { s.group_inputs() } else { s.kw };
        let positions = (s.oh * s.ow) as f64;
        let cost = |o: &Outer| {
            positions * tiles.machine.step_with(o.o * o.t, dz_rows * o.o + o.t) * tiles.per_position() as f64 + 20.0
        };
        let split = |o: usize| {
            let fitting = outers.iter().filter(|t| t.o == o && t.t <= taps);
            priced_partition(taps, &fitting.map(|t| (t.t, cost(t))).collect::<Vec<_>>())
        };
        let mut sizes: Vec<usize> = outers.iter().map(|t| t.o).filter(|&o| o <= s.group_outputs()).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let options: Vec<_> = sizes.into_iter().map(|o| (o, split(o).1)).filter(|o| o.1.is_finite()).collect();
        let outputs = partition(s.group_outputs(), &options);
        let mut calls = Vec::new();
        for group in 0..s.groups {
            let mut first = group * s.group_outputs();
            for &o in &outputs {
                cut.calls(group, first, o, &split(o).0, &mut calls);
                first += o;
            }
        }
        let acc_len = s.oc * s.taps() * CHUNK;
        WeightGradient { calls, s: *s, dz: *dz, x: *x, x_origin: first_window(s, x), acc_len, dz_rows }
    }

    /// Floats of the accumulators.
    pub fn acc_len(&self) -> usize {
        self.acc_len
    }

    /// Adds some rows of the output; the first rows of a chunk start the sums.
    pub fn run(&self, rows: Range<usize>, dz: &[f32], x: &[f32], acc: &mut [f32]) {
        assert!(rows.end <= self.s.oh, "rows of the output");
        self.run_at(Point::Zero, rows.clone(), rows.start, dz, x, acc);
    }

    /// The same at a point of some pairs of rows of dz, of which x holds these alone.
    pub(crate) fn run_pairs(&self, point: Point, pairs: Range<usize>, dz: &[f32], x: &[f32], acc: &mut [f32]) {
        assert!(pairs.len() <= self.x.rows && self.s.kh == 1, "rows of x");
        self.run_at(point, pairs, 0, dz, x, acc);
    }

    /// Rows of dz, or pairs of them, with the windows from `x_row` on.
    fn run_at(&self, point: Point, rows: Range<usize>, x_row: usize, dz: &[f32], x: &[f32], acc: &mut [f32]) {
        assert!(dz.len() >= self.dz.len() && x.len() >= self.x.len() && acc.len() >= self.acc_len, "planned buffers");
        assert!(rows.end * self.dz_rows <= self.dz.rows, "rows of the output");
        if rows.is_empty() {
            return;
        }
        for call in &self.calls {
            // SAFETY: dz and x hold whole frames, the rows are some of dz's, and all their windows lie within x's frame,
            // as the callers compared, whose border is at least the padding; acc holds every tap of every output. The tiles belong to a
            // path that was available when they were planned.
            unsafe {
                (call.outer.run)(&OuterArgs {
                    dz: dz.as_ptr().add(self.dz.at(0, rows.start * self.dz_rows, 0) + call.dz),
                    dz_plane: self.dz.plane(),
                    dz_row: self.dz_rows * self.dz.row(),
                    x: x.as_ptr().add(self.x_origin + x_row * self.s.stride[0] * self.x.row() + call.x),
                    x_row: self.s.stride[0] * self.x.row(),
                    x_col: self.s.stride[1] * CHUNK,
                    x_tap: call.x_tap,
                    rows: rows.len(),
                    cols: self.s.ow,
                    acc: acc.as_mut_ptr().add(call.acc),
                    acc_o: self.s.taps() * CHUNK,
                    acc_tap: call.acc_tap,
                    zero: rows.start == 0,
                    point,
                    dz_second: self.dz.row(),
                });
            }
        }
    }
}
