//! Convolution: forward, gradient of the input, gradient of the weights. Here by the direct sum; algorithms with fewer products
//! are in [`crate::kernel::winograd`].

mod algorithm;
#[cfg(feature = "bench")]
pub(crate) mod bench;
mod direct;
mod forward;
mod gradient;
pub mod naive;
pub(crate) mod scratch;
mod weight;

pub use algorithm::{Algorithm, Inputs, Weights};
pub use direct::Direct;
pub use forward::forward_single;
pub use gradient::{GRADIENT_BORDER, gradient};
pub use scratch::Scratch;
pub use weight::WeightGradient;

#[cfg(test)]
pub(crate) mod tests;
