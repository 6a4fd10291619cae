//! What computes: operators ([`op`]), a folder each, with the naive reference beside the SIMD kernel; what they share
//! ([`plan`], [`simd`]); optimizers ([`optim`]).
//!
//! | room | computes | when it is used |
//! | --- | --- | --- |
//! | [`plan::tile`] | `acc[o][p] += w[tap][o] · x[offset[tap] + p]`, the one micro-kernel of all contractions | always |
//! | [`plan::frame`] | where an activation's values lie | always |
//! | [`plan::contract`] | plans of tiles over an operator's outputs | always |
//! | [`op::conv`] | convolution: forward, data gradient by clipped windows and phases, weight gradient | 16 samples in the lanes |
//! | [`winograd`] | convolution by fewer products: pairs of rows of windows of 3 or 5 rows, squares of windows of 3×3 | both, stride 1, several channels |
//! | [`op::dense`] | dense layers: forward, data gradient, whole-batch weight gradient | 16 samples in the lanes |
//! | [`op::epilogue`] | activation and pooling behind a layer, where windows do not overlap | both |
//! | [`op::norm`] | statistics of channels, and an epilogue behind a normalisation; maxima before the activation | both |
//! | [`op::pool`] | pooling of any window | both |
//! | [`op::activation`] | activations with their derivatives | both |
//! | [`op::add`] | sums of two values | both |
//! | [`op::dropout`] | zeros at random, by sample and position | training |
//! | [`op::rbf`] | distances to codes | 16 samples in the lanes |
//! | [`op::loss`] | softmax cross-entropy | training and evaluation |
//! | [`augment`] | what training images go through, on bytes | training |
//! | [`resample`] | bilinear resampling of bytes | augmentation |
//! | [`optim`] | SGD, Adam, AdamW, Muon; moving averages | training |
//! | [`sums`] | sums over lanes, positions and chunks; norms; what is not finite | always |
//! | [`input`] | samples into lanes and back | both |
//!
//! In a folder, `single.rs` has the kernels for a sample alone, with pixels or outputs in the lanes.
//!
//! A *chunk* is 16 samples, lane = sample: an activation is `[channel][row][column][16]`. Nothing here reads files,
//! prints, or knows of threads. Sums run in one fixed order whatever the path, the tile or the number of threads.

// Register tiles are arrays whose indices the compiler must see; iterators and their closures would hide them, and
// closures would be compiled without a path's features.
#![allow(clippy::needless_range_loop)]

pub mod aligned;
pub mod augment;
#[cfg(feature = "bench")]
pub(crate) mod bench;
pub mod denormal;
pub mod input;
#[cfg(any(test, feature = "bench"))]
pub(crate) mod kit;
pub mod op;
pub mod optim;
pub mod path;
pub mod plan;
pub mod resample;
pub mod simd;
pub mod sums;
pub mod winograd;

pub use aligned::{AlignedVec, NoMemory};
pub use path::{Path, PathError, Program, dispatch};
pub use simd::{CHUNK, Simd};
