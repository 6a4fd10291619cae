//! The gradient of the input: clipped windows, and phases of the stride.

use super::forward::groups;
use crate::kernel::plan::contract::{Contraction, Packing, Pitch, RowClass, Segment};
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::tile::{Tap, Tiles};
use crate::kernel::simd::CHUNK;
use crate::spec::ConvShape;
use std::ops::Range;

/// A row of the input's gradient, cut into phases of the column stride: within a phase, neighbouring positions are
/// reached from neighbouring outputs.
struct GradientRow {
    s: ConvShape,
    dz: Frame,
    /// Rows of the window that reach this row, with the output row each comes from, relative to the last one's.
    ky: Vec<(usize, usize)>,
}

impl GradientRow {
    /// Columns of the window that reach input column `col`, with the output column each comes from.
    fn reach(&self, col: usize) -> impl Iterator<Item = (usize, isize)> {
        let (stride, dilation, ow) = (self.s.stride[1] as isize, self.s.dilation[1] as isize, self.s.ow as isize);
        let col = (col + self.s.padding[1]) as isize;
        (0..self.s.kw).filter_map(move |kx| {
            let at = col - kx as isize * dilation;
            (at >= 0 && at % stride == 0 && at / stride < ow).then_some((kx, at / stride))
        })
    }

    fn column(&self, phase: usize, position: usize) -> usize {
        phase + position * self.s.stride[1]
    }

    /// Columns of the window that any of these positions needs, with the output column seen from the first position.
    fn union(&self, phase: usize, positions: &Range<usize>) -> Vec<(usize, isize)> {
        let mut all: Vec<(usize, isize)> = positions
            .clone()
            .flat_map(|p| {
                let shift = (p - positions.start) as isize;
                self.reach(self.column(phase, p)).map(move |(kx, ox)| (kx, ox - shift))
            })
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl RowClass for GradientRow {
    fn segments(&self) -> Vec<Segment> {
        let stride = self.s.stride[1];
        (0..stride.min(self.s.iw))
            .map(|phase| {
                let y = phase * CHUNK;
                // Inputs are found through the taps: a segment starts at output column 0, behind the border.
                Segment { x: GRADIENT_BORDER * CHUNK, y, positions: (self.s.iw - phase).div_ceil(stride) }
            })
            .collect()
    }

    fn n_taps(&self, phase: usize, positions: Range<usize>) -> usize {
        let columns = self.union(phase, &positions);
        let last = (self.s.ow + GRADIENT_BORDER) as isize - positions.len() as isize;
        if columns.iter().any(|&(_, ox)| ox < -(GRADIENT_BORDER as isize) || ox > last) {
            return FORBIDDEN;
        }
        self.ky.len() * columns.len() * self.s.group_outputs()
    }

    fn taps(&self, phase: usize, positions: Range<usize>) -> (isize, Vec<Tap>) {
        let columns = self.union(phase, &positions);
        // Offsets are relative to the leftmost output column; the planner has moved by one column a position.
        let left = columns.iter().map(|c| c.1).min().unwrap_or(positions.start as isize);
        let outputs = self.s.group_outputs();
        let mut taps = Vec::with_capacity(self.ky.len() * columns.len() * outputs);
        for &(ky, row) in &self.ky {
            for &(kx, ox) in &columns {
                for oc in 0..outputs {
                    let x = oc * self.dz.plane() + row * self.dz.row() + (ox - left) as usize * CHUNK;
                    taps.push(Tap { x: x as u32, w: ((ky * self.s.kw + kx) * outputs + oc) as u32 });
                }
            }
        }
        ((left - positions.start as isize) * CHUNK as isize, taps)
    }

    fn is_uniform(&self) -> bool {
        false
    }
}

/// Columns of zeros beside the gradient of an output, so that a tile of several positions may look past the ends.
pub const GRADIENT_BORDER: usize = 1;

/// More taps than any tile has: what would look past the border costs more than all else.
const FORBIDDEN: usize = usize::MAX >> 13;

/// Gradient of the input: `dx[ic][y][x] = Σ w[oc][ic][ky][kx] · dz[oc][oy][ox]` over all windows that hold the position.
///
/// `dz` must have [`GRADIENT_BORDER`] columns of border. Row `y` of the plan writes row `y` of all input channels.
pub fn gradient(tiles: &'static Tiles, s: &ConvShape, dz: &Frame, dx: &Frame) -> Contraction {
    let mut classes: Vec<Vec<(usize, usize)>> = Vec::new();
    let mut rows = Vec::with_capacity(s.ih);
    for y in 0..s.ih {
        let reach: Vec<(usize, usize)> = (0..s.kh)
            .filter_map(|ky| {
                let at = (y + s.padding[0]).checked_sub(ky * s.dilation[0])?;
                (at % s.stride[0] == 0 && at / s.stride[0] < s.oh).then_some((ky, at / s.stride[0]))
            })
            .collect();
        let top = reach.iter().map(|r| r.1).min().unwrap_or(0);
        let relative: Vec<_> = reach.iter().map(|&(ky, oy)| (ky, oy - top)).collect();
        let class = classes.iter().position(|c| *c == relative).unwrap_or_else(|| {
            classes.push(relative);
            classes.len() - 1
        });
        rows.push((dz.at(0, top, 0) - GRADIENT_BORDER * CHUNK, dx.at(0, y, 0), class));
    }
    let classes =
        classes.into_iter().map(|ky| Box::new(GradientRow { s: *s, dz: *dz, ky }) as Box<dyn RowClass>).collect();
    let pitch = Pitch { lanes: CHUNK, x: CHUNK, y: s.stride[1] * CHUNK, y_plane: dx.plane() };
    let window = s.kh * s.kw;
    let outputs = s.group_outputs();
    let packing = Packing { output: window, outer: 1, inner: outputs, step: s.taps(), rows: window * outputs };
    Contraction::plan(tiles, s.group_inputs(), rows, classes, pitch, packing).copies(groups(s, dz, dx))
}
