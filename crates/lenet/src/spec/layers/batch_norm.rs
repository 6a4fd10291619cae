//! Batch normalisation.

use super::fit::{At, Placed, SpecError};
use super::{Geometry, Range};
use crate::spec::keyed::keyed;
use crate::spec::shape::{Role, Shape};

keyed! {
    /// Normalisation of each channel by the mean and variance of the batch, then a learnt scale and shift (PyTorch's
    /// `BatchNorm2d` and `BatchNorm1d`); evaluation uses running averages of both.
    pub struct BatchNorm {
        /// Added to the variance.
        pub eps: f32 = 1e-5, Number(Range::POSITIVE);
        /// Share of each batch in the running averages. With 1, all but the last batch is forgotten.
        pub momentum: f32 = 0.1, Number(Range::UP_TO_1);
    }
}

impl BatchNorm {
    /// With PyTorch's defaults: 1e-5 added to the variance, a tenth of each batch in the averages.
    pub fn new() -> Self {
        BatchNorm::default()
    }

    /// Adds this to the variance.
    pub fn eps(self, eps: f32) -> Self {
        BatchNorm { eps, ..self }
    }

    /// Takes this share of each batch into the running averages.
    pub fn momentum(self, momentum: f32) -> Self {
        BatchNorm { momentum, ..self }
    }

    pub(super) fn fit(&self, at: &At) -> Result<Placed, SpecError> {
        let (channels, positions) = match at.input {
            Shape::Image([c, h, w]) => (c, h * w),
            Shape::Flat(n) => (n, 1),
        };
        let geometry = Geometry::BatchNorm(NormShape { channels, positions, eps: self.eps, momentum: self.momentum });
        let buffers = vec![("running_mean", vec![channels]), ("running_var", vec![channels])];
        let (weight, role) = (vec![channels], Role::Scale);
        Ok(Placed { weight, role, bias: true, buffers, ..Placed::new(geometry, at.input) })
    }
}

/// Geometry of a normalisation: x and y are `[channels, positions]`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct NormShape {
    pub channels: usize,
    pub positions: usize,
    pub eps: f32,
    pub momentum: f32,
}
