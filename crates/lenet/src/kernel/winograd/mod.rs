//! Convolution with fewer multiplications: Winograd's algorithm, here along the rows of the window, in [`square`] in both
//! dimensions, for windows of 3×3 with enough channels.
//!
//! Two rows of outputs come from `kh + 1` products of rows instead of `2·kh`: for a window of 5 rows, 6 instead of 10.
//! Each product belongs to a [`Point`] at which polynomials are evaluated: rows of x become v (once for all outputs), the
//! window's rows become u (once a step), the sums of their products over channels and columns become two rows of z. All
//! three passes are transposes of one another, and at each point all are convolutions with windows of one row:
//!
//! | pass | at each point | before | after |
//! | --- | --- | --- | --- |
//! | forward | v ∗ u | x → v | in registers |
//! | gradient of the weights | (pair of rows of dz) × v | rows of dz combined on the way | over the sums of a whole batch |
//! | gradient of the data | (pair of rows of dz) ∗ u | dz → d | m → dx |
//!
//! Each goes through the image a pair or a few pairs at a time, so that v, d and m stay in the nearest caches.
//!
//! Columns stay as they are, so that windows may be of any width, lanes may hold samples or columns, and each sum is one
//! chain in a fixed order as everywhere. Rounding errors on random data, root mean square against those of
//! the direct sum: forward 0.6 to 1.4 times, backward 0.8 for windows of 3 rows and 1.4 to 1.6 for those of 5.

pub mod square;
pub(super) mod tile;
mod transform;

use super::aligned::AlignedVec;
use super::path::{Path, dispatch};
use super::simd::CHUNK;
use crate::kernel::op::conv::{self, WeightGradient};
use crate::kernel::plan::contract::{Contraction, partition};
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::tile::{Tap, Tiles};
use crate::spec::ConvShape;
use std::ops::Range;
use tile::{PairArgs, PairTile};

/// Where polynomials are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Point {
    Zero,
    One,
    MinusOne,
    Two,
    MinusTwo,
    Infinity,
}

/// The points for windows of so many rows.
fn points(kh: usize) -> Option<&'static [Point]> {
    use Point::*;
    match kh {
        3 => Some(&[Zero, One, MinusOne, Infinity]),
        5 => Some(&[Zero, One, MinusOne, Two, MinusTwo, Infinity]),
        _ => None,
    }
}

impl Point {
    /// What row `ky` of a window of `kh` rows contributes at this point.
    fn coefficient(self, kh: usize, ky: usize) -> f64 {
        let power = |x: f64| (0..ky).fold(1.0, |power, _| power * x);
        match (self, kh) {
            (Point::Zero, _) => f64::from(u8::from(ky == 0)) / if kh == 3 { 1.0 } else { 4.0 },
            (Point::One, 3) => 0.5,
            (Point::MinusOne, 3) => power(-1.0) / 2.0,
            (Point::One, _) => -1.0 / 6.0,
            (Point::MinusOne, _) => power(-1.0) / -6.0,
            (Point::Two, _) => power(2.0) / 24.0,
            (Point::MinusTwo, _) => power(-2.0) / 24.0,
            (Point::Infinity, _) => f64::from(u8::from(ky + 1 == kh)),
        }
    }
}

/// Whether the algorithm fits a convolution and is worth it.
///
/// Only the shape decides, as results depend on it: rows of x are transformed once, for several outputs.
pub fn fits(s: &ConvShape) -> bool {
    points(s.kh).is_some() && s.kw > 1 && s.stride == [1, 1] && s.groups == 1 && s.oh.is_multiple_of(2) && s.oc >= 4
}

/// A tile, its first vector, and how many of it; with the outputs in the lanes, its first column.
type Run = (PairTile, usize, usize);

/// Positions of a pair's rows that the gradient of the weights takes at a time, about.
const STRIP_POSITIONS: usize = 56;

/// The forward pass, for chunks (16 samples in the lanes) or a single sample (columns or outputs in the lanes).
pub struct Forward {
    taps: Vec<Tap>,
    /// Outputs: first, number, runs of tiles.
    groups: Vec<(usize, usize, Vec<Run>)>,
    lanes: usize,
    /// First input of a window's first row.
    corner: usize,
    /// Whether outputs are in the lanes.
    across: bool,
}

