//! What logits say of an image, and how strange it is to the model.
//!
//! Two scores of out-of-distribution detection, both from the logits alone: the energy, `-ln Σ exp(logit)` (Liu, Wang, Owens,
//! Li: Energy-based Out-of-distribution Detection; NeurIPS 2020), high for what is strange; and the largest logit (Hendrycks
//! and others: Scaling Out-of-Distribution Detection for Real-World Settings; ICML 2022), low for it.

use crate::softmax::argmax;

/// `-ln Σ exp(logit)`: the energy of an image with these logits.
pub fn energy(logits: &[f32]) -> f64 {
    let largest = largest(logits);
    -(largest + libm::log(logits.iter().map(|&z| libm::exp(f64::from(z) - largest)).sum()))
}

fn largest(logits: &[f32]) -> f64 {
    f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max))
}

/// What a model says of an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The likeliest class, the first of equals.
    pub class: usize,
    /// Its probability, 0 to 1.
    pub probability: f64,
    /// [`energy`]: high is strange.
    pub energy: f64,
    /// The largest logit: low is strange.
    pub max_logit: f64,
}

impl Verdict {
    /// The verdict of logits.
    pub fn of(logits: &[f32]) -> Self {
        let (max_logit, energy) = (largest(logits), energy(logits));
        Verdict { class: argmax(logits), probability: libm::exp(max_logit + energy), energy, max_logit }
    }
}

/// How a score is distributed over images that are known, against which others are judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    sorted: Vec<f64>,
}

impl Distribution {
    /// Of these values; those that are no numbers are left out.
    pub fn new(values: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().filter(|v| !v.is_nan()).collect();
        sorted.sort_by(f64::total_cmp);
        Distribution { sorted }
    }

    /// Share of the values that are below, in percent; half of those that are equal count.
    pub fn percentile(&self, value: f64) -> f64 {
        let below = self.sorted.partition_point(|v| *v < value);
        let equal = self.sorted.partition_point(|v| *v <= value) - below;
        100.0 * (below as f64 + 0.5 * equal as f64) / self.sorted.len().max(1) as f64
    }

    /// Smallest and largest value; `None` without any.
    pub fn range(&self) -> Option<(f64, f64)> {
        self.sorted.first().copied().zip(self.sorted.last().copied())
    }

    /// How many values lie in each of `bins` equal parts of a range, ends included.
    pub fn histogram(&self, low: f64, high: f64, bins: usize) -> Vec<usize> {
        let mut counts = vec![0; bins.max(1)];
        let scale = counts.len() as f64 / (high - low).max(f64::MIN_POSITIVE);
        for v in self.sorted.iter().filter(|v| (low..=high).contains(*v)) {
            let bin = (((v - low) * scale) as usize).min(counts.len() - 1);
            counts[bin] += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_follow_their_formulas() {
        assert!((energy(&[0.0; 10]) + 10f64.ln()).abs() < 1e-12);
        // A constant moves the energy and leaves the probability, also where exp would overflow.
        let (low, high) = (Verdict::of(&[1.0, 3.0, 3.0]), Verdict::of(&[1001.0, 1003.0, 1003.0]));
        assert_eq!((low.class, high.class, high.max_logit), (1, 1, 1003.0));
        assert!((low.energy - high.energy - 1000.0).abs() < 1e-9);
        let want = 1.0 / (2.0 + (-2f64).exp());
        assert!((low.probability - want).abs() < 1e-12 && (high.probability - want).abs() < 1e-9);
    }

    #[test]
    fn percentiles_and_histograms_count() {
        let d = Distribution::new([3.0, 1.0, 2.0, f64::NAN, 2.0]);
        let percentiles = [0.0, 1.0, 2.0, 2.5, 9.0].map(|v| d.percentile(v));
        assert_eq!(percentiles, [0.0, 12.5, 50.0, 75.0, 100.0]);
        assert_eq!(
            (d.range(), d.histogram(1.0, 3.0, 2), d.histogram(1.5, 2.5, 1)),
            (Some((1.0, 3.0)), vec![1, 3], vec![2])
        );
        assert_eq!(Distribution::new([]).percentile(1.0), 0.0);
    }
}
