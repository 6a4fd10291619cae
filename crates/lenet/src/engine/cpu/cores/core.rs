//! What a stage's core is: the seam between the way through a network and what each kind of layer computes.

use super::rows::{DenseRows, RowSums};
use crate::engine::{Batch, TrainStep};
use crate::kernel::op::add::Operand;
use crate::kernel::op::conv::Scratch;
use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::op::norm::NormEpilogue;
use crate::kernel::plan::contract::PackTask;
use crate::kernel::{AlignedVec, CHUNK, Path};
use crate::spec::LayerInfo;
use std::ops::Range;

/// Where a layer's parameters are in the slab, and in a chunk's own gradient those that each chunk computes by itself.
pub(crate) struct Place {
    pub weight: Range<usize>,
    pub bias: Option<Range<usize>>,
    pub own_weight: Option<Range<usize>>,
    pub own_bias: Option<Range<usize>>,
}

impl Place {
    /// Of a layer's parameters, whose gradients no chunk computes by itself.
    pub fn of(layer: &LayerInfo) -> Place {
        let weight = layer.weight.as_ref().map_or(0..0, |w| w.range.clone());
        Place { weight, bias: layer.bias.as_ref().map(|b| b.range.clone()), own_weight: None, own_bias: None }
    }
}

/// The packed weights of a stage: forward, gradient.
pub(crate) type Packs = [AlignedVec; 2];

/// The samples of a chunk.
#[derive(Clone, Copy)]
pub(crate) struct Samples<'a> {
    pub batch: &'a Batch<'a>,
    pub indices: &'a [u32],
}

impl Samples<'_> {
    /// Keys of the samples' dropout in a layer.
    pub fn keys(&self, step: &TrainStep, layer: u32) -> [u32; CHUNK] {
        let mut keys = [0; CHUNK];
        for (key, &sample) in keys.iter_mut().zip(self.indices) {
            *key = step.dropout_key(sample).wrapping_add(layer);
        }
        keys
    }
}

/// What a stage reads besides values.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub path: Path,
    pub parameters: &'a [f32],
    pub buffers: &'a [f32],
    /// The stage's own.
    pub packs: &'a Packs,
    pub samples: Samples<'a>,
    /// `None` for evaluation.
    pub train: Option<&'a TrainStep<'a>>,
}

/// The values that a stage takes: one, or the two of a sum.
#[derive(Clone, Copy)]
pub(crate) struct Taken<'a> {
    pub x: Operand<'a>,
    pub other: Option<Operand<'a>>,
}

/// The way from the gradient of what a stage gives to that of its z.
pub(crate) enum Back<'a> {
    Plain(&'a Epilogue),
    /// Of so many samples; with the z of the maxima.
    Norm(NormEpilogue<'a>, usize, &'a [f32]),
}

impl Back<'_> {
    pub fn epilogue(&self) -> &Epilogue {
        match self {
            Back::Plain(e) => e,
            Back::Norm(back, ..) => back.e,
        }
    }

    /// The rows of z that belong to some rows of y, which it takes for their derivatives, become their gradients.
    pub fn run(&self, path: Path, rows: Range<usize>, z: &mut [f32], dy: &[f32]) {
        match self {
            Back::Plain(e) => e.backward(path, rows, z, dy),
            Back::Norm(back, samples, picked) => back.finish(path, rows, *samples, z, picked, dy),
        }
    }
}

/// What a chunk leaves for the sums over the batch.
pub(crate) struct Left<'a> {
    /// Its own gradient.
    pub own: &'a mut [f32],
    /// Its samples, for each stage that takes them as rows.
    pub rows: &'a mut [DenseRows],
}

/// What a core has on the way back.
pub(crate) struct Backward<'a> {
    /// From dy to the gradient of z.
    pub back: Back<'a>,
    /// The value that the stage took.
    pub x: &'a [f32],
    /// What forward left in the stage's z, and then its gradient.
    pub z: &'a mut [f32],
    pub dy: &'a [f32],
    /// [`Core::lanes_len`] floats.
    pub lanes: &'a mut [f32],
    pub scratch: &'a mut Scratch,
    /// As in [`Left`].
    pub own: &'a mut [f32],
    pub rows: &'a mut [DenseRows],
    /// Those operands of a sum that it normalises on their way, with their z.
    pub summed: [Option<(NormEpilogue<'a>, &'a [f32])>; 2],
}

/// What makes a stage's z, and goes back from its gradient.
pub(crate) trait Core: Send + Sync {
    /// Where its parameters are; `None` if it has none.
    fn place(&self) -> Option<&Place>;

    /// Makes some rows of z, or all of them unless it goes [row by row](Core::is_row_by_row).
    fn forward(&self, pass: &Pass, rows: Range<usize>, taken: Taken, z: &mut [f32], scratch: &mut Scratch);

    /// Makes the gradient of z, and sums those of its parameters, but for what [`Core::row_sums`] tells.
    fn backward(&self, pass: &Pass, b: Backward);

    /// The gradient of the value that the stage took, from that of its z.
    fn gradient(&self, pass: &Pass, z: &[f32], to: &mut [f32], scratch: &mut Scratch);

    /// Whether z is made row by row, so that what follows finds the rows in the nearest cache.
    fn is_row_by_row(&self) -> bool {
        false
    }

    /// Floats of sums with the lanes apart that the way back needs.
    fn lanes_len(&self) -> usize {
        0
    }

    /// Floats of packed weights: forward, gradient.
    fn packed_len(&self) -> [usize; 2] {
        [0, 0]
    }

    /// What packs its weights, given all parameters.
    fn pack<'a>(&'a self, _path: Path, _parameters: &'a [f32], _packs: &'a mut Packs) -> Vec<PackTask<'a>> {
        Vec::new()
    }

    /// The gradient of the weights from the sum of the chunks' own.
    fn finish(&self, sum: &[f32], dw: &mut [f32]) {
        dw.copy_from_slice(sum);
    }

    /// How the gradient of the weights is summed, if from rows rather than from the chunks' own.
    fn row_sums(&self) -> Option<&RowSums> {
        None
    }
}

/// A stage without a z: from one value to the next, and back. What has parameters is a [`Core`].
pub(crate) trait Plain: Send + Sync {
    /// Floats that training keeps for the way back.
    fn kept_len(&self) -> usize {
        0
    }

    /// Makes y; `kept` is empty in evaluation.
    fn forward(&self, pass: &Pass, x: &[f32], y: &mut [f32], kept: &mut [f32]);

    /// Makes the gradient of x from that of y: in the place of x, or `elsewhere`, if others still need x.
    fn backward(&self, pass: &Pass, dy: &[f32], kept: &[f32], x: &mut [f32], elsewhere: Option<&mut [f32]>);
}
