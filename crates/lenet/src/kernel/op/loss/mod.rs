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
mod tests {
    use super::*;

    /// Logits of four samples, six classes.
    const LOGITS: [[f32; 6]; 4] = [
        [1.5, -0.25, 3.0, 0.0, -2.0, 0.5],
        [-1.0, 2.0, 0.25, 0.125, 4.0, -3.0],
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [10.0, -10.0, 5.0, 1.0, 2.5, -0.5],
    ];
    const WEIGHTS: [f32; 6] = [0.5, 2.0, 1.0, 0.25, 3.0, 1.5];
    const LABELS: [u16; 4] = [2, 1, 5, 0];
    const OTHERS: [u16; 4] = [0, 4, 5, 3];

    /// Mean loss and gradients of PyTorch's `cross_entropy` in float64; mixtures are `λ·loss(label) + (1 - λ)·loss(other)`.
    struct Case {
        smoothing: f32,
        weighted: bool,
        share: f32,
        loss: f64,
        gradient: [[f64; 6]; 4],
    }

    const CASES: [Case; 4] = [
        Case {
            smoothing: 0.1,
            weighted: false,
            share: 1.0,
            loss: 1.397227317,
            gradient: [
                [0.035663371, 0.002754756, -0.050660824, 0.004720616, -0.002963904, 0.010485985],
                [-0.002747861, -0.200669201, 0.00078545, 0.000203561, 0.206402703, -0.003974652],
                [0.0375, 0.0375, 0.0375, 0.0375, 0.0375, -0.1875],
                [0.018986582, -0.004166666, -0.002494623, -0.004136042, -0.004029417, -0.004159833],
            ],
        },
        Case {
            smoothing: 0.25,
            weighted: true,
            share: 1.0,
            loss: 2.380779454,
            gradient: [
                [0.030684616, -0.010610422, -0.002140721, 0.005693039, -0.023947582, 0.00032107],
                [-0.002073929, -0.274632905, -0.001028961, 0.004362753, 0.285589821, -0.012216779],
                [0.044791667, 0.032291667, 0.040625, 0.046875, 0.023958333, -0.188541667],
                [0.063521451, -0.016666666, -0.007371908, -0.002065724, -0.024921081, -0.012496071],
            ],
        },
        Case {
            smoothing: 0.0,
            weighted: false,
            share: 0.75,
            loss: 1.608164812,
            gradient: [
                [-0.022669963, 0.006921423, -0.008994157, 0.008887283, 0.001202763, 0.014652652],
                [0.001418805, -0.159002535, 0.004952117, 0.004370228, 0.14806937, 0.000192014],
                [0.041666667, 0.041666667, 0.041666667, 0.041666667, 0.041666667, -0.208333333],
                [0.060653249, 0.000000001, 0.001672043, -0.062469375, 0.00013725, 0.000006833],
            ],
        },
        Case {
            smoothing: 0.1,
            weighted: true,
            share: 1.0,
            loss: 1.836889092,
            gradient: [
                [0.031392264, -0.000921886, -0.035173484, 0.006543111, -0.009001707, 0.007161701],
                [0.000532481, -0.322495595, 0.004342448, 0.00594052, 0.316382523, -0.004702378],
                [0.047916667, 0.042916667, 0.04625, 0.04875, 0.039583333, -0.225416666],
                [0.024965361, -0.006666667, -0.002547473, -0.00081894, -0.009935493, -0.004996788],
            ],
        },
    ];

    #[test]
    fn losses_and_gradients_are_pytorch_s() {
        for path in Path::available() {
            for case in &CASES {
                let weights: &[f32] = if case.weighted { &WEIGHTS } else { &[] };
                let targets = Targets { smoothing: case.smoothing, weights };
                let samples: Vec<Labels> =
                    (0..4).map(|i| Labels { label: LABELS[i], other: OTHERS[i], share: case.share }).collect();
                let mut logits = [7.0f32; 6 * CHUNK];
                (0..4).for_each(|lane| (0..6).for_each(|c| logits[c * CHUNK + lane] = LOGITS[lane][c]));
                let weight: f64 = samples.iter().map(|s| targets.weight_of(s)).sum();
                let score = soft_cross_entropy(path, &mut logits, &samples, &targets, Some((1.0 / weight) as f32));
                assert!(
                    (score.loss / weight - case.loss).abs() < 1e-6,
                    "{path}: {} {}",
                    score.loss / weight,
                    case.loss
                );
                assert_eq!(score.correct, 2, "hits of labels 2 and 0");
                for lane in 0..CHUNK {
                    for c in 0..6 {
                        let want = case.gradient.get(lane).map_or(0.0, |g| g[c]);
                        assert!((f64::from(logits[c * CHUNK + lane]) - want).abs() < 1e-7, "{path} {lane} {c}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_single_class_is_the_plain_loss() {
        let mut plain: Vec<f32> = (0..6 * CHUNK).map(|i| (i * 37 % 23) as f32 * 0.25 - 2.0).collect();
        let mut soft = plain.clone();
        let labels: Vec<u16> = (0..13).map(|i| i % 6).collect();
        let samples: Vec<Labels> = labels.iter().map(|&l| Labels::one(l)).collect();
        let column = |lane: usize| -> Vec<f64> { (0..6).map(|c| f64::from(plain[c * CHUNK + lane])).collect() };
        let naive: Vec<_> = labels.iter().enumerate().map(|(lane, &l)| naive(&column(lane), l.into())).collect();
        let path = Path::available()[0];
        let a = cross_entropy(path, &mut plain, &labels, Some(1.0));
        let b = soft_cross_entropy(path, &mut soft, &samples, &Targets::default(), Some(1.0));
        let loss: f64 = naive.iter().map(|n| n.0).sum();
        assert!(a.correct == b.correct && (a.loss - loss).abs() < 1e-5 && (b.loss - loss).abs() < 1e-5);
        for (lane, (_, gradient)) in naive.iter().enumerate() {
            for c in 0..6 {
                let (at, want) = (c * CHUNK + lane, gradient[c]);
                assert!((f64::from(plain[at]) - want).abs() < 1e-6 && (f64::from(soft[at]) - want).abs() < 1e-6);
            }
        }
    }
}
