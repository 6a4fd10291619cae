//! Normalisations: where their parameters are, and how they scale.

use super::core::Place;
use super::kind::Scaling;
use super::planner::Planner;
use crate::spec::{LayerInfo, NormShape};
use std::ops::Range;

/// A scale and a shift of each channel of z.
pub(crate) struct Norm {
    pub place: Place,
    pub kind: NormKind,
    /// Position among the normalisations.
    pub number: usize,
}

pub(crate) enum NormKind {
    /// By the statistics of the batch, with their running averages at these places of the buffer slab.
    Batch { shape: NormShape, mean: Range<usize>, variance: Range<usize> },
    /// By weights alone, times a factor.
    Learnt { gain: f32 },
}

impl Norm {
    pub fn plan(planner: &mut Planner, layer: &LayerInfo, scaling: Scaling) -> Norm {
        planner.norms += 1;
        let number = planner.norms - 1;
        match scaling {
            Scaling::Batch(shape) => {
                let [mean, variance] = [0, 1].map(|i| layer.buffers[i].range.clone());
                // The whole batch's sums give the gradients.
                Norm { place: Place::of(layer), kind: NormKind::Batch { shape, mean, variance }, number }
            }
            Scaling::Learnt { gain } => {
                let place = planner.place(layer, Some(layer.weight.as_ref().map_or(0, |w| w.range.len())));
                Norm { place, kind: NormKind::Learnt { gain }, number }
            }
        }
    }

    /// Its shape, if it waits for the statistics of the whole batch.
    pub fn batch(&self) -> Option<&NormShape> {
        match &self.kind {
            NormKind::Batch { shape, .. } => Some(shape),
            NormKind::Learnt { .. } => None,
        }
    }
}
