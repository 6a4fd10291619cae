//! The plan of the forward pass.

use super::tile::{PairTile, PairTiles};
use crate::kernel::path::Path;
use crate::kernel::plan::contract::{partition, priced_partition};
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::tile::{Tap, Tiles};
use crate::kernel::simd::CHUNK;
use crate::spec::ConvShape;

/// A tile, its first vector, and how many of it; with the outputs in the lanes, its first column.
pub(super) type Run = (PairTile, usize, usize);

/// The forward pass, for chunks (16 samples in the lanes) or a single sample (columns or outputs in the lanes).
pub(super) struct Forward {
    pub taps: Vec<Tap>,
    /// Outputs: first, number, runs of tiles.
    pub groups: Vec<(usize, usize, Vec<Run>)>,
    pub lanes: usize,
    /// First input of a window's first row.
    pub corner: usize,
    /// Whether outputs are in the lanes.
    pub across: bool,
}

impl Forward {
    pub fn plan(path: Path, s: &ConvShape, x: &Frame, v: &Frame) -> Self {
        let tiles = Tiles::of(path);
        let mut taps = Vec::with_capacity(s.ic * s.kw);
        for (ic, kx) in (0..s.ic * s.kw).map(|i| (i / s.kw, i % s.kw)) {
            taps.push(Tap { x: (ic * v.plane() + kx * x.lanes) as u32, w: taps.len() as u32 });
        }
        taps.reverse();
        let all = PairTiles::of(path).forward;
        let vectors = (s.ow * x.lanes).div_ceil(tiles.lanes);
        let points = (s.kh + 1) as f64;
        let cost = |t: &PairTile| {
            points * (taps.len() as f64 * tiles.machine.step(t.o, t.p) + 2.0 * (t.o * t.p) as f64) + 20.0
        };
        let split = |o: usize| {
            let options: Vec<_> = all.iter().filter(|t| t.o == o).map(|t| (t.p, cost(t))).collect();
            priced_partition(vectors, &options)
        };
        let mut options: Vec<(usize, f64)> = Vec::new();
        for t in all.iter().filter(|t| t.p == 1 && t.o <= s.oc) {
            options.push((t.o, split(t.o).1));
        }
        let (mut groups, mut first) = (Vec::new(), 0);
        for o in partition(s.oc, &options) {
            let (mut runs, mut vector) = (Vec::<Run>::new(), 0);
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
    pub fn plan_across(path: Path, s: &ConvShape, x: &Frame, v: &Frame) -> Self {
        let tiles = Tiles::of(path);
        let row = s.oc.next_multiple_of(CHUNK);
        let tap = |i: usize| Tap { x: (i * row) as u32, w: (i / s.kw * v.plane() + i % s.kw) as u32 };
        let taps: Vec<Tap> = (0..s.ic * s.kw).rev().map(tap).collect();
        let vectors = row / tiles.lanes;
        let cost = |t: &PairTile| {
            let n = taps.len() as f64;
            (n * tiles.machine.step(t.o, t.p) + 2.0 * (t.o * t.p) as f64 + 20.0) * (vectors / t.p) as f64
        };
        let all = PairTiles::of(path).forward.iter().filter(|t| vectors.is_multiple_of(t.p));
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
