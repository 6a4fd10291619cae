//! Which pixels a logit hangs on: gradient × input, and what it loses when a square is covered.

use super::InspectError;
use super::activations::{Doubles, count, sample};
use super::verdicts::logits;
use crate::engine::Engine;
use crate::model::Model;
use crate::predict::mirror;

/// Steps of the covering square along a side, at most: larger images are covered in larger steps.
const STEPS: usize = 32;

/// Gradient × input of one logit an image: `∂ logit / ∂ x · x`, x the normalised input; `[n, c, h, w]`.
///
/// Where predictions average the logits of an image and its mirror image, so does this.
///
/// # Errors
/// Bytes that are no whole images, one for each target, or a target that is no output.
pub fn gradient_times_input(model: &Model, images: &[u8], targets: &[usize]) -> Result<Vec<f32>, InspectError> {
    check(model, images, targets)?;
    let (network, doubles) = (&model.network, Doubles::of(model));
    let weights: Vec<Vec<f64>> =
        targets.iter().map(|&t| (0..network.outputs).map(|o| f64::from(u8::from(o == t))).collect()).collect();
    let x = doubles.inputs(network, images);
    let mut gradients = doubles.reference(network).input_gradient(&x, &weights);
    if model.flip_test {
        let mirrored = doubles.inputs(network, &mirror(images, network.input[2]).collect::<Vec<_>>());
        let others = doubles.reference(network).input_gradient(&mirrored, &weights);
        for (gradient, other) in gradients.iter_mut().zip(&others) {
            let back = mirror(other, network.input[2]);
            gradient.iter_mut().zip(back).for_each(|(a, b)| *a = 0.5 * (*a + b));
        }
    }
    let products = gradients.iter().zip(&x).flat_map(|(g, x)| g.iter().zip(x).map(|(g, x)| (g * x) as f32));
    Ok(products.collect())
}

fn check(model: &Model, images: &[u8], targets: &[usize]) -> Result<(), InspectError> {
    let n = count(model, images)?;
    if n != targets.len() {
        return Err(InspectError::Images { found: images.len(), sample: sample(&model.network) * targets.len() });
    }
    match targets.iter().find(|t| **t >= model.network.outputs) {
        Some(t) => Err(InspectError::UnknownClass { name: t.to_string(), known: model.classes.join(", ") }),
        None => Ok(()),
    }
}

/// Side of the covering square, in pixels: a sixth of the shorter side of the image.
pub fn occlusion_window(model: &Model) -> usize {
    let [_, h, w] = model.network.input;
    (h.min(w).div_ceil(6)).max(1)
}

/// What one logit an image loses when a square around a pixel is set to the mean of the normalisation (an input of 0): for
/// every pixel the mean over all squares that cover it; `[n, h, w]`. `engine` must hold the model's parameters.
///
/// # Errors
/// As [`gradient_times_input`], and what the engine says.
pub fn occlusion(
    model: &Model,
    engine: &mut dyn Engine,
    images: &[u8],
    targets: &[usize],
) -> Result<Vec<f32>, InspectError> {
    check(model, images, targets)?;
    let [_, h, w] = model.network.input;
    let (side, step) = (occlusion_window(model), h.max(w).div_ceil(STEPS));
    let fill: Vec<u8> = model.normalization.mean.iter().map(|m| (m * 255.0).round().clamp(0.0, 255.0) as u8).collect();
    // Squares may stick out, so that the border is covered as often as the middle.
    let starts = |len: usize| -> Vec<isize> { (1 - side as isize..len as isize).step_by(step).collect() };
    let clip = |start: isize, len: usize| (start.max(0) as usize)..((start + side as isize).max(0) as usize).min(len);
    let columns = starts(w);
    let mut all = Vec::with_capacity(targets.len() * h * w);
    for (image, &target) in images.chunks_exact(sample(&model.network)).zip(targets) {
        let whole = logits(model, engine, image)?[target];
        let (mut sums, mut counts) = (vec![0.0f64; h * w], vec![0u32; h * w]);
        for top in starts(h) {
            let mut covered = image.repeat(columns.len());
            for (copy, &left) in covered.chunks_exact_mut(image.len()).zip(&columns) {
                for (plane, &fill) in copy.chunks_exact_mut(h * w).zip(&fill) {
                    clip(top, h).for_each(|y| plane[y * w..][clip(left, w)].fill(fill));
                }
            }
            let rows = logits(model, engine, &covered)?;
            for (row, &left) in rows.chunks_exact(model.network.outputs).zip(&columns) {
                for y in clip(top, h) {
                    for x in clip(left, w) {
                        sums[y * w + x] += f64::from(whole - row[target]);
                        counts[y * w + x] += 1;
                    }
                }
            }
        }
        all.extend(sums.iter().zip(&counts).map(|(s, n)| (s / f64::from((*n).max(1))) as f32));
    }
    Ok(all)
}