impl Forward {
    fn plan(tiles: &'static Tiles, s: &ConvShape, x: &Frame, v: &Frame) -> Self {
        let mut taps = Vec::with_capacity(s.ic * s.kw);
        for (ic, kx) in (0..s.ic * s.kw).map(|i| (i / s.kw, i % s.kw)) {
            taps.push(Tap { x: (ic * v.plane() + kx * x.lanes) as u32, w: taps.len() as u32 });
        }
        taps.reverse();
        let all = tiles.pairs.forward;
        let vectors = (s.ow * x.lanes).div_ceil(tiles.lanes);
        let points = (s.kh + 1) as f64;
        let cost = |t: &PairTile| {
            points * (taps.len() as f64 * tiles.machine.step(t.o, t.p) + 2.0 * (t.o * t.p) as f64) + 20.0
        };
        let split = |o: usize| {
            let options: Vec<_> = all.iter().filter(|t| t.o == o).map(|t| (t.p, cost(t))).collect();
            let sizes = partition(vectors, &options);
            let price = |p: usize| options.iter().find(|t| t.0 == p).map_or(0.0, |t| t.1);
            let total: f64 = sizes.iter().map(|&p| price(p)).sum();
            (sizes, total)
        };
        let mut options: Vec<(usize, f64)> = Vec::new();
        for t in all.iter().filter(|t| t.p == 1 && t.o <= s.oc) {
            options.push((t.o, split(t.o).1));
        }
        let (mut groups, mut first) = (Vec::new(), 0);
        for o in partition(s.oc, &options) {
            let (mut runs, mut vector) = (Vec::<(PairTile, usize, usize)>::new(), 0);
            for p in split(o).0 {
                match runs.last_mut() {
                    Some(last) if last.0.p == p => last.2 += 1,
                    _ => runs.extend(all.iter().find(|t| t.o == o && t.p == p).map(|t| (*t, vector, 1))),
                }
                vector += p;
            }
            groups.push((first, o, runs));
            first += o;
        }
        let corner = (x.border_cols - s.padding[1]) * x.lanes;
        Forward { taps, groups, lanes: tiles.lanes, corner, across: false }
    }

    /// Of a single sample with the outputs in the lanes: what weights and inputs are to the tiles changes places.
    fn plan_across(tiles: &'static Tiles, s: &ConvShape, x: &Frame, v: &Frame) -> Self {
        let row = s.oc.next_multiple_of(CHUNK);
        let tap = |i: usize| Tap { x: (i * row) as u32, w: (i / s.kw * v.plane() + i % s.kw) as u32 };
        let taps: Vec<Tap> = (0..s.ic * s.kw).rev().map(tap).collect();
        let vectors = row / tiles.lanes;
        let cost = |t: &PairTile| {
            let n = taps.len() as f64;
            (n * tiles.machine.step(t.o, t.p) + 2.0 * (t.o * t.p) as f64 + 20.0) * (vectors / t.p) as f64
        };
        let all = tiles.pairs.forward.iter().filter(|t| vectors.is_multiple_of(t.p));
        let best = |o: usize| all.clone().filter(|t| t.o == o).min_by(|a, b| cost(a).total_cmp(&cost(b)));
        let options: Vec<_> = (1..=s.ow).filter_map(|o| best(o).map(|t| (o, cost(t)))).collect();
        let (mut runs, mut col) = (Vec::new(), 0);
        for o in partition(s.ow, &options) {
            runs.extend(best(o).map(|t| (*t, col, vectors / t.p)));
            col += o;
        }
        let corner = x.border_cols - s.padding[1];
        Forward { taps, groups: vec![(0, row, runs)], lanes: tiles.lanes, corner, across: true }
    }
}

/// What the forward pass reads.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// A frame.
    pub x: &'a [f32],
    /// All packed weights.
    pub packed: &'a [f32],
    /// Added to each output's sums.
    pub bias: Option<&'a [f32]>,
}

