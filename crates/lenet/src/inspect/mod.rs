//! Looking inside: summaries, activations, saliency, scores of strangeness; as arrays and as pictures.
//!
//! Everything here takes images as bytes, `[n, c, h, w]`, as [`crate::data::picture::prepare`] and datasets give them, and
//! normalises them as prediction does. Values are computed by the naive reference in f64
//! ([`crate::engine::reference`]), which has every layer's; logits of many images by an engine.

mod activations;
mod arrays;
mod error;
#[cfg(feature = "report")]
pub mod picture;
mod saliency;
mod verdicts;

pub use activations::{
    ClassMean, LayerValues, activations, class_means, filters, find_class, find_layers, first_two, noise,
};
#[cfg(feature = "report")]
pub(crate) use activations::{Doubles, stage_end};
pub use arrays::{Array, npz, safetensors};
pub use error::InspectError;
pub use saliency::{gradient_times_input, occlusion, occlusion_window};
pub use verdicts::{logits, verdicts};
