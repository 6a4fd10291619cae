//! Convolution: forward, gradient of the input, gradient of the weights.

use crate::kernel::plan::contract::{Contraction, Copies, Packing, Pitch, RowClass, Segment, Uniform, partition};
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::tile::{Outer, OuterArgs, Tap, Tiles};
use crate::kernel::simd::CHUNK;
use crate::kernel::winograd::Point;
use crate::spec::ConvShape;
use std::ops::Range;

/// Taps of a forward pass, relative to the window's corner, the last weight first.
///
/// Any order is as good as another. With this one no maximum of the golden networks falls on the wrong side of a
/// near-tie in their 20 steps; with the natural order one does.
fn window_taps(s: &ConvShape, x: &Frame) -> Vec<Tap> {
    let mut taps = Vec::with_capacity(s.taps());
    for ic in 0..s.group_inputs() {
        for ky in 0..s.kh {
            for kx in 0..s.kw {
                taps.push(Tap { x: (ic * x.plane() + ky * x.row() + kx * x.lanes) as u32, w: taps.len() as u32 });
            }
        }
    }
    taps.reverse();
    taps
}

/// Floats from the start of `x` to the corner of the first window.
fn first_window(s: &ConvShape, x: &Frame) -> usize {
    x.origin() - s.padding[0] * x.row() - s.padding[1] * x.lanes
}

/// Forward pass of a chunk: `z[oc][y][x] = bias[oc] + Σ w[oc][ic][ky][kx] · x[ic][y·s + ky][x·s + kx]`.
///
/// `x` must have a border of at least the padding. Row `y` of the plan writes row `y` of all output channels.
pub fn forward(tiles: &'static Tiles, s: &ConvShape, x: &Frame, z: &Frame) -> Contraction {
    let taps = window_taps(s, x);
    let n = taps.len();
    let corner = first_window(s, x);
    let rows = (0..s.oh).map(|y| (corner + y * s.stride[0] * x.row(), z.at(0, y, 0), 0)).collect();
    let pitch = Pitch { lanes: x.lanes, x: s.stride[1] * x.lanes, y: z.lanes, y_plane: z.plane() };
    let packing = Packing { output: n, outer: 0, inner: n, step: 1, rows: n };
    let classes: Vec<Box<dyn RowClass>> = vec![Box::new(Uniform { positions: s.ow, taps })];
    Contraction::plan(tiles, s.group_outputs(), rows, classes, pitch, packing).copies(groups(s, x, z))
}

/// The groups of a convolution from one frame to another.
fn groups(s: &ConvShape, from: &Frame, to: &Frame) -> Copies {
    let channels = |f: &Frame| f.channels / s.groups * f.plane();
    Copies { count: s.groups, x: channels(from), y: channels(to), w: s.group_outputs() * s.taps() }
}

