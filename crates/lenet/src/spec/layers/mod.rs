//! The kinds of layers. Each stands in a file of its own: its settings, its keys, what it does to a shape.
//!
//! `layers!` below is the table of all kinds. A new one is its file, a line in the table, and an arm in each match
//! behind it.

mod activation;
mod batch_norm;
mod conv2d;
mod dense;
mod dropout;
mod fit;
mod key;
mod pool;
mod prelu;
mod rbf;
mod residual;

pub use activation::{Activation, Approximate};
pub use batch_norm::{BatchNorm, NormShape};
pub use conv2d::{Conv2d, ConvShape, lenet5_connections};
pub use dense::{Dense, DenseShape};
pub use dropout::Dropout;
pub use fit::{Misfit, SpecError};
pub use pool::{Pool, PoolShape};
pub use prelu::{Prelu, PreluShape};
pub use rbf::Rbf;
pub use residual::Residual;

pub(super) use fit::{At, LIMIT, Placed};
pub(super) use key::{Field, Key, Range};
#[cfg(feature = "train")]
pub(super) use {fit::SIZES, key::Form};

use super::shape::Shape;

/// Defines [`Layer`] by a line for each kind: what it is, its variant, its name.
macro_rules! layers {
    ($($(#[doc = $doc:literal])+ $kind:ident $(($settings:ty))? = $name:literal;)+) => {
        /// One layer of a network.
        #[derive(Clone, Debug, PartialEq)]
        #[cfg_attr(not(feature = "__exhaustive"), non_exhaustive)]
        pub enum Layer {
            $($(#[doc = $doc])+ $kind $(($settings))?,)+
            /// Elementwise activation.
            Activation(Activation),
        }

        impl Layer {
            /// The layer's type, as recipes spell it.
            pub fn kind(&self) -> &'static str {
                self.row()[0]
            }

            /// The layer's type, and what it is for those who write recipes.
            pub(super) fn row(&self) -> [&'static str; 2] {
                match self {
                    $(Layer::$kind { .. } => [$name, concat!($($doc, "\n"),+)],)+
                    Layer::Activation(a) => a.row(),
                }
            }

            /// A layer of every kind, its settings as by default.
            pub(super) fn all() -> Vec<Layer> {
                let mut all = vec![$(Layer::$kind $((<$settings>::default()))?),+];
                all.extend(Activation::ALL.map(Layer::Activation));
                all
            }
        }
    };
}

layers! {
    /// Two-dimensional convolution (cross-correlation, as PyTorch's `Conv2d`).
    Conv2d(Conv2d) = "conv2d";
    /// Fully connected layer.
    Dense(Dense) = "dense";
    /// Normalisation of each channel by the mean and variance of the batch, then a learnt scale and shift.
    BatchNorm(BatchNorm) = "batch_norm";
    /// x for x > 0, else x times a learnt slope of its channel.
    Prelu(Prelu) = "prelu";
    /// Maximum of each window; the first maximum in row-major order takes the gradient.
    MaxPool(Pool) = "max_pool";
    /// Average of each window; divides by the window's size, padding included.
    AvgPool(Pool) = "avg_pool";
    /// Average over each channel: `[c, h, w]` to `[c, 1, 1]`.
    GlobalAvgPool = "global_avg_pool";
    /// Images to features: `[c, h, w]` to `c·h·w`.
    Flatten = "flatten";
    /// Sets values to 0 at random while training, and scales the others up so that their mean stays.
    Dropout(Dropout) = "dropout";
    /// Two ways for one input, whose outputs are added.
    Residual(Residual) = "residual";
    /// Sum over each window, times a learnt weight per channel, plus a learnt bias (the subsampling of LeNet-5).
    Subsample(Pool) = "subsample";
    /// Squared distances to one fixed code per class, negated (the output of the historical LeNet-5).
    Rbf(Rbf) = "rbf";
}

impl Layer {
    /// The layer's keys and their values, in the order in which they are written.
    pub(super) fn keys(&mut self) -> Vec<Key<'_>> {
        match self {
            Layer::Conv2d(l) => l.keys(),
            Layer::Dense(l) => l.keys(),
            Layer::BatchNorm(l) => l.keys(),
            Layer::Prelu(l) => l.keys(),
            Layer::MaxPool(l) | Layer::AvgPool(l) | Layer::Subsample(l) => l.keys(),
            Layer::Dropout(l) => l.keys(),
            Layer::Residual(l) => l.keys(),
            Layer::Rbf(l) => l.keys(),
            Layer::Activation(a) => a.keys(),
            Layer::GlobalAvgPool | Layer::Flatten => Vec::new(),
        }
    }

    /// What the layer is at its place.
    pub(super) fn fit(&self, at: &At) -> Result<Fit<'_>, SpecError> {
        let unchanged = |geometry| Ok(Placed::new(geometry, at.input));
        let placed = match self {
            Layer::Conv2d(l) => l.fit(at),
            Layer::Dense(l) => l.fit(at),
            Layer::BatchNorm(l) => l.fit(at),
            Layer::Prelu(l) => l.fit(at),
            Layer::MaxPool(l) => l.fit(at, Geometry::MaxPool),
            Layer::AvgPool(l) => l.fit(at, Geometry::AvgPool),
            Layer::GlobalAvgPool => at.image().and_then(|[_, h, w]| Pool::new([h, w]).fit(at, Geometry::AvgPool)),
            Layer::Subsample(l) => l.fit_subsample(at),
            Layer::Flatten => Ok(Placed::new(Geometry::Flatten, Shape::Flat(at.input.len()))),
            Layer::Dropout(l) => unchanged(Geometry::Dropout(l.rate)).map(|p| p.said([l.rate.to_string()])),
            Layer::Rbf(l) => l.fit(at),
            Layer::Activation(a) => a.fit(at),
            Layer::Residual(l) => return Ok(Fit::Ways(l)),
        };
        placed.map(Fit::One)
    }

    /// Whether what goes out always has the shape of what comes in.
    #[cfg(feature = "train")]
    pub(super) fn keeps_shape(&self) -> bool {
        match self {
            Layer::BatchNorm(_) | Layer::Prelu(_) | Layer::Dropout(_) | Layer::Activation(_) => true,
            Layer::Conv2d(_) | Layer::Dense(_) | Layer::Residual(_) | Layer::Rbf(_) => false,
            Layer::MaxPool(_) | Layer::AvgPool(_) | Layer::GlobalAvgPool | Layer::Subsample(_) | Layer::Flatten => {
                false
            }
        }
    }

    /// The number of units, of a layer that has such.
    #[cfg(feature = "train")]
    pub(super) fn units(&mut self) -> Option<&mut usize> {
        self.keys().into_iter().find_map(|key| if let Field::Units(units) = key.field { Some(units) } else { None })
    }
}

/// What a layer computes, with its sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(not(feature = "__exhaustive"), non_exhaustive)]
#[allow(missing_docs)]
pub enum Geometry {
    Conv2d(ConvShape),
    AvgPool(PoolShape),
    MaxPool(PoolShape),
    /// Sum over a window, times a weight, plus a bias.
    Subsample(PoolShape),
    Flatten,
    Dense(DenseShape),
    Activation(Activation),
    BatchNorm(NormShape),
    Prelu(PreluShape),
    /// With the probability of a zero.
    Dropout(f32),
    /// The sum of the layer's two sources.
    Add,
    /// Distances to the codes in the layer's buffer, `[outputs, inputs]`.
    Rbf(DenseShape),
}

/// What sort of layer one is, for those who show networks or look for layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "__exhaustive"), non_exhaustive)]
pub enum Sort {
    /// Sums over windows and channels.
    Convolution,
    /// Sums over all that comes in.
    Dense,
    /// Windows of each channel.
    Pooling,
    /// Normalisation of each channel.
    Norm,
    /// A function of each value.
    Function,
    /// What evaluation passes on as it comes.
    Pass,
    /// The sum of two values.
    Sum,
}

impl Geometry {
    /// What sort of layer it is.
    pub fn sort(&self) -> Sort {
        match self {
            Geometry::Conv2d(_) => Sort::Convolution,
            Geometry::Dense(_) | Geometry::Rbf(_) => Sort::Dense,
            Geometry::AvgPool(_) | Geometry::MaxPool(_) | Geometry::Subsample(_) => Sort::Pooling,
            Geometry::BatchNorm(_) => Sort::Norm,
            Geometry::Activation(_) | Geometry::Prelu(_) => Sort::Function,
            Geometry::Flatten | Geometry::Dropout(_) => Sort::Pass,
            Geometry::Add => Sort::Sum,
        }
    }
}

/// What a layer becomes in a network.
pub(super) enum Fit<'a> {
    /// One layer.
    One(Placed),
    /// The layers of two ways, and their sum.
    Ways(&'a Residual),
}

macro_rules! into_layers {
    ($($kind:ident)+) => {
        $(impl From<$kind> for Layer {
            fn from(layer: $kind) -> Self {
                Layer::$kind(layer)
            }
        })+
    };
}

into_layers! { Activation BatchNorm Conv2d Dense Dropout Prelu Rbf Residual }

/// Rows and columns, of a window for example; one number stands for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair([usize; 2]);

impl From<usize> for Pair {
    fn from(both: usize) -> Self {
        Pair([both; 2])
    }
}

impl From<[usize; 2]> for Pair {
    fn from(pair: [usize; 2]) -> Self {
        Pair(pair)
    }
}

impl From<Pair> for [usize; 2] {
    fn from(pair: Pair) -> Self {
        pair.0
    }
}
