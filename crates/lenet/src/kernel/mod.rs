//! Operators, one file each: the SIMD kernel, its naive reference beside it, its tests.
//!
//! | file | computes | when it is used |
//! | --- | --- | --- |
//! | [`tile`] | `acc[o][p] += w[tap][o] · x[offset[tap] + p]`, the one micro-kernel of all contractions | always |
//! | [`frame`] | where an activation's values lie | always |
//! | [`contract`] | plans of tiles over an operator's outputs | always |
//! | [`conv`] | convolution: forward, data gradient by clipped windows and phases, weight gradient | 16 samples in the lanes |
//! | [`winograd`] | convolution by fewer products: pairs of rows of windows of 3 or 5 rows, squares of windows of 3×3 | both, stride 1, several channels |
//! | [`dense`] | dense layers: forward, data gradient, whole-batch weight gradient | 16 samples in the lanes |
//! | [`epilogue`] | activation and pooling behind a layer, where windows do not overlap | both |
//! | [`pool`] | pooling of any window | both |
//! | [`activation`] | activations with their derivatives | both |
//! | [`norm`] | statistics of channels, and the way back through a normalisation | 16 samples in the lanes |
//! | [`maximum`] | normalisation, activation and maximum in one | 16 samples in the lanes |
//! | [`dropout`] | zeros at random, by sample and position | training |
//! | [`rbf`] | distances to codes | 16 samples in the lanes |
//! | [`loss`] | softmax cross-entropy | training and evaluation |
//! | [`augment`] | what training images go through, on bytes | training |
//! | [`resample`] | bilinear resampling of bytes | augmentation |
//! | [`optimizer`] | SGD, Adam, AdamW, Muon; moving averages, norms | training |
//! | [`orthogonal`] | the orthogonal matrix of a Muon step | training |
//! | [`input`] | samples into lanes and back | 16 samples in the lanes |
//! | [`single`] | the same operators with pixels or outputs in the lanes | inference on few samples |
//!
//! A *chunk* is 16 samples, lane = sample: an activation is `[channel][row][column][16]`. Nothing here reads files,
//! prints, or knows of threads. Sums run in one fixed order whatever the path, the tile or the number of threads.

// Register tiles are arrays whose indices the compiler must see; iterators and their closures would hide them, and
// closures would be compiled without a path's features.
#![allow(clippy::needless_range_loop)]

pub mod activation;
pub mod aligned;
pub mod augment;
pub mod contract;
pub mod conv;
pub mod denormal;
pub mod dense;
pub mod dropout;
pub mod elementwise;
pub mod epilogue;
pub mod frame;
pub mod input;
pub mod loss;
pub mod maximum;
pub mod norm;
pub mod optimizer;
pub mod orthogonal;
pub mod path;
pub mod pool;
pub mod rbf;
pub mod resample;
pub mod simd;
pub mod single;
pub mod tile;
pub mod winograd;

pub use aligned::{AlignedVec, NoMemory};
pub use path::{Path, PathError, Program, dispatch};
pub use simd::{CHUNK, Simd};
