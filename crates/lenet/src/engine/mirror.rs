//! Averages over images and their mirror images.

use super::{Batch, Engine, EngineError, Pixels};

/// As [`Engine::forward`], but each logit is the mean of those of the image and of its mirror image (left and right
/// exchanged). Takes bytes.
///
/// # Errors
/// As [`Engine::forward`], and pixels that are floats.
pub fn forward_with_mirror(engine: &mut dyn Engine, batch: &Batch, logits: &mut [f32]) -> Result<(), EngineError> {
    let Pixels::Bytes { data, tables } = batch.pixels else {
        return Err(EngineError::Mismatch("mirror images are made of bytes, the batch has floats".into()));
    };
    // This checks the batch as well.
    engine.forward(batch, logits)?;
    let [c, h, w] = engine.network().input;
    let sample = c * h * w;
    let mut mirrored = Vec::with_capacity(batch.indices.len() * sample);
    for &index in batch.indices {
        let image = &data[index as usize * sample..][..sample];
        image.chunks_exact(w).for_each(|row| mirrored.extend(row.iter().rev()));
    }
    let indices: Vec<u32> = (0..batch.indices.len() as u32).collect();
    let pixels = Pixels::Bytes { data: &mirrored, tables };
    let mut other = vec![0.0; logits.len()];
    engine.forward(&Batch { pixels, labels: &[], indices: &indices }, &mut other)?;
    logits.iter_mut().zip(&other).for_each(|(a, b)| *a = 0.5 * (*a + b));
    Ok(())
}
