//! Convolution with fewer multiplications: Winograd's algorithm along the rows of the window ([`pairs`]), or in both
//! dimensions for windows of 3×3 with enough channels ([`square`]).

#[cfg(feature = "bench")]
pub(crate) mod bench;
#[cfg(test)]
mod kit;
pub mod pairs;
mod scratch;
pub mod square;

pub use scratch::{Inputs, Scratch};
