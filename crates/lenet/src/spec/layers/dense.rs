//! Fully connected layers.

use super::fit::{At, LIMIT, Misfit, Placed, SpecError};
use super::{Field, Geometry, Key};
use crate::spec::shape::Shape;

/// A fully connected layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dense {
    /// Output features.
    pub units: usize,
    /// Whether a bias is added.
    pub bias: bool,
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

    pub(super) fn keys(&mut self) -> Vec<Key<'_>> {
        vec![
            Key::needed(
                "units",
                Field::Units(&mut self.units),
                "Number of output features; in the last dense layer \"classes\" stands for the number of the data's classes.",
            ),
            Key::new("bias", Field::Flag(&mut self.bias), "Whether a learnt bias is added to each output."),
        ]
    }

    pub(super) fn fit(&self, at: &At) -> Result<Placed, SpecError> {
        let s = units(self.units, at)?;
        let (weight, fan_in, fan_out) = (vec![s.outputs, s.inputs], s.inputs, s.outputs);
        let plain = Placed::new(Geometry::Dense(s), Shape::Flat(s.outputs));
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
