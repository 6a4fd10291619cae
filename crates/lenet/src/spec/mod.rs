//! The network as data: what the layers are, what shapes they give, and the recipes that name them.
//!
//! A [`Spec`] is a list of [`Layer`]s over an input shape. [`Spec::infer`] turns it into a [`Network`]: every layer with
//! its shapes, its geometry, its place in the parameter slab and its cost. Everything that executes a network starts
//! from a [`Network`]; nothing else computes a shape.

mod config;
mod document;
mod error;
mod kit;
mod read;
mod read_train;
mod recipe;
mod shape;
mod write;

pub use document::Document;
pub use error::{Place, RecipeError, UnknownInit};
pub use kit::{Optimizer, OptimizerKind, Schedule, ScheduleKind};
pub use recipe::{DataRecipe, Init, ModelRecipe, PRESETS, Recipe, TrainRecipe, preset};
pub use shape::{
    ConvShape, DenseShape, Geometry, LayerInfo, Network, ParameterInfo, PoolShape, Role, Shape, SpecError,
};

use serde::{Deserialize, Serialize};

/// A 2-d convolution (cross-correlation, as PyTorch's `Conv2d`). Pairs are (rows, columns).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conv2d {
    /// Output channels.
    pub channels: usize,
    /// Window, rows × columns.
    pub window: [usize; 2],
    /// Step of the window, rows × columns.
    pub stride: [usize; 2],
    /// Zeros added on each side, rows × columns.
    pub padding: [usize; 2],
    /// Whether a bias is added to each output channel.
    pub bias: bool,
}

/// A 2-d pooling window. Pairs are (rows, columns).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    /// Window, rows × columns.
    pub window: [usize; 2],
    /// Step of the window, rows × columns.
    pub stride: [usize; 2],
    /// Padding on each side: zeros that count for the average, minus infinity for the maximum.
    pub padding: [usize; 2],
}

/// A fully connected layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dense {
    /// Output features.
    pub units: usize,
    /// Whether a bias is added.
    pub bias: bool,
}

/// An elementwise activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// 1 / (1 + e⁻ˣ)
    Sigmoid,
    /// tanh x
    Tanh,
    /// max(x, 0), with derivative 0 at 0
    Relu,
}

/// One layer of a network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "config::LayerForm", into = "config::LayerForm")]
pub enum Layer {
    /// Convolution.
    Conv2d(Conv2d),
    /// Average pooling; divides by the window's size, padding included.
    AvgPool(Pool),
    /// Maximum pooling; the first maximum in row-major order takes the gradient.
    MaxPool(Pool),
    /// `[c, h, w]` to `c·h·w` features.
    Flatten,
    /// Fully connected layer.
    Dense(Dense),
    /// Elementwise activation.
    Activation(Activation),
}

impl Layer {
    /// The layer's type, as recipes spell it.
    pub fn kind(&self) -> &'static str {
        match self {
            Layer::Conv2d(_) => "conv2d",
            Layer::AvgPool(_) => "avg_pool",
            Layer::MaxPool(_) => "max_pool",
            Layer::Flatten => "flatten",
            Layer::Dense(_) => "dense",
            Layer::Activation(Activation::Sigmoid) => "sigmoid",
            Layer::Activation(Activation::Tanh) => "tanh",
            Layer::Activation(Activation::Relu) => "relu",
        }
    }
}

/// A network as data: the input shape and the layers, first to last.
///
/// As JSON it is `{"input": [1, 28, 28], "layers": [{"type": "flatten"}, …]}`. Reading checks the form alone: whether the
/// sizes make sense, [`Spec::infer`] says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// Channels, rows, columns of one input image.
    pub input: [usize; 3],
    /// The layers in order. A layer's index here is its name in files (`3.weight`), as in PyTorch's `Sequential`.
    pub layers: Vec<Layer>,
}
