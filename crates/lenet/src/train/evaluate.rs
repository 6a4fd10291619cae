//! Loss and hits of a dataset's images.

use crate::data::Dataset;
use crate::engine::{Batch, Engine, EngineError, Pixels, Score};
use crate::predict::forward_with_mirror;

/// Samples that are evaluated at a time.
const EVALUATION: usize = 4096;

/// Loss and hits of the first `n` images of a dataset; with `flip` by the mean logits of image and mirror image.
///
/// # Errors
/// No image, or a dataset that does not fit the engine's network.
pub fn evaluate(
    engine: &mut dyn Engine,
    data: &Dataset,
    tables: &[[f32; 256]],
    n: usize,
    flip: bool,
) -> Result<Score, EngineError> {
    let indices: Vec<u32> = (0..n.min(data.len()) as u32).collect();
    evaluate_indices(engine, data, tables, &indices, flip)
}

/// The same of the images at these positions.
pub(super) fn evaluate_indices(
    engine: &mut dyn Engine,
    data: &Dataset,
    tables: &[[f32; 256]],
    indices: &[u32],
    flip: bool,
) -> Result<Score, EngineError> {
    if indices.is_empty() {
        return Err(EngineError::Mismatch("there is no image to evaluate".into()));
    }
    let pixels = Pixels::Bytes { data: &data.images, tables };
    let mut score = Score::default();
    for part in indices.chunks(EVALUATION) {
        let batch = Batch { pixels, labels: &data.labels, indices: part };
        if flip {
            let mut logits = vec![0.0; part.len() * engine.network().outputs];
            forward_with_mirror(engine, &batch, &mut logits)?;
            score += Score::of(&logits, part.iter().map(|&i| data.labels[i as usize]))?;
        } else {
            score += engine.evaluate(&batch)?;
        }
    }
    Ok(score)
}
