//! Distances to codes.

use super::fit::{At, Placed, SpecError};
use super::{Geometry, dense};
use crate::spec::keyed::keyed;
use crate::spec::shape::Shape;

keyed! {
    /// Distances to one fixed code a class: `y[o] = -Σ (x[i] - code[o][i])²`, the output of the historical LeNet-5.
    pub struct Rbf {
        /// Number of codes. In the last layer of a recipe `"classes"` stands for the number of the data's classes.
        pub units: usize = 1, Units.needed();
    }
}

impl Rbf {
    /// Distances to so many codes.
    pub fn new(units: usize) -> Self {
        Rbf { units }
    }

    pub(super) fn fit(&self, at: &At) -> Result<Placed, SpecError> {
        let s = dense::units(self.units, at)?;
        let buffers = vec![("codes", vec![s.outputs, s.inputs])];
        Ok(Placed { buffers, ..Placed::new(Geometry::Rbf(s), Shape::Flat(s.outputs)) })
    }
}
