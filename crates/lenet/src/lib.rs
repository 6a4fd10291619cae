//! `lenet` trains, explains and ships small convolutional image classifiers.
//!
//! The way of the data, and of the modules:
//!
//! ```text
//! data → train::sampler → engine::Batch → engine::Engine::step → parameters → model
//! ```
//!
//! What computes ([`engine`], [`predict`]) reads no files and prints nothing; what reads files ([`data`],
//! [`model`]) computes nothing; progress leaves [`train`] as events that others render.
//!
//! # In other programs
//!
//! A [`train::Session`] trains and tells its listener what happens, a [`predict::Classifier`] classifies pictures:
//!
//! ```no_run
//! use lenet::data::{self, CacheOptions, picture::Invert};
//! use lenet::predict::Classifier;
//! use lenet::spec::Recipe;
//! use lenet::train::{Control, Session};
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let recipe = Recipe::load("lenet")?;
//! let data = data::load(&recipe.data.source, &CacheOptions::from_env(), &mut |_| {})?;
//! let model = Session::new(&recipe, &data)?.run_dir("runs/mine").train(|_| Control::Continue)?;
//! let mut classifier = Classifier::new(model)?;
//! println!("{}", classifier.classify_picture(&std::fs::read("shoe.png")?, Invert::Auto)?.label());
//! # Ok(())
//! # }
//! ```
//!
//! `examples/` holds a program for each. Kernels and plans are not public.
//!
//! On WebAssembly (`wasm32-unknown-unknown`, with `-C target-feature=+simd128`) everything without the feature `train` runs,
//! training steps included; multiply-adds are rounded twice there ([`engine::Path`]).
//!
//! # Features
//!
//! All but `png` are on by default. Without any there is what prediction needs, without threads and with one package,
//! `libm`: [`model::Model`], [`predict::Classifier`], the CPU [`engine`]; and what a training loop of one's own needs:
//! [`engine::Engine::step`], augmentation, initialisers.
//!
//! | feature | what it adds |
//! | --- | --- |
//! | `train` | recipes and presets, datasets from files, the training loop with checkpoints and run directories, saving models, PyTorch state dicts, inspection, sweeps; checks of SHA-256 sums |
//! | `threads` | an engine on several threads; without, it runs on the calling one, whatever [`engine::CpuOptions`] say |
//! | `avx512` | the path for CPUs with AVX-512; without, they take that for AVX2, with the same bits |
//! | `gradients` | gradients at full speed; without, the same ones by the smallest kernels (implied by `train`) |
//! | `images` | pictures as PNG, JPEG, WebP and BMP |
//! | `png` | without `images`: pictures as PNG, by four small packages |
//! | `download` | datasets from mirrors (implies `train`) |
//! | `onnx` | ONNX import and export (implies `train`) |
//! | `report` | pictures of what is inside a network, reports, contact sheets (implies `train`) |
//! | `bench` | measurements of kernels and networks (implies `train`) |

#[cfg(feature = "bench")]
pub mod bench;
pub mod data;
#[cfg(feature = "report")]
pub mod draw;
pub mod engine;
#[cfg(feature = "train")]
mod fs;
#[cfg(feature = "train")]
pub mod inspect;
mod json;
// What only this workspace's tests and engines use is no dead code.
#[cfg_attr(not(feature = "__kernels"), allow(dead_code, unused_imports))]
#[cfg(not(feature = "__kernels"))]
mod kernel;
#[cfg(feature = "__kernels")]
#[doc(hidden)]
pub mod kernel;
#[cfg(feature = "train")]
pub mod metrics;
pub mod model;
pub mod predict;
#[cfg(feature = "train")]
mod protobuf;
mod random;
#[cfg(feature = "report")]
pub mod report;
mod softmax;
pub mod spec;
#[cfg(feature = "train")]
pub mod sweep;
#[cfg(feature = "train")]
mod text;
pub mod train;

#[cfg(feature = "train")]
pub use fs::write_atomic;
pub use softmax::{argmax, softmax};
#[cfg(feature = "train")]
pub use text::thousands;
