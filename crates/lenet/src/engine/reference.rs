//! The naive reference: any network, a batch at a time, in f64, from the naive operators.
//!
//! It is what the engines are tested against; a person reads it to see what they compute.

use crate::kernel::op::{Naive, Values, loss};
use crate::spec::{LayerInfo, Network};

/// What a network computes with.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// The network.
    pub network: &'a Network,
    /// Its parameter slab.
    pub parameters: &'a [f64],
    /// Its buffer slab.
    pub buffers: &'a [f64],
    /// Whether it trains: batch statistics, dropout with these keys, one a sample (`kernel::op::dropout`).
    pub train: Option<&'a [u32]>,
}

impl Reference<'_> {
    fn layer<'a>(&'a self, layer: &'a LayerInfo) -> Naive<'a> {
        Naive { layer, parameters: self.parameters, buffers: self.buffers, train: self.train }
    }

    /// All values of some samples: the input, then each layer's output; the last are the logits.
    pub fn values(&self, x: &[Vec<f64>]) -> Vec<Values> {
        let mut all = vec![x.to_vec()];
        for layer in &self.network.layers {
            let other = layer.other.map(|v| &all[v][..]);
            all.push(self.layer(layer).forward(&all[layer.source], other));
        }
        all
    }

    /// Gradient slab of the mean cross-entropy of some samples, and the sum of the cross-entropies.
    pub fn gradient(&self, x: &[Vec<f64>], labels: &[usize]) -> (Vec<f64>, f64) {
        let all = self.values(x);
        let mut gradient = vec![0.0; self.network.parameters];
        let mut total = 0.0;
        let mut last = Vec::with_capacity(labels.len());
        for (logits, &label) in all[all.len() - 1].iter().zip(labels) {
            let (loss, dy) = loss::naive(logits, label);
            total += loss;
            last.push(dy.iter().map(|d| d / x.len() as f64).collect());
        }
        self.back(&all, last, &mut gradient);
        self.network.tensors().for_each(|t| t.clear_missing(&mut gradient));
        (gradient, total)
    }

    /// By each sample's input, the gradient of `Σ weights[o] · output[o]`, with weights for each sample.
    pub fn input_gradient(&self, x: &[Vec<f64>], weights: &[Vec<f64>]) -> Vec<Vec<f64>> {
        self.back(&self.values(x), weights.to_vec(), &mut vec![0.0; self.network.parameters])
    }

    /// From the gradients of the outputs to those of the input; those of the parameters are added to.
    fn back(&self, all: &[Values], last: Values, gradient: &mut [f64]) -> Values {
        let mut d: Vec<Values> = all.iter().map(|v| v.iter().map(|v| vec![0.0; v.len()]).collect()).collect();
        d[all.len() - 1] = last;
        for (number, layer) in self.network.layers.iter().enumerate().rev() {
            let dy = std::mem::take(&mut d[number + 1]);
            let dx = self.layer(layer).backward(&all[layer.source], &dy, gradient);
            let targets = [Some((layer.source, &dx)), layer.other.map(|v| (v, &dy))];
            for (value, from) in targets.into_iter().flatten() {
                for (to, from) in d[value].iter_mut().zip(from) {
                    to.iter_mut().zip(from).for_each(|(a, b)| *a += b);
                }
            }
        }
        std::mem::take(&mut d[0])
    }
}
