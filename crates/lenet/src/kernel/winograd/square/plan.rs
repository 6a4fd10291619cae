//! A convolution by squares: its plan, and the passes that follow it.

use super::cross::{self, CrossArgs, CrossFn};
use super::grid::{Grid, PATCH, POINTS, SIDE};
use super::transform::{self, Row};
use super::window;
use crate::kernel::op::conv::scratch::{grow, plane};
use crate::kernel::op::conv::{Algorithm, Inputs, Scratch, Weights};
use crate::kernel::path::{Path, dispatch};
use crate::kernel::plan::contract::{Contraction, PackTask, Packing, Pitch, RowClass, Uniform};
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::tile::{Tap, Tiles};
use crate::kernel::simd::CHUNK;
use crate::spec::ConvShape;
use std::ops::Range;

/// Squares that the products of a panel take at least, so that a register tile has its vectors.
const PANEL: usize = 3;
/// Squares that the gradient of the weights takes at most at a time: they fit the nearer caches, and chains of some hundred
/// terms are more accurate than one of all.
const WEIGHT_PANEL: usize = 16;
/// Channels in and out from which on fewer products outweigh the transforms.
const CHANNELS: usize = 12;

/// Whether the algorithm fits a convolution and is worth it: the shape decides, as results depend on it.
///
/// It must save half of the products at least: sides of 3, 4, or 6 and more outputs do.
pub fn fits(s: &ConvShape) -> bool {
    let computed = POINTS * s.oh.div_ceil(SIDE) * s.ow.div_ceil(SIDE);
    [s.kh, s.kw, s.groups] == [3, 3, 1]
        && [s.stride, s.dilation] == [[1, 1]; 2]
        && s.padding.iter().all(|&p| p < 3)
        && s.ic.min(s.oc) >= CHANNELS
        && 9 * s.oh * s.ow >= 2 * computed
}

/// The sums over channels that make the squares of one frame from the patches of another.
struct Products {
    grid: Grid,
    to: Frame,
    plan: Contraction,
    /// Floats of a point's inputs and outputs.
    v: usize,
    m: usize,
}

impl Products {
    fn plan(path: Path, from: &Frame, padding: [usize; 2], to: &Frame) -> Self {
        let grid = Grid::new(from, padding, [to.rows, to.cols], |n| n >= PANEL);
        let (inputs, outputs, positions) = (from.channels, to.channels, grid.squares());
        let taps = (0..inputs).map(|i| Tap { x: (i * positions * CHUNK) as u32, w: i as u32 }).collect();
        let classes: Vec<Box<dyn RowClass>> = vec![Box::new(Uniform { positions, taps })];
        let pitch = Pitch { lanes: CHUNK, x: CHUNK, y: CHUNK, y_plane: positions * CHUNK };
        let packing = Packing { output: inputs, outer: 0, inner: inputs, step: 1, rows: inputs };
        let plan = Contraction::plan(Tiles::of(path), outputs, vec![(0, 0, 0)], classes, pitch, packing);
        let [v, m] = [inputs, outputs].map(|n| plane(n * positions * CHUNK));
        Products { grid, to: *to, plan, v, m }
    }

    fn packed_len(&self) -> usize {
        POINTS * self.plan.packed_len()
    }

    fn reserve(&self, scratch: &mut Scratch) {
        grow(&mut scratch.v, POINTS * self.v);
        grow(&mut scratch.m, POINTS * self.m);
        grow(&mut scratch.lines, self.grid.lines_len());
    }

