//! Softmax cross-entropy of a chunk, with one label a sample or with softer targets.

use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::simd::{self, CHUNK, Simd};

/// Loss and hits of a chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ChunkScore {
    /// Sum of the cross-entropies of the samples, in lane order.
    pub loss: f64,
    /// Samples whose first largest logit is their class's.
    pub correct: usize,
}

/// Loss of the first `labels.len()` lanes of logits `[classes][16]`; with a scale, logits become `scale · (softmax - target)`
/// in these lanes and 0 in the others.
///
/// By log-sum-exp around each sample's largest logit.
pub fn cross_entropy(path: Path, logits: &mut [f32], labels: &[u16], scale: Option<f32>) -> ChunkScore {
    let classes = logits.len() / CHUNK;
    assert!(
        classes > 0 && labels.len() <= CHUNK && labels.iter().all(|&l| (l as usize) < classes),
        "labels below classes"
    );
    let mut largest = [0.0f32; CHUNK];
    let mut place = [0.0f32; CHUNK];
    let mut sum = [0.0f32; CHUNK];
    let mut own = [0.0f32; CHUNK];
    for (lane, &label) in labels.iter().enumerate() {
        own[lane] = logits[label as usize * CHUNK + lane];
    }
    // SAFETY: `classes` vectors of 16 floats, and arrays of 16 floats.
    unsafe {
        let factor = scale.unwrap_or(0.0);
        dispatch(
            path,
            Softmax {
                logits: logits.as_mut_ptr(),
                classes,
                largest: &mut largest,
                place: &mut place,
                sum: &mut sum,
                scale: factor,
                gradient: scale.is_some(),
            },
        );
    }
    if let Some(scale) = scale {
        for lane in 0..CHUNK {
            match labels.get(lane) {
                Some(&label) => logits[label as usize * CHUNK + lane] -= scale,
                None => (0..classes).for_each(|c| logits[c * CHUNK + lane] = 0.0),
            }
        }
    }
    let mut score = ChunkScore::default();
    for (lane, &label) in labels.iter().enumerate() {
        score.loss += (f64::from(largest[lane]) - f64::from(own[lane])) + libm::log(f64::from(sum[lane]));
        score.correct += usize::from(place[lane] == f32::from(label));
    }
    score
}

/// How labels become targets: the target of class `c` is `w[c] · ((1 - ε) · label(c) + ε / classes)`, PyTorch's convention.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Targets<'a> {
    /// Label smoothing ε, 0 to 1.
    pub smoothing: f32,
    /// Weights `w` of the classes; none stand for 1 each.
    pub weights: &'a [f32],
}

impl Targets<'_> {
    fn weight(&self, label: u16) -> f64 {
        self.weights.get(label as usize).map_or(1.0, |&w| f64::from(w))
    }

    /// What a sample counts in the mean over its batch: the weight of its label, or of both, by their shares.
    pub fn weight_of(&self, sample: &Labels) -> f64 {
        let share = f64::from(sample.share);
        match sample.share {
            1.0 => self.weight(sample.label),
            _ => share * self.weight(sample.label) + (1.0 - share) * self.weight(sample.other),
        }
    }
}

/// What a sample is: one class, or a mixture of two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Labels {
    /// The class; of a mixture, the one that counts for the hits.
    pub label: u16,
    /// The other class of a mixture.
    pub other: u16,
    /// Share of `label`, 0 to 1; `other` has the rest.
    pub share: f32,
}

impl Labels {
    /// No mixture.
    pub fn one(label: u16) -> Self {
        Labels { label, other: label, share: 1.0 }
    }
}

