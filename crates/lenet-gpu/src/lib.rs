//! Training on a GPU: the [`lenet::engine::Engine`] on Burn's tensors.
//!
//! ```text
//! dataset's bytes ──once──▸ device: samples → network → loss → gradients → optimizer → parameters
//!                                      └ losses, hits ──at most once a second──▸ host
//! ```
//!
//! [`adapters`] says what there is, [`open`] takes one, [`GpuEngine`] trains on it. Formulas are the CPU's; sums run in
//! another order, so that bits differ from the CPU's, and may between GPUs.

mod device;
mod dropout;
mod engine;
mod failure;
mod network;
mod optimizer;
mod samples;
mod tally;

pub use device::{Adapter, Gpu, NoGpu, adapters, open};
pub use engine::GpuEngine;
