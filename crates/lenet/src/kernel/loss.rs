//! Softmax cross-entropy of a chunk.

use super::path::{Path, Program, dispatch};
use super::simd::{self, CHUNK, Simd};

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
