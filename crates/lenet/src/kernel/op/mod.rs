//! Operators, a folder each: the SIMD kernel, its naive reference beside it, its tests, what `lenet bench` times of it.
//!
//! A new layer has a line in each match here.

pub mod activation;
pub mod add;
pub mod conv;
pub mod dense;
pub mod dropout;
pub mod epilogue;
pub mod loss;
pub mod norm;
pub mod pool;
pub mod prelu;
pub mod rbf;

use crate::spec::{Geometry, LayerInfo, ParameterInfo};
use pool::PoolKind;

/// The values of all samples of a batch, `[c, h, w]` each.
pub type Values = Vec<Vec<f64>>;

/// A layer with all numbers of its network, as the naive reference computes it: a batch at a time, in f64.
#[derive(Clone, Copy)]
pub struct Naive<'a> {
    /// The layer.
    pub layer: &'a LayerInfo,
    /// The network's parameter slab.
    pub parameters: &'a [f64],
    /// The network's buffer slab.
    pub buffers: &'a [f64],
    /// Whether it trains: batch statistics, dropout with these keys, one a sample (see [`dropout`]).
    pub train: Option<&'a [u32]>,
}

impl<'a> Naive<'a> {
    fn tensor(&self, info: &Option<ParameterInfo>) -> Option<&'a [f64]> {
        info.as_ref().map(|p| &self.parameters[p.range.clone()])
    }

    fn weight(&self) -> &'a [f64] {
        self.tensor(&self.layer.weight).unwrap_or(&[])
    }

    fn bias(&self) -> Option<&'a [f64]> {
        self.tensor(&self.layer.bias)
    }

    fn buffer(&self, number: usize) -> &'a [f64] {
        &self.buffers[self.layer.buffers[number].range.clone()]
    }

    /// Mean and variance that evaluation normalises by.
    fn running(&self) -> Option<[&'a [f64]; 2]> {
        self.train.is_none().then(|| [self.buffer(0), self.buffer(1)])
    }

    /// What dropout multiplies a sample's values by.
    fn factors(&self, rate: f32, sample: usize, n: usize) -> Vec<f64> {
        match self.train {
            Some(keys) => {
                dropout::naive::factors(keys[sample].wrapping_add(dropout::layer_key(&self.layer.name)), rate, n)
            }
            None => vec![1.0; n],
        }
    }

    /// What the layer gives, from what it takes; of a sum that is two values.
    pub fn forward(&self, x: &[Vec<f64>], other: Option<&[Vec<f64>]>) -> Values {
        let (w, b) = (self.weight(), self.bias());
        match &self.layer.geometry {
            Geometry::Conv2d(s) => each(x, |x| conv::naive::forward(s, x, w, b)),
            Geometry::Dense(s) => each(x, |x| dense::naive::forward(s, x, w, b)),
            Geometry::Rbf(s) => each(x, |x| rbf::naive::forward(s, self.buffer(0), x)),
            Geometry::AvgPool(s) => each(x, |x| pool::naive::forward(PoolKind::Average, s, x).0),
            Geometry::MaxPool(s) => each(x, |x| pool::naive::forward(PoolKind::Maximum, s, x).0),
            Geometry::Subsample(s) => each(x, |x| pool::naive::subsample(s, x, w, b)),
            Geometry::Activation(a) => each(x, |x| x.iter().map(|&x| activation::naive(*a, x).0).collect()),
            Geometry::Prelu(s) => each(x, |x| prelu::naive::forward(s, w, x)),
            Geometry::BatchNorm(s) => norm::naive::forward_all(s, x, self.running(), [w, b.unwrap_or(&[])]),
            Geometry::Dropout(rate) => {
                let scaled = |(i, x): (usize, &Vec<f64>)| product(x, &self.factors(*rate, i, x.len()));
                x.iter().enumerate().map(scaled).collect()
            }
            Geometry::Add => x.iter().zip(other.unwrap_or(&[])).map(|(a, b)| sum(a, b)).collect(),
            Geometry::Flatten => x.to_vec(),
        }
    }

    /// The gradient of what the layer takes, of both values of a sum; the gradients of its parameters are added to the
    /// network's slab.
    pub fn backward(&self, x: &[Vec<f64>], dy: &[Vec<f64>], slab: &mut [f64]) -> Values {
        let w = self.weight();
        match &self.layer.geometry {
            Geometry::Conv2d(s) => {
                self.learning(x, dy, slab, |x, dy, dw, db| conv::naive::backward(s, x, w, dy, dw, db))
            }
            Geometry::Dense(s) => {
                self.learning(x, dy, slab, |x, dy, dw, db| dense::naive::backward(s, x, w, dy, dw, db))
            }
            Geometry::Subsample(s) => {
                self.learning(x, dy, slab, |x, dy, dw, db| pool::naive::subsample_backward(s, x, w, dy, dw, db))
            }
            Geometry::Prelu(s) => self.learning(x, dy, slab, |x, dy, dw, _| prelu::naive::backward(s, w, x, dy, dw)),
            Geometry::BatchNorm(s) => {
                let places = [&self.layer.weight, &self.layer.bias];
                norm::naive::backward_all(s, x, dy, self.running(), w, |c, gradients| {
                    for (place, gradient) in places.into_iter().zip(gradients) {
                        place.iter().for_each(|p| slab[p.range.start + c] += gradient);
                    }
                })
            }
            Geometry::Rbf(s) => each_back(x, dy, |x, dy| rbf::naive::backward(s, self.buffer(0), x, dy)),
            Geometry::AvgPool(s) => each_back(x, dy, |x, dy| pool::naive::backward(PoolKind::Average, s, x, dy)),
            Geometry::MaxPool(s) => each_back(x, dy, |x, dy| pool::naive::backward(PoolKind::Maximum, s, x, dy)),
            Geometry::Activation(a) => {
                each_back(x, dy, |x, dy| x.iter().zip(dy).map(|(&x, d)| activation::naive(*a, x).1 * d).collect())
            }
            Geometry::Dropout(rate) => {
                let scaled = |(i, dy): (usize, &Vec<f64>)| product(dy, &self.factors(*rate, i, dy.len()));
                dy.iter().enumerate().map(scaled).collect()
            }
            Geometry::Add | Geometry::Flatten => dy.to_vec(),
        }
    }

    /// The gradients of inputs, sample by sample, and those of the parameters added to the slab.
    fn learning(
        &self,
        x: &[Vec<f64>],
        dy: &[Vec<f64>],
        slab: &mut [f64],
        backward: impl Fn(&[f64], &[f64], &mut [f64], Option<&mut [f64]>) -> Vec<f64>,
    ) -> Values {
        let sample = |(x, dy): (&Vec<f64>, &Vec<f64>)| {
            let mut dw = vec![0.0; self.weight().len()];
            let mut db = self.bias().map(|b| vec![0.0; b.len()]);
            let dx = backward(x, dy, &mut dw, db.as_deref_mut());
            for (info, d) in self.layer.weight.iter().zip([&dw]).chain(self.layer.bias.iter().zip(&db)) {
                slab[info.range.clone()].iter_mut().zip(d).for_each(|(g, d)| *g += d);
            }
            dx
        };
        x.iter().zip(dy).map(sample).collect()
    }
}

