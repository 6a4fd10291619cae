//! The network as data: what the layers are, what shapes they give, and the recipes that name them.
//!
//! A [`Spec`] is a list of [`Layer`]s over an input shape. [`Spec::infer`] turns it into a [`Network`]: every layer with
//! its shapes, its geometry, its place in the parameter slab and its cost. Everything that executes a network starts
//! from a [`Network`]; nothing else computes a shape.

mod augmentation;
mod infer;
mod json;
mod kit;
mod normalization;
mod shape;
mod training;

#[cfg(feature = "train")]
mod augment;
#[cfg(feature = "train")]
mod difference;
#[cfg(feature = "train")]
mod document;
#[cfg(feature = "train")]
mod error;
#[cfg(feature = "train")]
mod problems;
#[cfg(feature = "train")]
mod read;
#[cfg(feature = "train")]
mod read_train;
#[cfg(feature = "train")]
mod recipe;
#[cfg(feature = "train")]
mod schema;
#[cfg(feature = "train")]
mod summary;
#[cfg(feature = "train")]
mod write;

pub use crate::json::JsonError;
pub use augmentation::{Augment, Border, Erase, Fill};
pub use infer::SpecError;
pub use kit::{Optimizer, OptimizerKind, Schedule, ScheduleKind};
pub use normalization::Normalization;
pub use shape::{
    BufferInfo, ConvShape, DenseShape, Geometry, LayerInfo, Network, NormShape, ParameterInfo, PoolShape, Role, Shape,
};
pub use training::{Init, TrainRecipe};

#[cfg(feature = "train")]
pub use augment::{ClassWeights, Normalize, TargetRecipe};
#[cfg(feature = "train")]
pub use difference::{Difference, differences};
#[cfg(feature = "train")]
pub use document::Document;
#[cfg(feature = "train")]
pub use error::{Place, RecipeError, UnknownInit};
#[cfg(feature = "train")]
pub use recipe::{DataRecipe, ModelRecipe, PRESETS, Recipe, preset};
#[cfg(feature = "train")]
pub use schema::json_schema;
#[cfg(feature = "train")]
pub use summary::{Summary, SummaryRow};

/// A 2-d convolution (cross-correlation, as PyTorch's `Conv2d`). Pairs are (rows, columns).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Output channels.
    pub channels: usize,
    /// Window, rows × columns.
    pub window: [usize; 2],
    /// Step of the window, rows × columns.
    pub stride: [usize; 2],
    /// Zeros added on each side, rows × columns.
    pub padding: [usize; 2],
    /// Groups of channels that are convolved apart; as many as input channels is a depthwise convolution.
    pub groups: usize,
    /// The input channels that each output channel sees; `None` for all.
    pub connections: Option<Vec<Vec<usize>>>,
    /// Whether a bias is added to each output channel.
    pub bias: bool,
}

impl Default for Conv2d {
    fn default() -> Self {
        let (window, stride, padding) = ([1, 1], [1, 1], [0, 0]);
        Conv2d { channels: 1, window, stride, padding, groups: 1, connections: None, bias: true }
    }
}

/// Which input channels each of the 16 maps of LeNet-5's second convolution sees (LeCun, Bottou, Bengio, Haffner:
/// Gradient-Based Learning Applied to Document Recognition; Proc. IEEE 86, 1998; table I).
pub fn lenet5_connections() -> Vec<Vec<usize>> {
    let ring = |start: usize, picks: &[usize]| {
        let mut maps: Vec<usize> = picks.iter().map(|p| (start + p) % 6).collect();
        maps.sort_unstable();
        maps
    };
    let three = (0..6).map(|i| ring(i, &[0, 1, 2]));
    let four = (0..6).map(|i| ring(i, &[0, 1, 2, 3]));
    let apart = (0..3).map(|i| ring(i, &[0, 1, 3, 4]));
    three.chain(four).chain(apart).chain([(0..6).collect()]).collect()
}

/// A 2-d pooling window. Pairs are (rows, columns).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Window, rows × columns.
    pub window: [usize; 2],
    /// Step of the window, rows × columns.
    pub stride: [usize; 2],
    /// Padding on each side: zeros that count for the average, minus infinity for the maximum.
    pub padding: [usize; 2],
}

