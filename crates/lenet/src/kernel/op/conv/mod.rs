//! Convolution: forward, gradient of the input, gradient of the weights.

#[cfg(feature = "bench")]
pub(crate) mod bench;
mod forward;
mod gradient;
pub mod naive;
mod weight;

pub use forward::{forward, forward_single};
pub use gradient::{GRADIENT_BORDER, gradient};
pub use weight::WeightGradient;
