//! The network as data: what the layers are, what shapes they give, and the recipes that name them.
//!
//! A [`Spec`] is a list of [`Layer`]s over an input shape. [`Spec::infer`] turns it into a [`Network`]: every layer with
//! its shapes, its geometry, its place in the parameter slab and its cost. Everything that executes a network starts
//! from a [`Network`]; nothing else computes a shape.

mod augmentation;
mod infer;
mod json;
mod keyed;
mod kit;
mod layers;
mod named;
mod network;
mod normalization;
mod shape;
mod training;

#[cfg(feature = "train")]
mod difference;
#[cfg(feature = "train")]
mod document;
#[cfg(feature = "train")]
mod error;
#[cfg(feature = "train")]
mod form;
#[cfg(feature = "train")]
mod node;
#[cfg(feature = "train")]
mod problems;
#[cfg(feature = "train")]
mod read;
#[cfg(feature = "train")]
mod recipe;
#[cfg(feature = "train")]
mod schema;
#[cfg(feature = "train")]
mod summary;
#[cfg(feature = "train")]
mod targets;
#[cfg(feature = "train")]
mod write;

pub use crate::json::JsonError;
pub use augmentation::{Augment, Border, Erase, Fill};
pub use kit::{Optimizer, OptimizerKind, Schedule, ScheduleKind};
pub use layers::*;
pub use network::{BufferInfo, LayerInfo, Network, ParameterInfo};
pub use normalization::Normalization;
pub use shape::{Role, Shape};
pub use training::{Init, TrainRecipe};

#[cfg(feature = "train")]
pub use difference::{Difference, differences};
#[cfg(feature = "train")]
pub use document::Document;
#[cfg(feature = "train")]
pub use error::{Place, Problem, RecipeError};
#[cfg(feature = "train")]
pub use normalization::Normalize;
#[cfg(feature = "train")]
pub use recipe::{DataRecipe, ModelRecipe, PRESETS, Recipe, preset};
#[cfg(feature = "train")]
pub use schema::json_schema;
#[cfg(feature = "train")]
pub use summary::{Summary, SummaryRow};
#[cfg(feature = "train")]
pub use targets::{ClassWeights, TargetRecipe};
#[cfg(feature = "train")]
pub use training::UnknownInit;

/// A network as data: the input shape and the layers, first to last.
///
/// As JSON it is `{"input": [1, 28, 28], "layers": [{"type": "flatten"}, …]}`. Reading checks the form alone: whether the
/// sizes make sense, [`Spec::infer`] says.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Channels, rows, columns of one input image.
    pub input: [usize; 3],
    /// The layers in order. A layer's index here is its name in files (`3.weight`), as in PyTorch's `Sequential`.
    pub layers: Vec<Layer>,
}

impl Spec {
    /// A network over images of these channels, rows and columns.
    ///
    /// ```
    /// use lenet::spec::{Activation, Conv2d, Dense, Layer, Pool, Spec};
    /// let spec = Spec::new(
    ///     [1, 28, 28],
    ///     [
    ///         Conv2d::new(6, 5).padding(2).into(),
    ///         Activation::Relu.into(),
    ///         Layer::MaxPool(Pool::new(2)),
    ///         Layer::Flatten,
    ///         Dense::new(10).into(),
    ///     ],
    /// );
    /// assert_eq!(spec.infer()?.learnt(), 6 * 25 + 6 + 6 * 14 * 14 * 10 + 10);
    /// # Ok::<(), lenet::spec::SpecError>(())
    /// ```
    pub fn new(input: [usize; 3], layers: impl IntoIterator<Item = Layer>) -> Self {
        Spec { input, layers: layers.into_iter().collect() }
    }
}
