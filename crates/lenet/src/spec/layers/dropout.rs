//! Dropout.

use super::Range;
use crate::spec::keyed::keyed;

keyed! {
    /// Sets each value to 0 with a probability while training, and scales the others up by its complement's inverse.
    pub struct Dropout {
        /// Probability that a value becomes 0.
        pub rate: f32 = 0.0, Number(Range::SHARE.said("a number from 0 to less than 1")).needed();
    }
}

impl Dropout {
    /// With this probability, 0 to less than 1.
    pub fn new(rate: f32) -> Self {
        Dropout { rate }
    }
}
