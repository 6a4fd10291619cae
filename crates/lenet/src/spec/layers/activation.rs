//! Elementwise activations.

use super::Key;
use crate::spec::named::named;

named! {
    /// An elementwise activation function.
    pub enum Activation {
        /// 1 / (1 + e⁻ˣ)
        Sigmoid = "sigmoid",
        /// tanh x
        Tanh = "tanh",
        /// max(x, 0), with derivative 0 at 0
        Relu = "relu",
        /// x for x > 0, else x / 100
        LeakyRelu = "leaky_relu",
        /// x for x > 0, else eˣ - 1
        Elu = "elu",
        /// x · Φ(x), Φ the distribution function of the standard normal
        Gelu = "gelu",
        /// x · sigmoid(x)
        Silu = "silu",
        /// x · min(max(x + 3, 0), 6) / 6
        HardSwish = "hard_swish",
        /// 1.7159 · tanh(2x / 3)
        ScaledTanh = "scaled_tanh",
        /// ln(1 + eˣ)
        Softplus = "softplus",
    }
}

impl Activation {
    pub(super) fn keys(&mut self) -> Vec<Key<'_>> {
        match self {
            Activation::Sigmoid
            | Activation::Tanh
            | Activation::Relu
            | Activation::LeakyRelu
            | Activation::Elu
            | Activation::Gelu
            | Activation::Silu
            | Activation::HardSwish
            | Activation::ScaledTanh
            | Activation::Softplus => Vec::new(),
        }
    }
}
