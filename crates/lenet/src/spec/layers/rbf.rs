//! Distances to codes.

use super::fit::{At, Placed, SpecError};
use super::{Field, Geometry, Key, dense};
use crate::spec::shape::Shape;

/// Distances to one fixed code a class: `y[o] = -Σ (x[i] - code[o][i])²`, the output of the historical LeNet-5.
#[derive(Clone, Debug, PartialEq)]
pub struct Rbf {
    /// Number of codes.
    pub units: usize,
}

impl Rbf {
    /// Distances to so many codes.
    pub fn new(units: usize) -> Self {
        Rbf { units }
    }

    pub(super) fn keys(&mut self) -> Vec<Key<'_>> {
        let doc = "Number of codes; in the last layer \"classes\" stands for the number of the data's classes.";
        vec![Key::needed("units", Field::Units(&mut self.units), doc)]
    }

    pub(super) fn fit(&self, at: &At) -> Result<Placed, SpecError> {
        let s = dense::units(self.units, at)?;
        let buffers = vec![("codes", vec![s.outputs, s.inputs])];
        Ok(Placed { buffers, ..Placed::new(Geometry::Rbf(s), Shape::Flat(s.outputs)) })
    }
}
