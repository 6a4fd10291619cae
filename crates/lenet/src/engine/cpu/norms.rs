//! What normalisations know of their channels: in evaluation, and in the course of a step.

use super::cores::{Norm, NormKind, Place};
use super::plan::Program;
use crate::kernel::op::norm::Channels;

/// The channels of all normalisations, by their numbers.
pub(super) struct Norms {
    training: Vec<Channels>,
    evaluation: Vec<Channels>,
    /// Mean and unbiased variance of the batch, f32 as they are tracked, by normalisation.
    batch: Vec<[Vec<f32>; 2]>,
}

impl Norms {
    pub fn new(program: &Program) -> Self {
        let norms = program.stages.iter().filter_map(|s| s.norm());
        let sizes: Vec<usize> = norms.map(|n| n.place.weight.len()).collect();
        let channels: Vec<Channels> = sizes.iter().map(|&n| Channels::new(n)).collect();
        let batch = sizes.iter().map(|&n| [vec![0.0; n], vec![0.0; n]]).collect();
        Norms { training: channels.clone(), evaluation: channels, batch }
    }

    /// As the chunks of a step find them.
    pub fn training(&self) -> &[Channels] {
        &self.training
    }

    /// As evaluation finds them.
    pub fn evaluation(&self) -> &[Channels] {
        &self.evaluation
    }

    /// Sets what evaluation uses: the running statistics.
    pub fn evaluate(&mut self, program: &Program, parameters: &[f32], buffers: &[f32]) {
        for norm in program.stages.iter().filter_map(|s| s.norm()) {
            let channels = &mut self.evaluation[norm.number];
            match &norm.kind {
                NormKind::Learnt { gain } => learnt(channels, &norm.place, *gain, parameters),
                NormKind::Batch { shape, mean, variance } => {
                    for c in 0..shape.channels {
                        let (mean, variance) =
                            (f64::from(buffers[mean.start + c]), f64::from(buffers[variance.start + c]));
                        normalize(channels, c, [mean, variance], shape.eps, affine(&norm.place, c, parameters));
                    }
                }
            }
        }
    }

    /// Sets what does not depend on the batch.
    pub fn start(&mut self, program: &Program, parameters: &[f32]) {
        for norm in program.stages.iter().filter_map(|s| s.norm()) {
            match norm.kind {
                NormKind::Learnt { gain } => learnt(&mut self.training[norm.number], &norm.place, gain, parameters),
                NormKind::Batch { .. } => {}
            }
        }
    }

    /// Joins a normalisation's moments of the chunks: (samples, `[channel][mean, squares]`).
    ///
    /// In f64 and in the order of the chunks, by the formula of Chan, Golub and LeVeque (1979).
    pub fn moments(&mut self, norm: &Norm, chunks: &[(usize, &[f32])], parameters: &[f32]) {
        let Some(shape) = norm.batch() else { return };
        for c in 0..shape.channels {
            let (mut n, mut mean, mut squares) = (0.0f64, 0.0f64, 0.0f64);
            for (samples, moments) in chunks {
                let count = (samples * shape.positions) as f64;
                let (m, s) = (f64::from(moments[2 * c]), f64::from(moments[2 * c + 1]));
                let (total, distance) = (n + count, m - mean);
                mean += distance * count / total;
                squares += s + distance * distance * n * count / total;
                n = total;
            }
            normalize(
                &mut self.training[norm.number],
                c,
                [mean, squares / n],
                shape.eps,
                affine(&norm.place, c, parameters),
            );
            let [means, variances] = &mut self.batch[norm.number];
            means[c] = mean as f32;
            variances[c] = (squares / (n - 1.0).max(1.0)) as f32;
        }
    }

    /// Joins a normalisation's sums of gradients of the chunks: (samples, `[channel][2]`).
    pub fn gradients(&mut self, norm: &Norm, chunks: &[(usize, &[f32])], gradients: &mut [f32]) {
        let Some(shape) = norm.batch() else { return };
        let channels = &mut self.training[norm.number];
        let n = chunks.iter().map(|c| c.0 * shape.positions).sum::<usize>() as f64;
        for c in 0..shape.channels {
            let [d, product] = [0, 1].map(|i| chunks.iter().map(|(_, sums)| f64::from(sums[2 * c + i])).sum::<f64>());
            channels.mean_gradient[c] = (d / n) as f32;
            channels.mean_product[c] = (product / n) as f32;
            gradients[norm.place.weight.start + c] = product as f32;
            norm.place.bias.iter().for_each(|b| gradients[b.start + c] = d as f32);
        }
    }

    /// Moves the running statistics towards those of the last batch.
    pub fn track(&self, program: &Program, buffers: &mut [f32]) {
        for norm in program.stages.iter().filter_map(|s| s.norm()) {
            match &norm.kind {
                NormKind::Batch { shape, mean, variance } => {
                    for (range, batch) in [mean, variance].into_iter().zip(&self.batch[norm.number]) {
                        for (running, new) in buffers[range.clone()].iter_mut().zip(batch) {
                            *running = shape.momentum.mul_add(new - *running, *running);
                        }
                    }
                }
                NormKind::Learnt { .. } => {}
            }
        }
    }
}

/// Weight and bias of a channel.
fn affine(place: &Place, c: usize, parameters: &[f32]) -> [f64; 2] {
    let bias = place.bias.as_ref().map_or(0.0, |b| parameters[b.start + c]);
    [f64::from(parameters[place.weight.start + c]), f64::from(bias)]
}

fn normalize(channels: &mut Channels, c: usize, [mean, variance]: [f64; 2], eps: f32, [weight, bias]: [f64; 2]) {
    let inverse = 1.0 / (variance + f64::from(eps)).sqrt();
    channels.mean[c] = mean as f32;
    channels.inverse[c] = inverse as f32;
    channels.scale[c] = (weight * inverse) as f32;
    channels.shift[c] = (bias - mean * weight * inverse) as f32;
}

fn learnt(channels: &mut Channels, place: &Place, gain: f32, parameters: &[f32]) {
    for c in 0..channels.scale.len() {
        let [weight, bias] = affine(place, c, parameters);
        channels.scale[c] = weight as f32 * gain;
        channels.shift[c] = bias as f32;
    }
}