/// Buffers that a convolution needs while it runs; others may use them between.
#[derive(Default)]
pub struct Scratch {
    v: AlignedVec,
    d: AlignedVec,
    m: AlignedVec,
    /// Lines between the transforms of the two dimensions.
    lines: AlignedVec,
    /// Sums over a chunk.
    sums: AlignedVec,
}

/// A convolution, planned.
pub struct Winograd {
    s: ConvShape,
    points: &'static [Point],
    x: Frame,
    z: Frame,
    /// Transformed rows of x, at each point, for as many pairs as the weights' gradient takes at a time.
    v: Frame,
    /// A pair of rows of dz, at each point.
    d: Frame,
    /// A pair's sums for dx, at each point.
    m: Frame,
    forward: Forward,
    gradient: Option<Contraction>,
    weight: WeightGradient,
}

impl Winograd {
    /// Plans a convolution from x to z for which [`fits`]; with the gradient of x if something before `learns`.
    ///
    /// With one lane, x is a single sample, and rows of z must be whole vectors of 16; x must have
    /// [`Winograd::x_extent`] floats.
    pub fn plan(tiles: &'static Tiles, s: &ConvShape, x: &Frame, z: &Frame, learns: bool) -> Self {
        Self::with_forward(Forward::plan, tiles, s, x, z, learns)
    }

    /// Plans the forward pass of a single sample x with the outputs in the lanes: z is `[oh][ow][outputs]`, these in whole
    /// vectors of 16, without the bias.
    pub fn plan_across(tiles: &'static Tiles, s: &ConvShape, x: &Frame) -> Self {
        let z = Frame { lanes: s.oc.next_multiple_of(CHUNK), ..Frame::chunk([1, s.oh, s.ow]) };
        Self::with_forward(Forward::plan_across, tiles, s, x, &z, false)
    }

