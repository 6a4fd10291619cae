//! What a report knows of a model on images.

use super::picture::Picture;
use crate::metrics::{Confused, Predictions};

/// Which images a model is judged by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The test images.
    Test,
    /// Those that the training kept for validation.
    Validation,
}

impl Part {
    /// As reports call it.
    pub fn name(self) -> &'static str {
        match self {
            Part::Test => "test",
            Part::Validation => "validation",
        }
    }
}

/// An image, and what the model says of it.
#[derive(Clone, Debug)]
pub struct Example {
    /// Position among the images of its split.
    pub index: usize,
    /// The true class.
    pub actual: usize,
    /// The class that the model names.
    pub predicted: usize,
    /// The probability that it gives it.
    pub confidence: f32,
    pub(super) picture: Picture,
}

/// The weights of the first layer that has some that are images.
#[derive(Clone, Debug)]
pub struct Filters {
    /// The layer's place and type.
    pub layer: String,
    /// Filters in the picture, and all of them.
    pub shown: [usize; 2],
    /// Channels, rows and columns of a filter.
    pub shape: [usize; 3],
    /// Weights go from minus this to this in the picture's colours.
    pub scale: f32,
    pub(super) picture: Picture,
}

/// The first convolution's activations of one image a class.
#[derive(Clone, Debug)]
pub struct Activations {
    /// Place and type of the layers from the convolution to what is shown, first and last.
    pub layers: [String; 2],
    /// Feature maps in the pictures, and all of them.
    pub shown: [usize; 2],
    /// The smallest and the largest value, at the ends of the colours.
    pub range: [f32; 2],
    pub(super) examples: Vec<(Example, Picture)>,
}

/// What a model does on images.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// The dataset.
    pub data: String,
    /// Which of its images.
    pub part: Part,
    /// What the model says of all of them.
    pub predictions: Predictions,
    /// The mistakes that it was surest of.
    pub mistakes: Vec<Example>,
    /// The pairs of classes that are confused most, with images.
    pub confused: Vec<(Confused, Vec<Example>)>,
    /// The first layer's weights.
    pub filters: Option<Filters>,
    /// Its activations.
    pub activations: Option<Activations>,
}