    /// Computes some panels of squares.
    fn run(&self, path: Path, panels: Range<usize>, inputs: Inputs, y: &mut [f32], scratch: &mut Scratch) {
        let (grid, Inputs { x, packed, bias }) = (&self.grid, inputs);
        assert!(x.len() >= grid.from.len() && y.len() >= self.to.len(), "planned buffers");
        assert!(bias.is_none_or(|b| b.len() >= self.to.channels), "a bias for every output");
        assert!(panels.end <= grid.panels() && packed.len() >= self.packed_len(), "planned panels and weights");
        self.reserve(scratch);
        let Scratch { v, m, lines, .. } = scratch;
        for panel in panels {
            let first = panel * grid.panel;
            let (lines, v_out) = (lines.as_mut_ptr(), v.as_mut_ptr());
            // SAFETY: x is a frame, lines and v are as long as `reserve` made them.
            unsafe {
                dispatch(path, transform::Patches { grid, first, x: x.as_ptr(), lines, v: v_out, point: self.v })
            };
            for f in 0..POINTS {
                let packed = &packed[f * self.plan.packed_len()..];
                self.plan.run(0..1, &v[f * self.v..], packed, None, &mut m[f * self.m..]);
            }
            let (to, bias) = (&self.to, bias.map_or(std::ptr::null(), |b| b.as_ptr()));
            let (m, y) = (m.as_ptr(), y.as_mut_ptr());
            // SAFETY: y is a frame, m is as long as `reserve` made it, and a bias there is for every output.
            unsafe { dispatch(path, transform::Squares { grid, to, first, m, point: self.m, bias, y }) };
        }
    }
}

/// The sums over squares and samples that make the gradient of the weights.
struct Weight {
    /// Of x, and of dz, whose squares are its patches without an overlap.
    x: Grid,
    dz: Grid,
    calls: Vec<(CrossFn, usize, usize)>,
    /// Channels of x, rounded up to whole vectors.
    channels: usize,
    /// Floats of a point of patches, and of squares.
    v: usize,
    d: usize,
}

impl Weight {
    fn plan(path: Path, s: &ConvShape, x: &Frame, z: &Frame) -> Self {
        let all = Grid::new(x, s.padding, [s.oh, s.ow], |_| true);
        let fits = |n: &usize| all.down.is_multiple_of(*n) && n * all.across <= WEIGHT_PANEL;
        let x = Grid { panel: (1..=all.down).rfind(fits).unwrap_or(1), ..all };
        let dz = Grid { from: *z, padding: [0, 0], ..x };
        let channels = s.ic.next_multiple_of(CHUNK);
        let [v, d] = [channels, s.oc].map(|n| plane(n * x.squares() * CHUNK));
        Weight { x, dz, calls: cross::plan(path, s.oc, s.ic), channels, v, d }
    }

    /// Adds a panel at a row of points to `sums`, `[point of the row][oc][channels]`.
    fn run(
        &self,
        path: Path,
        panel: usize,
        point: usize,
        [dz, x]: [&[f32]; 2],
        sums: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let Scratch { v, d, lines, .. } = scratch;
        let (first, lines) = (panel * self.x.panel, lines.as_mut_ptr());
        let row = Row { grid: &self.x, first, point, from: x.as_ptr(), lines, to: v.as_mut_ptr(), plane: self.v };
        // SAFETY: x and dz are frames; lines, v and d are as long as `Square::weight` made them.
        unsafe {
            dispatch(path, transform::PatchRow { row, channels: self.channels });
            let row = Row { grid: &self.dz, from: dz.as_ptr(), to: d.as_mut_ptr(), plane: self.d, ..row };
            dispatch(path, transform::SquareRow(row));
        }
        let outputs = self.dz.from.channels;
        for (j, sums) in sums.chunks_exact_mut(outputs * self.channels).enumerate() {
            let (v, d) = (&v[j * self.v..], &d[j * self.d..]);
            for &(tile, output, input) in &self.calls {
                // SAFETY: v and d have a point's floats, sums all outputs and whole vectors of inputs; the calls are of
                // a path that was available.
                unsafe {
                    tile(&CrossArgs {
                        d: d.as_ptr().add(output * CHUNK),
                        d_square: outputs * CHUNK,
                        v: v.as_ptr().add(input),
                        v_row: self.channels,
                        squares: self.x.squares(),
                        y: sums.as_mut_ptr().add(output * self.channels + input),
                        y_row: self.channels,
                        first: panel == 0,
                    });
                }
            }
        }
    }
}

/// A convolution of a chunk, planned.
pub struct Square {
    s: ConvShape,
    forward: Products,
    gradient: Option<Products>,
    weight: Weight,
}

