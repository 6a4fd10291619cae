//! What every algorithm of convolution offers: a plan of the three passes over a chunk.

use super::scratch::Scratch;
use crate::kernel::path::Path;
use crate::kernel::plan::contract::PackTask;
use crate::kernel::sums::sum_all_lanes;
use std::ops::Range;

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

/// What the gradient of the weights is summed from, and where to.
pub struct Weights<'a> {
    /// Gradients of z, a frame.
    pub dz: &'a [f32],
    /// Inputs, a frame.
    pub x: &'a [f32],
    /// Sums with the lanes apart, [`Algorithm::acc_len`] floats.
    pub acc: &'a mut [f32],
    /// The chunk's own gradient, [`Algorithm::own_len`] floats.
    pub own: &'a mut [f32],
}

/// A convolution of a chunk from x to z, planned by some algorithm.
pub trait Algorithm: Send + Sync {
    /// Floats of packed weights: forward, gradient.
    fn packed_len(&self) -> [usize; 2];

    /// What packs weights, for forward if there is room, and for the gradient if it was planned.
    fn pack_tasks<'a>(&'a self, path: Path, w: &'a [f32], packed: [&'a mut [f32]; 2]) -> Vec<PackTask<'a>>;

    /// Computes rows of z; where they come in pairs or squares, those whose first row is among `rows`.
    fn forward(&self, path: Path, rows: Range<usize>, inputs: Inputs, z: &mut [f32], scratch: &mut Scratch);

    /// Rows of z at a time on the way back, for a strip of so many; all, if they must come at once.
    fn strip(&self, rows: usize) -> usize;

    /// Floats of the sums of the weights' gradient with the lanes apart.
    fn acc_len(&self) -> usize;

    /// Floats of a chunk's own gradient of the weights.
    fn own_len(&self) -> usize;

    /// Adds the gradient of the weights from some rows of dz, a strip; the first rows of a chunk start the sums.
    fn weight(&self, path: Path, rows: Range<usize>, w: Weights, scratch: &mut Scratch);

    /// The chunk's own gradient from its sums, unless it is there.
    fn sum(&self, path: Path, acc: &[f32], own: &mut [f32]) {
        sum_all_lanes(path, acc, own);
    }

    /// The gradient of the weights from the sum of the chunks' own, unless that is it.
    fn finish(&self, own: &[f32], dw: &mut [f32]) {
        dw.copy_from_slice(own);
    }

    /// The gradient of x, if it was planned.
    fn gradient(&self, path: Path, dz: &[f32], packed: &[f32], dx: &mut [f32], scratch: &mut Scratch);
}
