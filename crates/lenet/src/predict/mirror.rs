//! Averages over images and their mirror images.

use crate::engine::{Batch, Engine, EngineError, Pixels};

/// As [`Engine::forward`], but each logit is the mean of those of the image and of its mirror image (left and right
/// exchanged).
///
/// # Errors
/// As [`Engine::forward`].
pub fn forward_with_mirror(engine: &mut dyn Engine, batch: &Batch, logits: &mut [f32]) -> Result<(), EngineError> {
    // This checks the batch as well.
    engine.forward(batch, logits)?;
    let shape = engine.network().input;
    let indices: Vec<u32> = (0..batch.indices.len() as u32).collect();
    let mut other = vec![0.0; logits.len()];
    let mut forward = |pixels| engine.forward(&Batch { pixels, labels: &[], indices: &indices }, &mut other);
    match batch.pixels {
        Pixels::Bytes { data, tables } => {
            forward(Pixels::Bytes { data: &mirrored(data, batch.indices, shape), tables })?
        }
        Pixels::Floats(data) => forward(Pixels::Floats(&mirrored(data, batch.indices, shape)))?,
    }
    logits.iter_mut().zip(&other).for_each(|(a, b)| *a = 0.5 * (*a + b));
    Ok(())
}

/// The mirror images of some samples of `[n, c, h, w]`, one after the other.
fn mirrored<T: Copy>(data: &[T], indices: &[u32], [c, h, w]: [usize; 3]) -> Vec<T> {
    let sample = c * h * w;
    indices.iter().flat_map(|&i| mirror(&data[i as usize * sample..][..sample], w)).collect()
}

/// Rows of `width` values, each from its end.
pub(crate) fn mirror<T: Copy>(rows: &[T], width: usize) -> impl Iterator<Item = T> {
    rows.chunks_exact(width.max(1)).flat_map(|row| row.iter().rev().copied())
}