impl Square {
    /// Plans a convolution from x to z for which [`fits`]; with the gradient of x if something before `learns`.
    pub fn plan(path: Path, s: &ConvShape, x: &Frame, z: &Frame, learns: bool) -> Self {
        let turned = s.padding.map(|p| 2 - p);
        Square {
            s: *s,
            forward: Products::plan(path, x, s.padding, z),
            gradient: learns.then(|| Products::plan(path, z, turned, x)),
            weight: Weight::plan(path, s, x, z),
        }
    }

    /// Transforms and packs weights, for forward if there is room, and for the gradient if it was planned.
    pub fn pack(&self, path: Path, w: &[f32], [forward, gradient]: [&mut [f32]; 2]) {
        let turned = self.gradient.as_ref().map(|g| (&g.plan, gradient, true));
        let straight = Some((&self.forward.plan, forward, false)).filter(|f| !f.1.is_empty());
        for (plan, packed, turned) in straight.into_iter().chain(turned) {
            let groups: Vec<(usize, usize)> = plan.groups().collect();
            let s = &self.s;
            assert!(w.len() >= s.oc * s.taps() && packed.len() >= POINTS * plan.packed_len(), "all weights");
            // SAFETY: works on slices.
            unsafe { dispatch(path, window::Pack { s, w, groups: &groups, turned, packed }) };
        }
    }
}

impl Algorithm for Square {
    fn packed_len(&self) -> [usize; 2] {
        [self.forward.packed_len(), self.gradient.as_ref().map_or(0, Products::packed_len)]
    }

    fn pack_tasks<'a>(&'a self, path: Path, w: &'a [f32], packed: [&'a mut [f32]; 2]) -> Vec<PackTask<'a>> {
        let [forward, gradient] = packed;
        vec![Box::new(move || self.pack(path, w, [forward, gradient]))]
    }

    /// Computes those rows of squares of z whose first row is among `rows`, or the first row of their panel.
    fn forward(&self, path: Path, rows: Range<usize>, inputs: Inputs, z: &mut [f32], scratch: &mut Scratch) {
        let step = SIDE * self.forward.grid.panel;
        self.forward.run(path, rows.start.div_ceil(step)..rows.end.div_ceil(step), inputs, z, scratch);
    }

    /// All.
    fn strip(&self, _: usize) -> usize {
        self.s.oh
    }

    fn acc_len(&self) -> usize {
        0
    }

    fn own_len(&self) -> usize {
        self.s.oc * self.s.taps()
    }

    fn weight(&self, path: Path, _: Range<usize>, weights: Weights, scratch: &mut Scratch) {
        let (w, s, Weights { dz, x, own: dw, .. }) = (&self.weight, &self.s, weights);
        let len = PATCH * s.oc * w.channels;
        assert!(x.len() >= w.x.from.len() && dz.len() >= w.dz.from.len(), "planned buffers");
        assert!(dw.len() == 9 * s.oc * s.ic, "a gradient for every weight");
        grow(&mut scratch.v, PATCH * w.v);
        grow(&mut scratch.d, PATCH * w.d);
        grow(&mut scratch.lines, transform::patch_row_len(&w.x));
        grow(&mut scratch.sums, PATCH * len);
        let mut sums = std::mem::take(&mut scratch.sums);
        for (panel, point) in (0..w.x.panels()).flat_map(|p| (0..PATCH).map(move |i| (p, i))) {
            w.run(path, panel, point, [dz, x], &mut sums[point * len..][..len], scratch);
        }
        // SAFETY: works on slices.
        unsafe { dispatch(path, window::Finish { s, sums: &sums[..PATCH * len], row: w.channels, dw }) }
        scratch.sums = sums;
    }

    /// It is there already.
    fn sum(&self, _: Path, _: &[f32], _: &mut [f32]) {}

    fn gradient(&self, path: Path, dz: &[f32], packed: &[f32], dx: &mut [f32], scratch: &mut Scratch) {
        let Some(products) = &self.gradient else { return };
        let inputs = Inputs { x: dz, packed, bias: None };
        products.run(path, 0..products.grid.panels(), inputs, dx, scratch);
    }
}
