//! Convolution by the direct sum.

use super::algorithm::{Algorithm, Inputs, Weights};
use super::forward::forward;
use super::gradient::gradient;
use super::scratch::Scratch;
use super::weight::WeightGradient;
use crate::kernel::path::Path;
use crate::kernel::plan::contract::{Contraction, PackTask};
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::tile::Tiles;
use crate::spec::ConvShape;
use std::ops::Range;

/// The plans of the three passes.
pub struct Direct {
    forward: Contraction,
    /// `None` where nothing before learns.
    gradient: Option<Contraction>,
    weight: WeightGradient,
    weights: usize,
}

impl Direct {
    /// Plans a convolution from x to z; with the gradient of x if something before `learns`.
    pub fn plan(path: Path, s: &ConvShape, x: &Frame, z: &Frame, learns: bool) -> Self {
        let tiles = Tiles::of(path);
        Direct {
            forward: forward(tiles, s, x, z),
            gradient: learns.then(|| gradient(tiles, s, z, x)),
            weight: WeightGradient::plan(tiles, s, z, x),
            weights: s.oc * s.taps(),
        }
    }
}

impl Algorithm for Direct {
    fn packed_len(&self) -> [usize; 2] {
        [self.forward.packed_len(), self.gradient.as_ref().map_or(0, Contraction::packed_len)]
    }

    fn pack_tasks<'a>(&'a self, _: Path, w: &'a [f32], [forward, gradient]: [&'a mut [f32]; 2]) -> Vec<PackTask<'a>> {
        let mut tasks = self.forward.pack_tasks(w, forward);
        tasks.extend(self.gradient.iter().zip([gradient]).flat_map(|(plan, pack)| plan.pack_tasks(w, pack)));
        tasks
    }

    fn forward(&self, _: Path, rows: Range<usize>, inputs: Inputs, z: &mut [f32], _: &mut Scratch) {
        self.forward.run(rows, inputs.x, inputs.packed, inputs.bias, z);
    }

    fn strip(&self, rows: usize) -> usize {
        rows
    }

    fn acc_len(&self) -> usize {
        self.weight.acc_len()
    }

    fn own_len(&self) -> usize {
        self.weights
    }

    fn weight(&self, _: Path, rows: Range<usize>, w: Weights, _: &mut Scratch) {
        self.weight.run(rows, w.dz, w.x, w.acc);
    }

    fn gradient(&self, _: Path, dz: &[f32], packed: &[f32], dx: &mut [f32], _: &mut Scratch) {
        self.gradient.iter().for_each(|plan| plan.run(0..plan.rows(), dz, packed, None, dx));
    }
}