    fn with_forward(
        forward: fn(&'static Tiles, &ConvShape, &Frame, &Frame) -> Forward,
        tiles: &'static Tiles,
        s: &ConvShape,
        x: &Frame,
        z: &Frame,
        learns: bool,
    ) -> Self {
        let strip = STRIP_POSITIONS.div_ceil(s.ow).min(s.oh / 2);
        let slack = if x.lanes == 1 { 2 * CHUNK } else { 0 };
        let v = Frame { rows: strip, border_rows: 0, slack, ..*x };
        let d = Frame::chunk([s.oc, 1, s.ow]).with_border(0, conv::GRADIENT_BORDER);
        let m = Frame::chunk([s.ic, 1, s.iw]);
        // One row of the window, one row a pair.
        let row = ConvShape { ih: 1, oh: 1, kh: 1, padding: [0, s.padding[1]], ..*s };
        Winograd {
            s: *s,
            points: points(s.kh).unwrap_or_default(),
            x: *x,
            z: *z,
            v,
            d,
            m,
            forward: forward(tiles, s, x, &v),
            gradient: learns.then(|| conv::gradient(tiles, &row, &d, &m)),
            weight: WeightGradient::plan_pairs(tiles, tiles.pairs.outers, &row, z, &v),
        }
    }

    /// Floats of v at a point: an odd number of cache lines, so that what is written side by side, a row at each point, does
    /// not compete for the same sets of the first-level cache.
    fn v_len(&self) -> usize {
        (self.v.len().div_ceil(CHUNK) | 1) * CHUNK
    }

    /// The first row of x's frame that a pair of output rows needs.
    fn first_row(&self, pair: usize) -> usize {
        2 * pair + self.x.border_rows - self.s.padding[0]
    }

    /// Floats that x must have.
    pub fn x_extent(&self) -> usize {
        self.x.len() + if self.x.lanes == 1 { CHUNK } else { 0 }
    }

    /// Floats of packed weights: forward, gradient.
    pub fn packed_len(&self) -> [usize; 2] {
        let outputs: usize = self.forward.groups.iter().map(|g| g.1).sum();
        let forward = self.points.len() * self.s.ic * self.s.kw * outputs;
        [forward, if self.gradient.is_some() { self.sums_len() } else { 0 }]
    }

    /// Weights at a point.
    fn u_len(&self) -> usize {
        self.s.oc * self.s.ic * self.s.kw
    }

    /// Makes room in the buffers for this convolution.
    pub fn reserve(&self, scratch: &mut Scratch, backward: bool) {
        let points = self.points.len();
        let grow = |buffer: &mut AlignedVec, len: usize| {
            if buffer.len() < len {
                *buffer = AlignedVec::zeros(len);
            }
        };
        grow(&mut scratch.v, points * self.v_len());
        if backward && self.gradient.is_some() {
            grow(&mut scratch.d, points * self.d.len());
            grow(&mut scratch.m, points * self.m.len());
        }
    }

    /// Transforms and packs weights, for forward if there is room, and for the gradient if it was planned.
    pub fn pack(&self, w: &[f32], [forward, gradient]: [&mut [f32]; 2]) {
        let (kh, kw, len) = (self.s.kh, self.s.kw, self.u_len());
        let (taps, points) = (self.s.ic * kw, self.points.len());
        let mut u = vec![0.0f32; len];
        let groups = if forward.is_empty() { &[] } else { &self.forward.groups[..] };
        for (f, point) in self.points.iter().enumerate() {
            let mut coefficients = [0.0; 5];
            (0..kh).for_each(|ky| coefficients[ky] = point.coefficient(kh, ky));
            for (window, u) in w.chunks_exact(kh * kw).zip(u.chunks_exact_mut(kw)) {
                for (kx, u) in u.iter_mut().enumerate() {
                    *u = (0..kh).map(|ky| coefficients[ky] * f64::from(window[ky * kw + kx])).sum::<f64>() as f32;
                }
            }
            for (first, outputs, _) in groups {
                let block = &mut forward[first * taps * points + f * taps * outputs..][..taps * outputs];
                for (tap, line) in block.chunks_exact_mut(*outputs).enumerate() {
                    line.iter_mut().zip(*first..self.s.oc).for_each(|(value, o)| *value = u[o * taps + tap]);
                }
            }
            if let Some(plan) = &self.gradient {
                plan.pack(&u, 0..plan.groups().count(), &mut gradient[f * len..(f + 1) * len]);
            }
        }
    }

    /// Floats that z must have.
    pub fn z_extent(&self) -> usize {
        if self.forward.across {
            return self.z.len();
        }
        self.z.at(self.s.oc - 1, self.s.oh - 1, 0) + (self.s.ow * self.x.lanes).next_multiple_of(CHUNK)
    }

    /// Computes those pairs of rows of z whose first row is among `rows`.
    pub fn forward(&self, path: Path, rows: Range<usize>, inputs: Inputs, z: &mut [f32], scratch: &mut Scratch) {
        let Inputs { x, packed, bias } = inputs;
        let pairs = rows.start.div_ceil(2)..rows.end.div_ceil(2);
        let plan = &self.forward;
        assert!(z.len() >= self.z_extent() && packed.len() >= self.packed_len()[0], "planned buffers");
        assert!(bias.is_none_or(|b| b.len() >= self.s.oc && !plan.across), "a bias for every output");
        assert!(rows.end <= self.s.oh, "rows of the output");
        let (points, taps) = (self.points.len(), plan.taps.len());
        for pair in pairs {
            self.transform(path, pair..pair + 1, x, scratch);
            for (first, outputs, runs) in &plan.groups {
                for &(tile, at, repeat) in runs {
                    // SAFETY: rows of z hold all vectors of the plan, and so do those of v, whose planes have slack
                    // where vectors hold columns; weights and biases were compared above. The plan was made for a
                    // path that was available.
                    unsafe {
                        let u = packed.as_ptr().add(first * taps * points);
                        let v = scratch.v.as_ptr().add(plan.corner);
                        let (u_point, v_point) = (taps * outputs, self.v_len());
                        let (w, w_point, w_row, x, x_point, y_plane, y) = if plan.across {
                            (v.add(at), v_point, 1, u, u_point, *outputs, self.z.at(0, 2 * pair, at))
                        } else {
                            let at = at * plan.lanes;
                            let y = self.z.at(*first, 2 * pair, 0) + at;
                            (u, u_point, *outputs, v.add(at), v_point, self.z.plane(), y)
                        };
                        (tile.run)(&PairArgs {
                            points: self.points.as_ptr(),
                            n_points: points,
                            taps: plan.taps.as_ptr(),
                            n_taps: taps,
                            w,
                            w_point,
                            w_row,
                            bias: bias.map_or(std::ptr::null(), |b| b[*first..].as_ptr()),
                            x,
                            x_point,
                            y: z.as_mut_ptr().add(y),
                            y_row: self.z.row(),
                            y_plane,
                            repeat,
                        });
                    }
                }
            }
        }
    }

    /// Some pairs, at most as many as v has rows.
    fn transform(&self, path: Path, pairs: Range<usize>, x: &[f32], scratch: &mut Scratch) {
        assert!(
            x.len() >= self.x_extent() && pairs.end <= self.s.oh / 2 && pairs.len() <= self.v.rows,
            "planned buffers"
        );
        self.reserve(scratch, false);
        let (x, v) = (x.as_ptr(), scratch.v.as_mut_ptr());
        // SAFETY: the rows of all pairs are within x's frame, v has a frame for each point.
        unsafe { dispatch(path, transform::Input { w: self, pairs, x, v }) }
    }

    /// Floats of the sums of the weights' gradient, `[point][oc][ic][kx]`.
    pub fn sums_len(&self) -> usize {
        self.points.len() * self.u_len()
    }

    /// Floats of the same sums, lanes apart: `[point][oc][ic][kx][16]`.
    pub fn acc_len(&self) -> usize {
        self.points.len() * self.weight.acc_len()
    }

    /// Adds the gradient of the weights from some rows of dz, an even number but at the end; the first rows start the sums.
    pub fn weight(
        &self,
        path: Path,
        rows: Range<usize>,
        dz: &[f32],
        x: &[f32],
        acc: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let all = rows.start / 2..rows.end / 2;
        for first in all.clone().step_by(self.v.rows) {
            let pairs = first..(first + self.v.rows).min(all.end);
            self.transform(path, pairs.clone(), x, scratch);
            for (f, &point) in self.points.iter().enumerate() {
                let (v, acc) = (&scratch.v[f * self.v_len()..], &mut acc[f * self.weight.acc_len()..]);
                self.weight.run_pairs(point, pairs.clone(), dz, v, acc);
            }
        }
    }

    /// Finishes the gradient of the weights: from sums at all points, `[point][oc][ic][kx]`, to `[oc][ic][ky][kx]`.
    pub fn finish(&self, sums: &[f32], dw: &mut [f32]) {
        let (kh, kw) = (self.s.kh, self.s.kw);
        for ky in 0..kh {
            let mut coefficients = [0.0; 6];
            self.points.iter().zip(&mut coefficients).for_each(|(p, c)| *c = p.coefficient(kh, ky));
            for (i, window) in dw.chunks_exact_mut(kh * kw).enumerate() {
                for (kx, value) in window[ky * kw..(ky + 1) * kw].iter_mut().enumerate() {
                    let at = |f: usize| f64::from(sums[f * self.u_len() + i * kw + kx]);
                    *value = (0..self.points.len()).map(|f| coefficients[f] * at(f)).sum::<f64>() as f32;
                }
            }
        }
    }

    /// The gradient of x from that of z.
    pub fn gradient(&self, path: Path, dz: &[f32], packed: &[f32], dx: &mut [f32], scratch: &mut Scratch) {
        let Some(plan) = &self.gradient else { return };
        assert!(dz.len() >= self.z.len() && dx.len() >= self.x.len(), "planned buffers");
        self.reserve(scratch, true);
        let Scratch { d, m, .. } = scratch;
        for pair in 0..self.s.oh / 2 {
            // SAFETY: dz is a frame of z, d has a frame for each point.
            unsafe { dispatch(path, transform::Gradient { w: self, pair, dz: dz.as_ptr(), d: d.as_mut_ptr() }) };
            for f in 0..self.points.len() {
                let packed = &packed[f * self.u_len()..];
                plan.run(0..1, &d[f * self.d.len()..], packed, None, &mut m[f * self.m.len()..]);
            }
            // SAFETY: m has a frame for each point, dx is a frame of x.
            unsafe { dispatch(path, transform::Output { w: self, pair, m: m.as_ptr(), dx: dx.as_mut_ptr() }) };
        }
    }
}

#[cfg(test)]
mod tests;
