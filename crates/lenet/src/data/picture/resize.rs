//! Scaling: each output pixel is the average of what it covers, weighted by a triangle (bilinear where it grows).

use super::raster::Raster;

/// What an output position takes from a row or column of `len` values that becomes `to` long: the first value and the
/// weights from there on, which sum to 1.
fn taps(len: usize, to: usize) -> Vec<(usize, Vec<f32>)> {
    let ratio = len as f32 / to as f32;
    let radius = ratio.max(1.0);
    let tap = |position: usize| {
        let centre = (position as f32 + 0.5) * ratio;
        let first = ((centre - radius).floor().max(0.0) as usize).min(len - 1);
        let end = ((centre + radius).ceil() as usize).clamp(first + 1, len);
        let weight = |i: usize| (1.0 - ((i as f32 - (centre - 0.5)) / radius).abs()).max(0.0);
        let weights: Vec<f32> = (first..end).map(weight).collect();
        let sum: f32 = weights.iter().sum();
        (first, weights.iter().map(|w| w / sum).collect())
    };
    (0..to).map(tap).collect()
}

/// Scales to `w`×`h`, each at least 1: rows first, rounded once at the end.
pub(super) fn resize(picture: &Raster, w: usize, h: usize) -> Raster {
    let channels = picture.channels;
    let row = picture.width * channels;
    let across = taps(picture.width, w);
    let mut samples = Vec::with_capacity(w * h * channels);
    let mut mixed = vec![0.0f32; row];
    for (first, weights) in taps(picture.height, h) {
        mixed.fill(0.0);
        for (from, weight) in picture.samples[first * row..].chunks_exact(row).zip(weights) {
            mixed.iter_mut().zip(from).for_each(|(sum, &v)| *sum += f32::from(v) * weight);
        }
        for (first, weights) in &across {
            for channel in 0..channels {
                let pixels = mixed[first * channels..].chunks_exact(channels);
                let sum = pixels.zip(weights).fold(0.0, |sum, (pixel, weight)| sum + pixel[channel] * weight);
                samples.push(sum.round() as u8);
            }
        }
    }
    Raster { width: w, height: h, channels, samples }
}