/// As [`cross_entropy`], with targets that are not a single class: loss `Σ t·(log Σ eᶻ - z)`, gradient `scale · (Σt · softmax - t)`.
pub fn soft_cross_entropy(
    path: Path,
    logits: &mut [f32],
    samples: &[Labels],
    targets: &Targets,
    scale: Option<f32>,
) -> ChunkScore {
    let classes = logits.len() / CHUNK;
    assert!(
        classes > 0
            && samples.len() <= CHUNK
            && samples.iter().all(|s| (s.label.max(s.other) as usize) < classes)
            && (targets.weights.is_empty() || targets.weights.len() == classes),
        "labels below classes, and a weight a class"
    );
    let base = f64::from(targets.smoothing) / classes as f64;
    let kept = 1.0 - f64::from(targets.smoothing);
    let target = |sample: &Labels, c: usize| {
        let (c, share) = (c as u16, f64::from(sample.share));
        let own = if c == sample.label { share } else { 0.0 };
        let other = if c == sample.other { 1.0 - share } else { 0.0 };
        targets.weight(c) * (kept * (own + other) + base)
    };
    let (mut total, mut product) = ([0.0f64; CHUNK], [0.0f64; CHUNK]);
    for (lane, sample) in samples.iter().enumerate() {
        for c in 0..classes {
            let t = target(sample, c);
            total[lane] += t;
            product[lane] += t * f64::from(logits[c * CHUNK + lane]);
        }
    }
    let (mut largest, mut place, mut sum) = ([0.0f32; CHUNK], [0.0f32; CHUNK], [0.0f32; CHUNK]);
    // SAFETY: `classes` vectors of 16 floats, and arrays of 16 floats.
    unsafe {
        let logits = logits.as_mut_ptr();
        let (largest, place, sum) = (&mut largest, &mut place, &mut sum);
        let gradient = scale.is_some();
        dispatch(path, Softmax { logits, classes, largest, place, sum, scale: 1.0, gradient });
    }
    if let Some(scale) = scale {
        for lane in 0..CHUNK {
            for c in 0..classes {
                let z = &mut logits[c * CHUNK + lane];
                *z = samples.get(lane).map_or(0.0, |sample| {
                    (f64::from(scale) * (total[lane] * f64::from(*z) - target(sample, c))) as f32
                });
            }
        }
    }
    let mut score = ChunkScore::default();
    for (lane, sample) in samples.iter().enumerate() {
        let log_sum = f64::from(largest[lane]) + libm::log(f64::from(sum[lane]));
        score.loss += total[lane] * log_sum - product[lane];
        score.correct += usize::from(place[lane] == f32::from(sample.label));
    }
    score
}

struct Softmax<'a> {
    logits: *mut f32,
    classes: usize,
    largest: &'a mut [f32; CHUNK],
    place: &'a mut [f32; CHUNK],
    sum: &'a mut [f32; CHUNK],
    scale: f32,
    gradient: bool,
}

impl Program for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: `logits` holds `classes` vectors of 16, the arrays hold 16.
        unsafe {
            for part in 0..S::PER_POSITION {
                let lane = part * S::LANES;
                let mut largest = S::load(self.logits.add(lane));
                let mut place = S::splat(0.0);
                for c in 1..self.classes {
                    let v = S::load(self.logits.add(c * CHUNK + lane));
                    let more = S::gt(v, largest);
                    largest = S::select(more, v, largest);
                    place = S::select(more, S::splat(c as f32), place);
                }
                let mut sum = S::splat(0.0);
                for c in 0..self.classes {
                    let at = self.logits.add(c * CHUNK + lane);
                    let e = simd::exp::<S>(S::sub(S::load(at), largest));
                    sum = S::add(sum, e);
                    if self.gradient {
                        S::store(at, e);
                    }
                }
                if self.gradient {
                    let factor = S::div(S::splat(self.scale), sum);
                    for c in 0..self.classes {
                        let at = self.logits.add(c * CHUNK + lane);
                        S::store(at, S::mul(S::load(at), factor));
                    }
                }
                S::store(self.largest.as_mut_ptr().add(lane), largest);
                S::store(self.place.as_mut_ptr().add(lane), place);
                S::store(self.sum.as_mut_ptr().add(lane), sum);
            }
        }
    }
}

/// The naive reference of one sample in f64: loss and gradient.
pub fn naive(logits: &[f64], label: usize) -> (f64, Vec<f64>) {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|z| (z - largest).exp()).sum();
    let gradient = logits.iter().enumerate().map(|(c, z)| (z - largest).exp() / sum - f64::from(c == label)).collect();
    (largest - logits[label] + sum.ln(), gradient)
}

#[cfg(test)]
mod tests;
