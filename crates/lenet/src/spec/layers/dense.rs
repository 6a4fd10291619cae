//! Fully connected layers.

use super::Geometry;
use super::fit::{At, LIMIT, Misfit, Placed, SpecError};
use crate::spec::keyed::keyed;
use crate::spec::shape::Shape;

keyed! {
    /// A fully connected layer.
    #[derive(Eq)]
    pub struct Dense {
        /// Number of output features. In the last dense layer of a recipe `"classes"` stands for the number of the
        /// data's classes.
        pub units: usize = 1, Units.needed();
        /// Whether a learnt bias is added to each output.
        pub bias: bool = true, Flag;
    }
}

impl Dense {
    /// So many output features, with a bias.
    pub fn new(units: usize) -> Self {
        Dense { units, bias: true }
    }

    /// With a bias, or without.
    pub fn bias(self, bias: bool) -> Self {
        Dense { bias, ..self }
    }

    pub(super) fn fit(&self, at: &At) -> Result<Placed, SpecError> {
        let s = units(self.units, at)?;
        let (weight, fan_in, fan_out) = (vec![s.outputs, s.inputs], s.inputs, s.outputs);
        let words = if self.bias { "" } else { "no bias" };
        let plain = Placed::new(Geometry::Dense(s), Shape::Flat(s.outputs)).said([words.into()]);
        Ok(Placed { weight, bias: self.bias, fan_in, fan_out, uses: 1, ..plain })
    }
}

/// Geometry of so many units, each of which sees all that comes in.
pub(super) fn units(units: usize, at: &At) -> Result<DenseShape, SpecError> {
    let Shape::Flat(inputs) = at.input else { return Err(at.misfit(Misfit::NeedsFlat)) };
    at.positive("units", units)?;
    at.limited("weights", &[units, inputs], LIMIT)?;
    Ok(DenseShape { inputs, outputs: units })
}

/// Geometry of a dense layer: w is `[outputs, inputs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct DenseShape {
    pub inputs: usize,
    pub outputs: usize,
}
