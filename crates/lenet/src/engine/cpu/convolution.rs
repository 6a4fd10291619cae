//! A convolution on chunks, by the algorithm that its shape is best served with.

use crate::kernel::contract::Contraction;
use crate::kernel::conv::{self, WeightGradient};
use crate::kernel::frame::Frame;
use crate::kernel::tile::Tiles;
use crate::kernel::winograd::square::{self, Square};
use crate::kernel::winograd::{self, Inputs, Scratch, Winograd};
use crate::kernel::{AlignedVec, NoMemory, Path, elementwise};
use crate::spec::{Activation, ConvShape, Geometry, Network};
use std::ops::Range;

/// Where a convolution's passes are planned.
pub(super) enum Convolution {
    Direct {
        forward: Box<Contraction>,
        /// `None` where nothing before the stage learns.
        gradient: Option<Box<Contraction>>,
        weight: WeightGradient,
    },
    Winograd(Box<Winograd>),
    Square(Box<Square>),
}

/// Whether some layer compares values, so that a rounding error may decide between two that are nearly equal: maxima, and
/// activations with a kink.
pub(super) fn compares(network: &Network) -> bool {
    network.layers.iter().any(|l| match l.geometry {
        Geometry::MaxPool(_) => true,
        Geometry::Activation(a) => matches!(a, Activation::Relu | Activation::LeakyRelu | Activation::HardSwish),
        _ => false,
    })
}

/// Whether a convolution goes by row pairs. With windows of 5 rows the errors are other ones, not much larger, but where
/// something is compared they decide near-ties differently; the direct sum's order was chosen so that those of the golden
/// networks fall as in double precision.
pub(super) fn fits(s: &ConvShape, compares: bool) -> bool {
    winograd::fits(s) && (s.kh == 3 || !compares)
}

impl Convolution {
    /// From x to z; with the gradient of x if something before `learns`; of a network that compares or does not.
    pub fn plan(tiles: &'static Tiles, s: &ConvShape, x: &Frame, z: &Frame, learns: bool, compares: bool) -> Self {
        if square::fits(s) {
            return Convolution::Square(Box::new(Square::plan(tiles, s, x, z, learns)));
        }
        if fits(s, compares) {
            return Convolution::Winograd(Box::new(Winograd::plan(tiles, s, x, z, learns)));
        }
        Convolution::Direct {
            forward: Box::new(conv::forward(tiles, s, x, z)),
            gradient: learns.then(|| Box::new(conv::gradient(tiles, s, z, x))),
            weight: WeightGradient::plan(tiles, s, z, x),
        }
    }

    /// Rows of the epilogue's output in a strip; of pairs twice as many, and an even number of rows of z; of squares all of
    /// so many.
    pub fn strip(&self, strip: usize, all: usize) -> usize {
        match self {
            Convolution::Square(_) => all,
            Convolution::Winograd(_) => 2 * strip,
            Convolution::Direct { .. } => strip,
        }
    }

    /// Floats of the gradient of the weights that each chunk computes.
    pub fn own_len(&self, weights: usize) -> usize {
        if let Convolution::Winograd(plan) = self { plan.sums_len() } else { weights }
    }

    /// Floats of the sums of that gradient, lanes apart.
    pub fn acc_len(&self) -> usize {
        match self {
            Convolution::Direct { weight, .. } => weight.acc_len(),
            Convolution::Winograd(plan) => plan.acc_len(),
            Convolution::Square(_) => 0,
        }
    }

    /// Room for packed weights: forward, gradient.
    pub fn new_packs(&self) -> Result<[AlignedVec; 2], NoMemory> {
        let [forward, gradient] = match self {
            Convolution::Direct { forward, gradient, .. } => {
                [forward.packed_len(), gradient.as_ref().map_or(0, |g| g.packed_len())]
            }
            Convolution::Winograd(plan) => plan.packed_len(),
            Convolution::Square(plan) => plan.packed_len(),
        };
        Ok([AlignedVec::try_zeros(forward)?, AlignedVec::try_zeros(gradient)?])
    }

    /// Computes rows of z; where they come in pairs or squares, those whose first row is among `rows`.
    pub fn forward(&self, path: Path, rows: Range<usize>, inputs: Inputs, z: &mut [f32], scratch: &mut Scratch) {
        match self {
            Convolution::Direct { forward, .. } => forward.run(rows, inputs.x, inputs.packed, inputs.bias, z),
            Convolution::Winograd(plan) => plan.forward(path, rows, inputs, z, scratch),
            Convolution::Square(plan) => plan.forward(path, rows, inputs, z, scratch),
        }
    }

    /// Adds the gradient of the weights from some rows of dz; the first rows start the sums. Squares take all rows at once,
    /// and leave the chunk's own gradient.
    #[allow(clippy::too_many_arguments)]
    pub fn weight(
        &self,
        path: Path,
        rows: Range<usize>,
        dz: &[f32],
        x: &[f32],
        acc: &mut [f32],
        own: &mut [f32],
        scratch: &mut Scratch,
    ) {
        match self {
            Convolution::Direct { weight, .. } => weight.run(rows, dz, x, acc),
            Convolution::Winograd(plan) => plan.weight(path, rows, dz, x, acc, scratch),
            Convolution::Square(plan) => plan.weight(path, dz, x, own, scratch),
        }
    }

    /// The chunk's own gradient of the weights from its sums, unless it is there.
    pub fn sum(&self, path: Path, acc: &[f32], own: &mut [f32]) {
        match self {
            Convolution::Direct { .. } | Convolution::Winograd(_) => elementwise::sum_all_lanes(path, acc, own),
            Convolution::Square(_) => {}
        }
    }

    /// The gradient of x.
    pub fn gradient(&self, path: Path, dz: &[f32], packed: &[f32], dx: &mut [f32], scratch: &mut Scratch) {
        match self {
            Convolution::Direct { gradient: Some(g), .. } => g.run(0..g.rows(), dz, packed, None, dx),
            Convolution::Direct { .. } => {}
            Convolution::Winograd(plan) => plan.gradient(path, dz, packed, dx, scratch),
            Convolution::Square(plan) => plan.gradient(path, dz, packed, dx, scratch),
        }
    }

    /// The gradient of the weights from the chunks' sums.
    pub fn finish(&self, sums: &[f32], dw: &mut [f32]) {
        match self {
            Convolution::Direct { .. } | Convolution::Square(_) => dw.copy_from_slice(sums),
            Convolution::Winograd(plan) => plan.finish(sums, dw),
        }
    }
}
