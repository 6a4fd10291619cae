//! Dense layers: forward and gradient of the input a chunk, gradient of the weights a batch.

#[cfg(feature = "bench")]
pub(crate) mod bench;
pub mod naive;

use crate::kernel::plan::contract::{Contraction, Packing, Pitch, Uniform, partition, priced_partition};
use crate::kernel::plan::tile::{BatchTile, BatchTileArgs, Tap, Tiles};
use crate::kernel::simd::CHUNK;
use crate::spec::DenseShape;
use std::ops::Range;

fn one_position(tiles: &'static Tiles, outputs: usize, inputs: usize, packing: Packing) -> Contraction {
    let taps = (0..inputs).map(|i| Tap { x: (i * CHUNK) as u32, w: i as u32 }).collect();
    let pitch = Pitch { lanes: CHUNK, x: CHUNK, y: CHUNK, y_plane: CHUNK };
    Contraction::plan(tiles, outputs, vec![(0, 0, 0)], vec![Box::new(Uniform { positions: 1, taps })], pitch, packing)
}

/// Forward pass of a chunk: `z[o][16] = bias[o] + Σ w[o][i] · x[i][16]`.
pub fn forward(tiles: &'static Tiles, s: &DenseShape) -> Contraction {
    let packing = Packing { output: s.inputs, outer: 0, inner: s.inputs, step: 1, rows: s.inputs };
    one_position(tiles, s.outputs, s.inputs, packing)
}

/// Gradient of the input of a chunk: `dx[i][16] = Σ w[o][i] · dz[o][16]`.
pub fn gradient(tiles: &'static Tiles, s: &DenseShape) -> Contraction {
    let packing = Packing { output: 1, outer: 0, inner: s.outputs, step: s.inputs, rows: s.outputs };
    one_position(tiles, s.inputs, s.outputs, packing)
}

/// Forward pass of one sample, outputs in the lanes: `y[o] = Σ x[i] · wt[i][o]`, without the bias, with wt's rows `lanes`-aligned.
///
/// The input stands in the place of packed weights, so that each output is the same chain of roundings as in a chunk.
pub fn forward_single(tiles: &'static Tiles, s: &DenseShape) -> Contraction {
    let row = s.outputs.next_multiple_of(CHUNK);
    let taps = (0..s.inputs).map(|i| Tap { x: (i * row) as u32, w: i as u32 }).collect();
    let pitch = Pitch { lanes: 1, x: 1, y: 1, y_plane: row };
    let packing = Packing { output: 0, outer: 0, inner: s.inputs, step: 1, rows: s.inputs };
    Contraction::plan(tiles, 1, vec![(0, 0, 0)], vec![Box::new(Uniform { positions: row, taps })], pitch, packing)
}

/// One chunk's samples as rows: dz `[16][dz_stride]` and x `[16][x_stride]`, with zeros behind the last feature.
#[derive(Clone, Copy)]
pub struct ChunkRows<'a> {
    /// Gradients of the outputs.
    pub dz: &'a [f32],
    /// Inputs.
    pub x: &'a [f32],
}

/// Floats from one row of features to the next.
pub fn row_stride(features: usize) -> usize {
    features.next_multiple_of(CHUNK)
}

/// Gradient of the weights of a batch: `dw[o][i] = Σ dz[sample][o] · x[sample][i]`, 16 samples a chain, chunks in a tree.
pub struct WeightGradient {
    groups: Vec<(usize, Vec<(usize, BatchTile)>)>,
    s: DenseShape,
    lanes: usize,
}

impl WeightGradient {
    /// Plans for a layer.
    pub fn plan(tiles: &'static Tiles, s: &DenseShape) -> Self {
        let vectors = s.inputs.div_ceil(tiles.lanes);
        let cost = |t: &BatchTile| 16.0 * tiles.machine.step(t.o, t.p) + 3.0 * (t.o * t.p) as f64 + 10.0;
        let split = |o: usize| {
            let options: Vec<_> = tiles.batch_tiles.iter().filter(|t| t.o == o).map(|t| (t.p, cost(t))).collect();
            priced_partition(vectors, &options)
        };
        let mut sizes: Vec<usize> = tiles.batch_tiles.iter().map(|t| t.o).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let options: Vec<_> = sizes.into_iter().map(|o| (o, split(o).1)).filter(|o| o.1.is_finite()).collect();
        let mut first = 0;
        let groups = partition(s.outputs, &options)
            .into_iter()
            .map(|o| {
                let mut at = 0;
                let calls = split(o).0.into_iter().map(|p| {
                    let tile = tiles.batch_tiles.iter().find(|t| t.o == o && t.p == p);
                    at += p;
                    ((at - p) * tiles.lanes, *tile.expect("parts are sizes of tiles"))
                });
                first += o;
                (first - o, calls.collect())
            })
            .collect();
        WeightGradient { groups, s: *s, lanes: tiles.lanes }
    }

    /// Groups of outputs that can be computed apart.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Outputs of a group.
    pub fn outputs(&self, group: usize) -> Range<usize> {
        let end = self.groups.get(group + 1).map_or(self.s.outputs, |g| g.0);
        self.groups[group].0..end
    }

    /// Computes the rows of `dw` that belong to a group, `[outputs of the group][inputs]`.
    pub fn run(&self, group: usize, chunks: &[ChunkRows], dw: &mut [f32]) {
        let (dz_stride, x_stride) = (row_stride(self.s.outputs), row_stride(self.s.inputs));
        assert!(!chunks.is_empty(), "a batch has at least one chunk");
        for c in chunks {
            assert!(c.dz.len() >= CHUNK * dz_stride && c.x.len() >= CHUNK * x_stride, "rows as planned");
        }
        let dz: Vec<*const f32> = chunks.iter().map(|c| c.dz.as_ptr()).collect();
        let x: Vec<*const f32> = chunks.iter().map(|c| c.x.as_ptr()).collect();
        let outputs = self.outputs(group);
        assert_eq!(dw.len(), outputs.len() * self.s.inputs, "one row of weights an output");
        let mut edge = [0.0f32; 24 * 64];
        for (at, tile) in &self.groups[group].1 {
            let width = (tile.p * self.lanes).min(self.s.inputs - at);
            let whole = width == tile.p * self.lanes;
            // A tile that reaches past the last input is computed aside, so that it does not write into the next row.
            let y_stride = if whole { self.s.inputs } else { tile.p * self.lanes };
            let y = if whole { dw[*at..].as_mut_ptr() } else { edge.as_mut_ptr() };
            // SAFETY: chunks have 16 rows of the planned strides (asserted), tiles lie within these strides, since
            // x_stride is a multiple of every vector; y has room for o rows: asserted for dw, and `edge` is as large
            // as the largest tile (24 accumulators of at most 16 lanes, with o ≤ 24).
            unsafe {
                (tile.run)(&BatchTileArgs {
                    dz: &dz,
                    dz_stride,
                    x: &x,
                    x_stride,
                    dz_offset: outputs.start,
                    x_offset: *at,
                    y,
                    y_stride,
                });
            }
            if !whole {
                for o in 0..outputs.len() {
                    let row = o * self.s.inputs + at;
                    dw[row..row + width].copy_from_slice(&edge[o * y_stride..][..width]);
                }
            }
        }
    }
}
