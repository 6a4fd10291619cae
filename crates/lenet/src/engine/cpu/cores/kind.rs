//! What planners need to know of a layer, whatever else it is.

use crate::kernel::op::pool::PoolKind;
use crate::spec::{Activation, ConvShape, DenseShape, NormShape, PoolShape};

/// A layer as the planners see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Conv(ConvShape),
    Dense(DenseShape),
    /// The sum of two values.
    Add,
    /// An average with a learnt scale.
    Subsample(PoolShape),
    BatchNorm(NormShape),
    Activation(Activation),
    Pool(PoolKind, PoolShape),
    Flatten,
    /// Changes nothing in inference.
    Dropout,
    /// Takes nothing behind it, and has no kernels for single samples.
    Alone,
}

/// How a layer scales and shifts channels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scaling {
    /// By the statistics of the batch.
    Batch(NormShape),
    /// By weights alone, times a factor.
    Learnt { gain: f32 },
}

impl Kind {
    /// Whether the layer makes pre-activations, for a normalisation, an activation and a pooling behind it.
    pub fn makes_preactivations(&self) -> bool {
        match self {
            Kind::Conv(_) | Kind::Dense(_) | Kind::Add | Kind::Subsample(_) | Kind::BatchNorm(_) => true,
            Kind::Activation(_) | Kind::Pool(..) | Kind::Flatten | Kind::Dropout | Kind::Alone => false,
        }
    }

    /// How the layer itself scales what it makes.
    pub fn scaling(&self) -> Option<Scaling> {
        match self {
            Kind::BatchNorm(shape) => Some(Scaling::Batch(*shape)),
            Kind::Subsample(s) => Some(Scaling::Learnt { gain: (s.kh * s.kw) as f32 }),
            Kind::Conv(_) | Kind::Dense(_) | Kind::Add => None,
            Kind::Activation(_) | Kind::Pool(..) | Kind::Flatten | Kind::Dropout | Kind::Alone => None,
        }
    }

    /// Border that the layer needs around its input.
    pub fn border(&self) -> [usize; 2] {
        match self {
            Kind::Conv(s) => s.padding,
            Kind::Dense(_) | Kind::Add | Kind::Subsample(_) | Kind::BatchNorm(_) => [0, 0],
            Kind::Activation(_) | Kind::Pool(..) | Kind::Flatten | Kind::Dropout | Kind::Alone => [0, 0],
        }
    }
}
