//! Gradients of weights that are summed over the samples of a whole batch, from rows of features.

use crate::kernel::op::dense::{ChunkRows, WeightGradient, row_stride};
use crate::kernel::plan::tile::Tiles;
use crate::kernel::{AlignedVec, CHUNK, NoMemory, Path, input};
use crate::spec::DenseShape;

/// How the gradient of a stage's weights follows from the rows of all samples.
pub(crate) struct RowSums {
    /// Position among the stages of this kind.
    pub number: usize,
    pub shape: DenseShape,
    weight: WeightGradient,
}

impl RowSums {
    pub fn plan(path: Path, number: usize, shape: DenseShape) -> Self {
        RowSums { number, shape, weight: WeightGradient::plan(Tiles::of(path), &shape) }
    }

    /// Groups of outputs that can be computed apart, in the order of the slab.
    pub fn groups(&self) -> usize {
        self.weight.groups()
    }

    /// Weights of a group.
    pub fn len(&self, group: usize) -> usize {
        self.weight.outputs(group).len() * self.shape.inputs
    }

    /// The gradient of a group's weights from the rows of these chunks.
    pub fn run(&self, group: usize, chunks: &[&Vec<DenseRows>], dw: &mut [f32]) {
        let chunks: Vec<_> = chunks.iter().map(|rows| rows[self.number].view()).collect();
        self.weight.run(group, &chunks, dw);
    }
}

/// The samples of a chunk as rows, for one such stage.
pub(crate) struct DenseRows {
    shape: DenseShape,
    dz: AlignedVec,
    x: AlignedVec,
}

impl DenseRows {
    pub fn new(shape: &DenseShape) -> Result<Self, NoMemory> {
        let room = |features| AlignedVec::try_zeros(CHUNK * row_stride(features));
        Ok(DenseRows { shape: *shape, dz: room(shape.outputs)?, x: room(shape.inputs)? })
    }

    /// Takes the samples of x `[inputs][16]` and dz `[outputs][16]`.
    pub fn fill(&mut self, path: Path, x: &[f32], dz: &[f32]) {
        let DenseShape { inputs, outputs } = self.shape;
        input::lanes_to_rows(path, &x[..inputs * CHUNK], row_stride(inputs), &mut self.x);
        input::lanes_to_rows(path, &dz[..outputs * CHUNK], row_stride(outputs), &mut self.dz);
    }

    fn view(&self) -> ChunkRows<'_> {
        ChunkRows { dz: &self.dz, x: &self.x }
    }
}
