//! What a batch has to be, and what a step of training makes of its labels.

use super::{Batch, EngineError, Pixels, TrainStep};
use crate::kernel::CHUNK;
use crate::kernel::op::loss::Labels;
use crate::spec::Network;

impl Batch<'_> {
    /// Whether a network can take the batch, without labels, into room for so many logits.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check_forward(&self, network: &Network, logits: usize) -> Result<(), EngineError> {
        self.check(network, false)?;
        let (n, outputs) = (self.indices.len(), network.outputs);
        if Some(logits) != n.checked_mul(outputs) {
            return Err(EngineError::Mismatch(format!("room for {logits} logits, {n} × {outputs} are needed")));
        }
        Ok(())
    }

    /// Whether a network can take the batch, with its labels or without.
    ///
    /// # Errors
    /// What does not fit.
    pub fn check(&self, network: &Network, labelled: bool) -> Result<(), EngineError> {
        let [c, h, w] = network.input;
        let mismatch = |what: String| Err(EngineError::Mismatch(what));
        let values = match self.pixels {
            Pixels::Bytes { data, tables } => {
                if tables.len() != c {
                    return mismatch(format!("normalization of {} channels for inputs of {c}", tables.len()));
                }
                data.len()
            }
            Pixels::Floats(data) => data.len(),
        };
        let samples = values / (c * h * w);
        if values % (c * h * w) != 0 || self.indices.iter().any(|&i| i as usize >= samples) {
            return mismatch(format!("{values} input values are not the images [{c}, {h}, {w}] that the batch names"));
        }
        if labelled {
            let outputs = network.outputs;
            for &i in self.indices {
                match self.labels.get(i as usize) {
                    Some(&label) if (label as usize) < outputs => {}
                    Some(label) => return mismatch(format!("label {label} for a network of {outputs} outputs")),
                    None => return mismatch(format!("{} labels, sample {i} has none", self.labels.len())),
                }
            }
            if self.indices.is_empty() {
                return mismatch("a batch without samples".to_string());
            }
        }
        Ok(())
    }
}

impl TrainStep<'_> {
    /// Whether every sample has one label, which is all of its target.
    pub fn is_plain(&self) -> bool {
        self.targets == Default::default() && self.augment.is_none_or(|a| a.mixup == 0.0)
    }

    /// The labels of a chunk's samples, mixtures included.
    pub fn labels(&self, batch: &Batch, indices: &[u32]) -> [Labels; CHUNK] {
        let label = |lane: usize| indices.get(lane).and_then(|&i| batch.labels.get(i as usize)).copied().unwrap_or(0);
        let partners = self.augment.map(|a| a.partners(self.seed, self.epoch, indices));
        std::array::from_fn(|lane| match &partners {
            // A share is a multiple of 1 / 256, which a float holds.
            Some(p) => Labels { label: label(lane), other: label(p[lane].lane), share: p[lane].share as f32 / 256.0 },
            None => Labels::one(label(lane)),
        })
    }

    /// What all samples of a batch count together: their number, or the sum of their classes' weights.
    ///
    /// # Errors
    /// Targets that do not fit the network, pixels that cannot be augmented, or a batch that weighs nothing.
    pub fn weight(&self, batch: &Batch, outputs: usize) -> Result<f64, EngineError> {
        let mismatch = |what: String| Err(EngineError::Mismatch(what));
        if self.augment.is_some() && matches!(batch.pixels, Pixels::Floats(_)) {
            return mismatch("augmentation takes bytes, the batch has floats".into());
        }
        let weights = self.targets.weights;
        if !(0.0..1.0).contains(&self.targets.smoothing) {
            return mismatch(format!("label smoothing of {}, it must be from 0 to below 1", self.targets.smoothing));
        }
        if weights.is_empty() {
            return Ok(batch.indices.len() as f64);
        }
        if weights.len() != outputs || weights.iter().any(|w| !(w.is_finite() && *w >= 0.0)) {
            return mismatch(format!("{} weights of classes for {outputs} classes, each from 0 on", weights.len()));
        }
        let chunk = |indices: &[u32]| -> f64 {
            self.labels(batch, indices)[..indices.len()].iter().map(|s| self.targets.weight_of(s)).sum()
        };
        let sum: f64 = batch.indices.chunks(CHUNK).map(chunk).sum();
        match sum > 0.0 {
            true => Ok(sum),
            false => {
                mismatch("a batch of nothing but classes of weight 0: give them weights, or a larger batch".into())
            }
        }
    }
}
