//! Dropout.

use super::{Field, Key, Range};

/// Sets each value to 0 with a probability while training, and scales the others up by its complement's inverse.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// Probability, 0 to less than 1.
    pub rate: f32,
}

impl Dropout {
    /// With this probability, 0 to less than 1.
    pub fn new(rate: f32) -> Self {
        Dropout { rate }
    }

    pub(super) fn keys(&mut self) -> Vec<Key<'_>> {
        let rate = Range { words: "a number from 0 to less than 1", ..Range::SHARE };
        vec![Key::needed("rate", Field::Number(&mut self.rate, rate), "Probability that a value becomes 0.")]
    }
}
