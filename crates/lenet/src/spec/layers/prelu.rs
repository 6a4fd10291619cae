//! Leaky ReLUs that learn their slopes.

use super::fit::{At, Placed, SpecError};
use super::{Geometry, Range};
use crate::spec::keyed::keyed;
use crate::spec::shape::{Role, Shape};

keyed! {
    /// x for x > 0, else x times a learnt slope of its channel, or of its feature (PyTorch's `PReLU` with as many slopes
    /// as there are channels). Weight decay leaves slopes alone, as it does scales.
    pub struct Prelu {
        /// What all slopes start at.
        pub slope: f32 = 0.25, Number(Range::new("a number from -100 to 100", -100.0, 100.0));
    }
}

impl Prelu {
    /// With slopes that start at 0.25, as PyTorch's do.
    pub fn new() -> Self {
        Prelu::default()
    }

    /// Starts all slopes here.
    pub fn slope(self, slope: f32) -> Self {
        Prelu { slope }
    }

    pub(super) fn fit(&self, at: &At) -> Result<Placed, SpecError> {
        let (channels, positions) = match at.input {
            Shape::Image([c, h, w]) => (c, h * w),
            Shape::Flat(n) => (n, 1),
        };
        let geometry = Geometry::Prelu(PreluShape { channels, positions });
        let usual = *self == Prelu::default();
        let words = if usual { String::new() } else { format!("slope {}", self.slope) };
        let (weight, role, start) = (vec![channels], Role::Scale, self.slope);
        Ok(Placed { weight, role, start, ..Placed::new(geometry, at.input).said([words]) })
    }
}

/// Geometry of a layer with a slope a channel: x and y are `[channels, positions]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PreluShape {
    pub channels: usize,
    pub positions: usize,
}
