//! The naive reference: any network, a batch at a time, in f64, from the naive operators.
//!
//! It is what the engines are tested against; a person reads it to see what they compute.

use crate::kernel::op::pool::PoolKind;
use crate::kernel::op::{activation, conv, dense, dropout, loss, norm, pool, rbf};
use crate::spec::{Geometry, LayerInfo, Network, NormShape, PoolShape};

/// What a network computes with.
#[derive(Clone, Copy, Debug)]
pub struct Reference<'a> {
    /// The network.
    pub network: &'a Network,
    /// Its parameter slab.
    pub parameters: &'a [f64],
    /// Its buffer slab.
    pub buffers: &'a [f64],
    /// Whether it trains: batch statistics, dropout with these keys, one a sample (see [`dropout`]).
    pub train: Option<&'a [u32]>,
}

/// Of one value, the numbers of each sample, `[c, h, w]`.
type Values = Vec<Vec<f64>>;

impl Reference<'_> {
    fn tensor(&self, info: &Option<crate::spec::ParameterInfo>) -> Option<&[f64]> {
        info.as_ref().map(|p| &self.parameters[p.range.clone()])
    }

    fn codes(&self, layer: &LayerInfo) -> &[f64] {
        &self.buffers[layer.buffers[0].range.clone()]
    }

    /// All values of some samples: the input, then each layer's output; the last are the logits.
    pub fn values(&self, x: &[Vec<f64>]) -> Vec<Values> {
        let mut all = vec![x.to_vec()];
        for layer in &self.network.layers {
            let (x, other) = (&all[layer.source], layer.other.map(|v| &all[v]));
            let y = match &layer.geometry {
                Geometry::BatchNorm(s) => self.norm_forward(layer, s, x),
                _ => x.iter().enumerate().map(|(i, x)| self.forward(layer, i, x, other.map(|o| &o[i][..]))).collect(),
            };
            all.push(y);
        }
        all
    }

    fn forward(&self, layer: &LayerInfo, sample: usize, x: &[f64], other: Option<&[f64]>) -> Vec<f64> {
        let (w, b) = (self.tensor(&layer.weight).unwrap_or(&[]), self.tensor(&layer.bias));
        match &layer.geometry {
            Geometry::Conv2d(s) => conv::naive::forward(s, x, w, b),
            Geometry::Dense(s) => dense::naive::forward(s, x, w, b),
            Geometry::Rbf(s) => rbf::naive::forward(s, self.codes(layer), x),
            Geometry::AvgPool(s) => pool::naive::forward(PoolKind::Average, s, x).0,
            Geometry::MaxPool(s) => pool::naive::forward(PoolKind::Maximum, s, x).0,
            Geometry::Subsample(s) => {
                let y = pool::naive::forward(PoolKind::Average, s, x).0;
                let channel = |i: usize| i / (s.oh * s.ow);
                let gain = (s.kh * s.kw) as f64;
                y.iter().enumerate().map(|(i, y)| gain * w[channel(i)] * y + b.map_or(0.0, |b| b[channel(i)])).collect()
            }
            Geometry::Activation(a) => x.iter().map(|&x| activation::naive(*a, x).0).collect(),
            Geometry::Dropout(rate) => {
                let factors = self.factors(layer, *rate, sample, x.len());
                x.iter().zip(factors).map(|(x, f)| x * f).collect()
            }
            Geometry::Add => x.iter().zip(other.unwrap_or(&[])).map(|(a, b)| a + b).collect(),
            Geometry::Flatten | Geometry::BatchNorm(_) => x.to_vec(),
        }
    }

    fn factors(&self, layer: &LayerInfo, rate: f32, sample: usize, n: usize) -> Vec<f64> {
        match self.train {
            Some(keys) => dropout::naive::factors(keys[sample].wrapping_add(dropout::layer_key(&layer.name)), rate, n),
            None => vec![1.0; n],
        }
    }

    /// The values of a channel, over all samples.
    fn channel(s: &NormShape, x: &[Vec<f64>], c: usize) -> Vec<f64> {
        x.iter().flat_map(|x| x[c * s.positions..(c + 1) * s.positions].iter().copied()).collect()
    }

    fn norm_forward(&self, layer: &LayerInfo, s: &NormShape, x: &[Vec<f64>]) -> Values {
        let (w, b) = (self.tensor(&layer.weight).unwrap_or(&[]), self.tensor(&layer.bias).unwrap_or(&[]));
        let mut y = x.to_vec();
        for c in 0..s.channels {
            let values = Self::channel(s, x, c);
            let running = |i: usize| self.buffers[layer.buffers[i].range.start + c];
            let moments = if self.train.is_some() { norm::naive::moments(&values) } else { (running(0), running(1)) };
            let normal = norm::naive::forward(&values, moments, f64::from(s.eps), w[c], b[c]);
            for (y, normal) in y.iter_mut().zip(normal.chunks(s.positions)) {
                y[c * s.positions..(c + 1) * s.positions].copy_from_slice(normal);
            }
        }
        y
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
            let dx = match &layer.geometry {
                Geometry::BatchNorm(s) => self.norm_backward(layer, s, &all[layer.source], &dy, gradient),
                _ => (0..dy.len()).map(|i| self.backward(layer, i, &all[layer.source][i], &dy[i], gradient)).collect(),
            };
            let targets = [Some((layer.source, &dx)), layer.other.map(|v| (v, &dy))];
            for (value, from) in targets.into_iter().flatten() {
                for (to, from) in d[value].iter_mut().zip(from) {
                    to.iter_mut().zip(from).for_each(|(a, b)| *a += b);
                }
            }
        }
        std::mem::take(&mut d[0])
    }

    fn backward(&self, layer: &LayerInfo, sample: usize, x: &[f64], dy: &[f64], gradient: &mut [f64]) -> Vec<f64> {
        let w = self.tensor(&layer.weight).unwrap_or(&[]);
        let mut dw = vec![0.0; w.len()];
        let mut db = layer.bias.as_ref().map(|b| vec![0.0; b.range.len()]);
        let dx = match &layer.geometry {
            Geometry::Conv2d(s) => conv::naive::backward(s, x, w, dy, &mut dw, db.as_deref_mut()),
            Geometry::Dense(s) => dense::naive::backward(s, x, w, dy, &mut dw, db.as_deref_mut()),
            Geometry::Rbf(s) => rbf::naive::backward(s, self.codes(layer), x, dy),
            Geometry::AvgPool(s) => spread(PoolKind::Average, s, x, dy),
            Geometry::MaxPool(s) => spread(PoolKind::Maximum, s, x, dy),
            Geometry::Subsample(s) => {
                let (y, gain) = (pool::naive::forward(PoolKind::Average, s, x).0, (s.kh * s.kw) as f64);
                for (i, d) in dy.iter().enumerate() {
                    let c = i / (s.oh * s.ow);
                    dw[c] += d * gain * y[i];
                    db.iter_mut().for_each(|db| db[c] += d);
                }
                let scaled: Vec<f64> = dy.iter().enumerate().map(|(i, d)| d * gain * w[i / (s.oh * s.ow)]).collect();
                spread(PoolKind::Average, s, x, &scaled)
            }
            Geometry::Activation(a) => x.iter().zip(dy).map(|(&x, d)| activation::naive(*a, x).1 * d).collect(),
            Geometry::Dropout(rate) => {
                self.factors(layer, *rate, sample, x.len()).iter().zip(dy).map(|(f, d)| f * d).collect()
            }
            Geometry::Flatten | Geometry::Add | Geometry::BatchNorm(_) => dy.to_vec(),
        };
        for (info, d) in layer.weight.iter().zip([&dw]).chain(layer.bias.iter().zip(&db)) {
            gradient[info.range.clone()].iter_mut().zip(d).for_each(|(g, d)| *g += d);
        }
        dx
    }

    fn norm_backward(
        &self,
        layer: &LayerInfo,
        s: &NormShape,
        x: &[Vec<f64>],
        dy: &[Vec<f64>],
        gradient: &mut [f64],
    ) -> Values {
        let w = self.tensor(&layer.weight).unwrap_or(&[]);
        let mut dx = dy.to_vec();
        for c in 0..s.channels {
            let (values, d) = (Self::channel(s, x, c), Self::channel(s, dy, c));
            let running = |i: usize| self.buffers[layer.buffers[i].range.start + c];
            let (part, dw, db) = match self.train {
                Some(_) => norm::naive::backward(&values, &d, f64::from(s.eps), w[c]),
                None => norm::naive::backward_running(&values, &d, (running(0), running(1)), f64::from(s.eps), w[c]),
            };
            for (info, value) in layer.weight.iter().zip([dw]).chain(layer.bias.iter().zip([db])) {
                gradient[info.range.start + c] += value;
            }
            for (dx, part) in dx.iter_mut().zip(part.chunks(s.positions)) {
                dx[c * s.positions..(c + 1) * s.positions].copy_from_slice(part);
            }
        }
        dx
    }
}

fn spread(kind: PoolKind, s: &PoolShape, x: &[f64], dy: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; x.len()];
    for (takers, d) in pool::naive::forward(kind, s, x).1.into_iter().zip(dy) {
        takers.into_iter().for_each(|(i, share)| dx[i] += share * d);
    }
    dx
}
