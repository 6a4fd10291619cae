//! What a model says of images.

use super::InspectError;
use super::activations::count;
use crate::engine::Engine;
use crate::model::Model;
use crate::predict::Verdict;

/// Logits of images, `[n, outputs]`, as predictions have them. `engine` must hold the model's parameters.
///
/// # Errors
/// Bytes that are no whole images, or what the engine says.
pub fn logits(model: &Model, engine: &mut dyn Engine, images: &[u8]) -> Result<Vec<f32>, InspectError> {
    let n = count(model, images)? as u32;
    Ok(model.logits_of(engine, images, &(0..n).collect::<Vec<_>>())?)
}

/// What a model says of images.
///
/// # Errors
/// As [`logits`].
pub fn verdicts(model: &Model, engine: &mut dyn Engine, images: &[u8]) -> Result<Vec<Verdict>, InspectError> {
    let logits = logits(model, engine, images)?;
    Ok(logits.chunks_exact(model.network.outputs.max(1)).map(Verdict::of).collect())
}
