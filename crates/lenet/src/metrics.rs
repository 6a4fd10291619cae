//! What predictions are worth: confusion, precision, recall, F1, calibration. Pure functions of labels and probabilities.

use crate::softmax::softmax;
use serde::Serialize;

/// The probabilities that a classifier gave some samples, beside their labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Predictions {
    /// Number of classes.
    pub classes: usize,
    /// The true class of each sample, below `classes`.
    pub labels: Vec<u16>,
    /// `[n, classes]`, each row sums to 1.
    pub probabilities: Vec<f32>,
}

/// Labels and logits that do not belong together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// The number of logits is not that of the samples times that of the classes.
    #[error("{logits} logits for {samples} samples of {classes} classes: there must be one a sample and class")]
    Shape {
        /// Number of logits.
        logits: usize,
        /// Number of labels.
        samples: usize,
        /// Number of classes.
        classes: usize,
    },
    /// A label is no class.
    #[error("label {label} of {classes} classes: labels count from 0")]
    Label {
        /// The label.
        label: u16,
        /// Number of classes.
        classes: usize,
    },
    /// A logit is infinite or no number.
    #[error("the logits of sample {sample} are not finite")]
    NotFinite {
        /// Position of the sample.
        sample: usize,
    },
}

impl Predictions {
    /// The softmax of logits, `[n, classes]`.
    ///
    /// # Errors
    /// Logits of another number than labels times classes or that are not finite, labels that are no class.
    pub fn from_logits(classes: usize, labels: Vec<u16>, logits: &[f32]) -> Result<Self, MetricsError> {
        if classes == 0 || logits.len() != labels.len() * classes {
            return Err(MetricsError::Shape { logits: logits.len(), samples: labels.len(), classes });
        }
        if let Some(&label) = labels.iter().find(|&&l| usize::from(l) >= classes) {
            return Err(MetricsError::Label { label, classes });
        }
        let mut probabilities = Vec::with_capacity(logits.len());
        for (sample, row) in logits.chunks_exact(classes).enumerate() {
            if row.iter().any(|z| !z.is_finite()) {
                return Err(MetricsError::NotFinite { sample });
            }
            probabilities.extend(softmax(row).map(|p| p as f32));
        }
        Ok(Predictions { classes, labels, probabilities })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The likeliest class of a sample (the first of equals) and its probability.
    pub fn top(&self, sample: usize) -> (usize, f32) {
        let row = &self.probabilities[sample * self.classes..(sample + 1) * self.classes];
        let start = (0, row[0]);
        row.iter().copied().enumerate().fold(start, |best, new| if new.1 > best.1 { new } else { best })
    }

    /// The true class of a sample.
    pub fn label(&self, sample: usize) -> usize {
        usize::from(self.labels[sample])
    }

    /// Mean negative logarithm of the true class's probability.
    pub fn log_loss(&self) -> f64 {
        let own = |i: usize| f64::from(self.probabilities[i * self.classes + self.label(i)]);
        let sum: f64 = (0..self.len()).map(|i| -libm::log(own(i).max(f64::from(f32::MIN_POSITIVE)))).sum();
        sum / self.len().max(1) as f64
    }

    /// How often each class was taken for each other.
    pub fn confusion(&self) -> Confusion {
        let mut confusion = Confusion { classes: self.classes, counts: vec![0; self.classes * self.classes] };
        for i in 0..self.len() {
            confusion.counts[self.label(i) * self.classes + self.top(i).0] += 1;
        }
        confusion
    }

    /// How far confidence is from accuracy, over `bins` bins of equal width (at least 1). The confidence is the likeliest
    /// class's probability; a bin holds what is above its lower edge and up to its upper one.
    pub fn calibration(&self, bins: usize) -> Calibration {
        let bins = bins.max(1);
        let mut sums = vec![(0usize, 0.0f64, 0usize); bins];
        for i in 0..self.len() {
            let (class, confidence) = self.top(i);
            let confidence = f64::from(confidence);
            let upper = |bin: usize| (bin + 1) as f64 / bins as f64;
            let bin = (0..bins - 1).find(|&bin| confidence <= upper(bin)).unwrap_or(bins - 1);
            let sum = &mut sums[bin];
            *sum = (sum.0 + 1, sum.1 + confidence, sum.2 + usize::from(class == self.label(i)));
        }
        let bin = |&(count, confidence, hits): &(usize, f64, usize)| {
            let n = count.max(1) as f64;
            CalibrationBin { count, confidence: confidence / n, accuracy: hits as f64 / n }
        };
        Calibration { bins: sums.iter().map(bin).collect() }
    }
}

/// Counts of true against predicted classes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Confusion {
    /// Number of classes.
    pub classes: usize,
    /// `[true class, predicted class]`
    pub counts: Vec<u64>,
}