fn each(x: &[Vec<f64>], f: impl Fn(&[f64]) -> Vec<f64>) -> Values {
    x.iter().map(|x| f(x)).collect()
}

fn each_back(x: &[Vec<f64>], dy: &[Vec<f64>], f: impl Fn(&[f64], &[f64]) -> Vec<f64>) -> Values {
    x.iter().zip(dy).map(|(x, dy)| f(x, dy)).collect()
}

fn product(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

#[cfg(feature = "bench")]
pub(crate) mod bench {
    use super::conv::Direct;
    use super::*;
    use crate::kernel::bench::{Bench, Disagreement};
    use crate::kernel::plan::frame::{Frame, chw};
    use crate::kernel::winograd::pairs::{self, Pairs};
    use crate::kernel::winograd::square::{self, Square};
    use crate::spec::{Activation, Network, PoolShape};

    /// Measures each layer of a network on one chunk, forward and backward.
    pub(crate) fn run(bench: &mut Bench, network: &Network) -> Result<(), Disagreement> {
        let (mut learns, mut before): (bool, Option<(String, Activation)>) = (false, None);
        for layer in &network.layers {
            let (name, frame) = (format!("{} {}", layer.name, layer.kind), Frame::chunk(chw(layer.output)));
            let activation = before.take();
            match &layer.geometry {
                Geometry::Conv2d(s) => {
                    let path = bench.path;
                    conv::bench::bench(bench, [&name, ""], s, learns, |x, z| Direct::plan(path, s, x, z, learns))?;
                    if pairs::fits(s) {
                        let plan = |x: &_, z: &_| Pairs::plan(path, s, x, z, learns);
                        conv::bench::bench(bench, [&name, ", row pairs"], s, learns, plan)?;
                    }
                    if square::fits(s) {
                        let plan = |x: &_, z: &_| Square::plan(path, s, x, z, learns);
                        conv::bench::bench(bench, [&name, ", squares"], s, learns, plan)?;
                    }
                }
                Geometry::Dense(s) => dense::bench::bench(bench, &name, s)?,
                // It is timed with the pooling behind it.
                Geometry::Activation(a) => before = Some((name, *a)),
                Geometry::BatchNorm(s) => norm::bench::bench(bench, &name, s, frame)?,
                Geometry::Prelu(s) => prelu::bench::bench(bench, &name, s, frame)?,
                Geometry::Dropout(rate) => dropout::bench::bench(bench, &name, *rate, &frame)?,
                Geometry::Add => add::bench::bench(bench, &name, &frame)?,
                Geometry::Rbf(s) => rbf::bench::bench(bench, &name, s)?,
                Geometry::AvgPool(s) => pooling(bench, &name, activation, PoolKind::Average, s)?,
                Geometry::MaxPool(s) => pooling(bench, &name, activation, PoolKind::Maximum, s)?,
                Geometry::Subsample(s) => pool::bench::bench(bench, &name, PoolKind::Average, s)?,
                Geometry::Flatten => {}
            }
            learns |= layer.weight.is_some();
        }
        Ok(())
    }

    /// A pooling with the activation before it, or alone, if it is not fused with what is before.
    fn pooling(
        bench: &mut Bench,
        name: &str,
        activation: Option<(String, Activation)>,
        kind: PoolKind,
        s: &PoolShape,
    ) -> Result<(), Disagreement> {
        match (epilogue::Epilogue::fits(s), activation) {
            (true, Some((before, a))) => epilogue::bench::bench(bench, &format!("{before} and pooling"), a, kind, s),
            (true, None) => Ok(()),
            (false, _) => pool::bench::bench(bench, name, kind, s),
        }
    }
}
