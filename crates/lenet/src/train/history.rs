//! What a training keeps of its epochs.

use super::event::EpochMetrics;
use crate::spec::TrainRecipe;

/// The last epoch, and the best.
#[derive(Debug, Default)]
pub(super) struct History {
    pub last: Option<EpochMetrics>,
    best: Best,
}

impl History {
    /// That of a run with these metrics.
    pub fn of(metrics: &[EpochMetrics]) -> Self {
        let mut history = History::default();
        for epoch in metrics {
            history.add(epoch);
        }
        history
    }

    /// Adds an epoch, and says whether it is the best so far.
    pub fn add(&mut self, metrics: &EpochMetrics) -> bool {
        self.last = Some(metrics.clone());
        self.best.take(metrics.epoch, metrics.val_accuracy)
    }

    /// Whether patience is exhausted after so many epochs.
    pub fn is_out_of_patience(&self, train: &TrainRecipe, epochs: usize) -> bool {
        self.best.is_too_long_ago(train, epochs)
    }

    /// Whether patience would be exhausted after an epoch with this validation accuracy.
    pub fn would_be_out_of_patience(&self, train: &TrainRecipe, epoch: usize, accuracy: Option<f64>) -> bool {
        let mut best = self.best;
        best.take(epoch, accuracy);
        best.is_too_long_ago(train, epoch)
    }
}

/// The epoch with the highest validation accuracy so far, the first of equals; until one is evaluated, the last.
#[derive(Clone, Copy, Debug, Default)]
struct Best {
    epoch: usize,
    accuracy: Option<f64>,
}

impl Best {
    /// Whether an epoch with this validation accuracy is the best so far. Without validation images the last epoch is:
    /// nothing is chosen on test images.
    fn take(&mut self, epoch: usize, accuracy: Option<f64>) -> bool {
        let better = match (accuracy, self.accuracy) {
            (Some(new), Some(old)) => new > old,
            // It was not evaluated.
            (None, Some(_)) => false,
            (_, None) => true,
        };
        if better {
            *self = Best { epoch, accuracy };
        }
        better
    }

    /// Whether, after so many epochs, as many evaluations as `train` waits for brought nothing better.
    fn is_too_long_ago(&self, train: &TrainRecipe, epochs: usize) -> bool {
        let evaluations = |epochs: usize| epochs / train.evaluate_every.max(1);
        train.patience.is_some_and(|patience| evaluations(epochs) >= evaluations(self.epoch) + patience)
    }
}
