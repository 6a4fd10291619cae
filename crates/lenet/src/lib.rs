//! `lenet` trains, explains and ships small convolutional image classifiers.
//!
//! The way of the data, and of the modules:
//!
//! ```text
//! data → train::sampler → engine::Batch → engine::Engine::step → parameters → model
//! ```
//!
//! What computes ([`kernel`], [`engine`]) reads no files and prints nothing; what reads files ([`data`], [`model`])
//! computes nothing; progress leaves [`train`] as events that others render.

pub mod bench;
pub mod data;
pub mod engine;
mod fs;
pub mod inspect;
pub mod kernel;
pub mod metrics;
pub mod model;
mod protobuf;
pub mod report;
pub mod spec;
pub mod sweep;
mod text;
pub mod train;

pub use fs::write_atomic;
pub use text::thousands;