/// How well one class is found; shares are 0 where there is nothing to divide by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ClassMetrics {
    /// Of what was taken for this class, the share that is.
    pub precision: f64,
    /// Of what is this class, the share that was found.
    pub recall: f64,
    /// Harmonic mean of precision and recall.
    pub f1: f64,
    /// Samples of this class.
    pub support: u64,
}

/// Two classes that are taken for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Confused {
    /// The true class.
    pub actual: usize,
    /// The class it was taken for.
    pub predicted: usize,
    /// How often.
    pub count: u64,
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl Confusion {
    /// How often `actual` was taken for `predicted`.
    pub fn count(&self, actual: usize, predicted: usize) -> u64 {
        self.counts[actual * self.classes + predicted]
    }

    /// Samples of a class.
    pub fn support(&self, actual: usize) -> u64 {
        (0..self.classes).map(|p| self.count(actual, p)).sum()
    }

    /// Of the samples of a class, the share that was taken for `predicted`; 0 for a class without samples.
    pub fn rate(&self, actual: usize, predicted: usize) -> f64 {
        share(self.count(actual, predicted), self.support(actual))
    }

    /// Share of hits.
    pub fn accuracy(&self) -> f64 {
        share((0..self.classes).map(|c| self.count(c, c)).sum(), self.counts.iter().sum())
    }

    /// Precision, recall and F1 of each class.
    pub fn per_class(&self) -> Vec<ClassMetrics> {
        let of = |class: usize| {
            let (hits, support) = (self.count(class, class), self.support(class));
            let predicted: u64 = (0..self.classes).map(|a| self.count(a, class)).sum();
            let f1 = share(2 * hits, support + predicted);
            ClassMetrics { precision: share(hits, predicted), recall: share(hits, support), f1, support }
        };
        (0..self.classes).map(of).collect()
    }

    /// The mean over classes (macro average), each counting alike; the support is the number of samples.
    pub fn macro_average(&self) -> ClassMetrics {
        let classes = self.per_class();
        let n = classes.len().max(1) as f64;
        let mean = |of: fn(&ClassMetrics) -> f64| classes.iter().map(of).sum::<f64>() / n;
        ClassMetrics {
            precision: mean(|c| c.precision),
            recall: mean(|c| c.recall),
            f1: mean(|c| c.f1),
            support: classes.iter().map(|c| c.support).sum(),
        }
    }

    /// What is taken for something else, most often first; equals in the order of the classes.
    pub fn most_confused(&self) -> Vec<Confused> {
        let all = (0..self.classes).flat_map(|actual| (0..self.classes).map(move |predicted| (actual, predicted)));
        let wrong = all.filter(|(a, p)| a != p);
        let pair = |(actual, predicted)| Confused { actual, predicted, count: self.count(actual, predicted) };
        let mut pairs: Vec<Confused> = wrong.map(pair).filter(|c| c.count > 0).collect();
        pairs.sort_by_key(|c| std::cmp::Reverse(c.count));
        pairs
    }
}

/// One bin of a [`Calibration`]; the means are 0 if it holds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CalibrationBin {
    /// Samples in it.
    pub count: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// Share of hits.
    pub accuracy: f64,
}

/// Confidence against accuracy.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calibration {
    /// Bins of equal width, from confidence 0 to 1.
    pub bins: Vec<CalibrationBin>,
}

impl Calibration {
    /// The expected calibration error (ECE): the mean distance of confidence and accuracy, over samples.
    pub fn expected_error(&self) -> f64 {
        let n: usize = self.bins.iter().map(|b| b.count).sum();
        let distance = |b: &CalibrationBin| b.count as f64 * (b.confidence - b.accuracy).abs();
        self.bins.iter().map(distance).sum::<f64>() / n.max(1) as f64
    }

    /// The maximum calibration error: the largest distance of a bin that holds samples.
    pub fn maximum_error(&self) -> f64 {
        self.bins.iter().filter(|b| b.count > 0).map(|b| (b.confidence - b.accuracy).abs()).fold(0.0, f64::max)
    }
}