/// A fully connected layer.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// x for x > 0, else x / 100
    LeakyRelu,
    /// x for x > 0, else eˣ - 1
    Elu,
    /// x · Φ(x), Φ the distribution function of the standard normal
    Gelu,
    /// x · sigmoid(x)
    Silu,
    /// x · min(max(x + 3, 0), 6) / 6
    HardSwish,
    /// 1.7159 · tanh(2x / 3)
    ScaledTanh,
    /// ln(1 + eˣ)
    Softplus,
}

impl Activation {
    /// Every activation.
    pub const ALL: [Activation; 10] = [
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::LeakyRelu,
        Activation::Elu,
        Activation::Gelu,
        Activation::Silu,
        Activation::HardSwish,
        Activation::ScaledTanh,
        Activation::Softplus,
    ];

    /// The name, as recipes spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Activation::Sigmoid => "sigmoid",
            Activation::Tanh => "tanh",
            Activation::Relu => "relu",
            Activation::LeakyRelu => "leaky_relu",
            Activation::Elu => "elu",
            Activation::Gelu => "gelu",
            Activation::Silu => "silu",
            Activation::HardSwish => "hard_swish",
            Activation::ScaledTanh => "scaled_tanh",
            Activation::Softplus => "softplus",
        }
    }
}

/// Normalisation of each channel by the mean and variance of the batch, then a learnt scale and shift (PyTorch's
/// `BatchNorm2d` and `BatchNorm1d`); evaluation uses running averages of both.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchNorm {
    /// Added to the variance.
    pub eps: f32,
    /// Share of a batch in the running averages.
    pub momentum: f32,
}

impl Default for BatchNorm {
    fn default() -> Self {
        BatchNorm { eps: 1e-5, momentum: 0.1 }
    }
}

/// Sets each value to 0 with a probability while training, and scales the others up by its complement's inverse.
#[derive(Clone, Debug, PartialEq)]
pub struct Dropout {
    /// Probability, 0 to less than 1.
    pub rate: f32,
}

/// Two ways for one input, whose outputs are added. In files the layers are named `INDEX.body.0`, `INDEX.shortcut.0`.
#[derive(Clone, Debug, PartialEq)]
pub struct Residual {
    /// The layers of one way.
    pub body: Vec<Layer>,
    /// The layers of the other; none for the input itself.
    pub shortcut: Vec<Layer>,
}

/// Distances to one fixed code a class: `y[o] = -Σ (x[i] - code[o][i])²`, the output of the historical LeNet-5.
#[derive(Clone, Debug, PartialEq)]
pub struct Rbf {
    /// Number of codes.
    pub units: usize,
}

/// One layer of a network.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// Convolution.
    Conv2d(Conv2d),
    /// Average pooling; divides by the window's size, padding included.
    AvgPool(Pool),
    /// Maximum pooling; the first maximum in row-major order takes the gradient.
    MaxPool(Pool),
    /// Average over each channel, `[c, h, w]` to `[c, 1, 1]`.
    GlobalAvgPool,
    /// Sum over a window, times a learnt weight a channel, plus a learnt bias (LeNet-5's subsampling).
    Subsample(Pool),
    /// `[c, h, w]` to `c·h·w` features.
    Flatten,
    /// Fully connected layer.
    Dense(Dense),
    /// Elementwise activation.
    Activation(Activation),
    /// Batch normalisation.
    BatchNorm(BatchNorm),
    /// Dropout.
    Dropout(Dropout),
    /// Residual block.
    Residual(Residual),
    /// Distances to codes.
    Rbf(Rbf),
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
            Layer::GlobalAvgPool => "global_avg_pool",
            Layer::Subsample(_) => "subsample",
            Layer::Activation(a) => a.name(),
            Layer::BatchNorm(_) => "batch_norm",
            Layer::Dropout(_) => "dropout",
            Layer::Residual(_) => "residual",
            Layer::Rbf(_) => "rbf",
        }
    }
}

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