/// Forward pass of one sample, pixels in the lanes: columns at stride 1, whatever the stride.
///
/// Output rows are as long as input rows; what lies behind the last column of an output row is of no use. With a row
/// stride of 1 the whole plane is one row of the plan.
pub fn forward_single(tiles: &'static Tiles, s: &ConvShape, x: &Frame, z: &Frame) -> Contraction {
    debug_assert!(x.lanes == 1 && z.row() == x.row());
    let taps = window_taps(s, x);
    let n = taps.len();
    let corner = first_window(s, x);
    let last = (s.ow - 1) * s.stride[1] + 1;
    let (rows, positions) = if s.stride[0] == 1 {
        (vec![(corner, 0, 0)], (s.oh - 1) * x.row() + last)
    } else {
        ((0..s.oh).map(|y| (corner + y * s.stride[0] * x.row(), y * z.row(), 0)).collect(), last)
    };
    let pitch = Pitch { lanes: 1, x: 1, y: 1, y_plane: z.plane() };
    let packing = Packing { output: n, outer: 0, inner: n, step: 1, rows: n };
    let classes: Vec<Box<dyn RowClass>> = vec![Box::new(Uniform { positions, taps })];
    Contraction::plan(tiles, s.group_outputs(), rows, classes, pitch, packing).copies(groups(s, x, z))
}

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
        let (stride, ow) = (self.s.stride[1] as isize, self.s.ow as isize);
        let col = (col + self.s.padding[1]) as isize;
        (0..self.s.kw).filter_map(move |kx| {
            let at = col - kx as isize;
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
                let at = (y + s.padding[0]).checked_sub(ky)?;
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

struct Call {
    outer: Outer,
    dz: usize,
    x: usize,
    acc: usize,
    x_tap: usize,
    acc_tap: usize,
}

/// Gradient of the weights of a chunk, lanes kept apart: `acc[oc][ic][ky][kx][16] += Σ dz[oc][y][x] · x[ic][y·s+ky][x·s+kx]`.
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
        // Taps that one tile can hold lie at one distance: columns of the window, or channels of a 1-wide one.
        let along_channels = s.kw == 1;
        let taps = if along_channels { s.group_inputs() } else { s.kw };
        let positions = (s.oh * s.ow) as f64;
        let cost = |o: &Outer| {
            positions * tiles.machine.step_with(o.o * o.t, dz_rows * o.o + o.t) * tiles.per_position() as f64 + 20.0
        };
        let sizes = |f: fn(&Outer) -> usize, most: usize| {
            let mut all: Vec<usize> = outers.iter().map(f).filter(|&n| n <= most).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let split = |o: usize| -> (Vec<usize>, f64) {
            let options: Vec<_> = outers.iter().filter(|t| t.o == o && t.t <= taps).map(|t| (t.t, cost(t))).collect();
            if !options.iter().any(|o| o.0 == 1) {
                return (Vec::new(), f64::INFINITY);
            }
            let parts = partition(taps, &options);
            let total = parts.iter().filter_map(|p| options.iter().find(|o| o.0 == *p)).map(|o| o.1).sum();
            (parts, total)
        };
        let options: Vec<_> = sizes(|t| t.o, s.group_outputs())
            .into_iter()
            .map(|o| (o, split(o).1))
            .filter(|o| o.1.is_finite())
            .collect();
        let (acc_oc, acc_ic) = (s.taps() * CHUNK, s.kh * s.kw * CHUNK);
        let mut calls = Vec::new();
        let outputs = partition(s.group_outputs(), &options);
        for group in 0..s.groups {
            let mut first = group * s.group_outputs();
            for &o in &outputs {
                let parts = split(o).0;
                let channels = if along_channels { 1 } else { s.group_inputs() };
                for (ic, ky) in (0..channels * s.kh).map(|i| (i / s.kh, i % s.kh)) {
                    let mut t = 0;
                    for &part in &parts {
                        let (channel, kx) = if along_channels { (t, 0) } else { (ic, t) };
                        let outer = outers.iter().find(|c| c.o == o && c.t == part);
                        calls.push(Call {
                            outer: *outer.expect("parts are sizes of tiles"),
                            dz: first * dz.plane(),
                            x: (group * s.group_inputs() + channel) * x.plane() + ky * x.row() + kx * CHUNK,
                            acc: first * acc_oc + channel * acc_ic + (ky * s.kw + kx) * CHUNK,
                            x_tap: if along_channels { x.plane() } else { CHUNK },
                            acc_tap: if along_channels { acc_ic } else { CHUNK },
                        });
                        t += part;
                    }
                }
                first += o;
            }
        }
        let acc_len = s.oc * acc_oc;
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

/// The naive reference, on `[n, c, h, w]` in f64: what the kernels above mean.
pub mod naive {
    use crate::spec::ConvShape;
    use std::ops::Range;

    /// Outputs along a side whose window has its place `k` within the input.
    fn meeting(k: usize, stride: usize, padding: usize, input: usize, output: usize) -> Range<usize> {
        padding.saturating_sub(k).div_ceil(stride)..(input + padding).saturating_sub(k).div_ceil(stride).min(output)
    }

    /// Every weight with every row of outputs that it reaches: positions in y, w and x of one sample of the first, and how
    /// many; their inputs are a stride apart.
    fn each_run(s: &ConvShape, mut run: impl FnMut(usize, usize, usize, usize)) {
        for oc in 0..s.oc {
            let first_channel = oc / s.group_outputs() * s.group_inputs();
            for ic in 0..s.group_inputs() {
                for ky in 0..s.kh {
                    for kx in 0..s.kw {
                        let w = ((oc * s.group_inputs() + ic) * s.kh + ky) * s.kw + kx;
                        let columns = meeting(kx, s.stride[1], s.padding[1], s.iw, s.ow);
                        if columns.is_empty() {
                            continue;
                        }
                        let x = columns.start * s.stride[1] + kx - s.padding[1];
                        for oy in meeting(ky, s.stride[0], s.padding[0], s.ih, s.oh) {
                            let y = oy * s.stride[0] + ky - s.padding[0];
                            let output = (oc * s.oh + oy) * s.ow + columns.start;
                            run(output, w, ((first_channel + ic) * s.ih + y) * s.iw + x, columns.len());
                        }
                    }
                }
            }
        }
    }

    /// Every (output, weight, input) that meet, as positions in y, w and x of one sample.
    pub fn each_term(s: &ConvShape, mut term: impl FnMut(usize, usize, usize)) {
        each_run(s, |o, k, i, n| (0..n).for_each(|j| term(o + j, k, i + j * s.stride[1])));
    }

    /// y of one sample, `[oc, oh, ow]`.
    pub fn forward(s: &ConvShape, x: &[f64], w: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
        let mut y: Vec<f64> = (0..s.oc * s.oh * s.ow).map(|i| bias.map_or(0.0, |b| b[i / (s.oh * s.ow)])).collect();
        each_run(s, |o, k, i, n| {
            let (y, w) = (&mut y[o..o + n], w[k]);
            match s.stride[1] {
                // The usual case on its own, so that it is vectorised: activations are shown live.
                1 => y.iter_mut().zip(&x[i..i + n]).for_each(|(y, x)| *y += w * x),
                stride => y.iter_mut().zip(x[i..].iter().step_by(stride)).for_each(|(y, x)| *y += w * x),
            }
        });
        y
    }

    /// dx of one sample, and dw and db added to.
    pub fn backward(
        s: &ConvShape,
        x: &[f64],
        w: &[f64],
        dy: &[f64],
        dw: &mut [f64],
        db: Option<&mut [f64]>,
    ) -> Vec<f64> {
        let mut dx = vec![0.0; x.len()];
        each_term(s, |o, k, i| {
            dx[i] += w[k] * dy[o];
            dw[k] += x[i] * dy[o];
        });
        if let Some(db) = db {
            dy.iter().enumerate().for_each(|(i, d)| db[i / (s.oh * s.ow)] += d);
        }
        dx
    }
}
