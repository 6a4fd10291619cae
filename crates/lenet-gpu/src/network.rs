//! A network on tensors: `[n, c, h, w]`, features as `[n, f, 1, 1]`. Training and evaluation go through the same code; that
//! parameters ask for gradients is their own business.

use crate::dropout;
use burn::tensor::activation::{log_sigmoid, relu, sigmoid};
use burn::tensor::module::{avg_pool2d, conv2d, max_pool2d};
use burn::tensor::ops::{AvgPoolOptions, ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Int, Tensor};
use lenet::spec::{
    Activation, Approximate, ConvShape, Geometry, LayerInfo, Network, NormShape, ParameterInfo, PoolShape,
};

/// Most products that a weight's gradient sums in one chain, as Burn's convolutions do over samples and positions: the
/// rounding errors of 200,000 of them (LeNet, 256 images) are 1e-5 of the largest gradient. Mesa's llvmpipe, moreover, leaves
/// any loop after 65,535 rounds, without a word.
const CHAIN: usize = 1 << 15;

/// What a network computes with.
pub(crate) struct Values<'a> {
    pub network: &'a Network,
    /// In the order of [`Network::tensors`], each as one row.
    pub parameters: &'a [Tensor<1>],
    /// In the order of [`Network::buffer_tensors`], likewise.
    pub buffers: &'a [Tensor<1>],
    /// The samples' keys for dropout, in training.
    pub keys: Option<Tensor<1, Int>>,
    pub device: &'a Device,
}

/// Mean and unbiased variance of a batch, by the position of the first of both among the buffers.
pub(crate) type Statistics = Vec<(usize, [Tensor<1>; 2])>;

impl Values<'_> {
    /// Logits `[n, outputs]`, and in training what normalisations saw.
    pub fn logits(&self, x: Tensor<4>) -> (Tensor<2>, Statistics) {
        let n = x.dims()[0];
        let layers = self.network.layers();
        // A value is dropped behind the last layer that reads it.
        let mut last = vec![0; layers.len() + 1];
        for (number, layer) in layers.iter().enumerate() {
            std::iter::once(layer.source).chain(layer.other).for_each(|v| last[v] = number);
        }
        let mut values: Vec<Option<Tensor<4>>> = vec![Some(x)];
        let (mut parameter, mut buffer, mut statistics) = (0, 0, Vec::new());
        for (number, layer) in layers.iter().enumerate() {
            let Some(x) = values[layer.source].clone() else { break };
            let other = layer.other.and_then(|v| values[v].clone());
            for v in std::iter::once(layer.source).chain(layer.other).filter(|&v| last[v] == number) {
                values[v] = None;
            }
            let mut next = |info: &Option<ParameterInfo>| {
                let tensor = info.as_ref().map(|_| self.parameters[parameter].clone());
                parameter += usize::from(info.is_some());
                tensor
            };
            let (w, b) = (next(&layer.weight), next(&layer.bias));
            let buffers = &self.buffers[buffer..buffer + layer.buffers.len()];
            let y = self.layer(layer, x, other, [w, b], buffers, |seen| statistics.push((buffer, seen)));
            buffer += layer.buffers.len();
            values.push(Some(y));
        }
        let logits = values.pop().flatten().expect("the last layer's values, which no layer reads");
        (logits.reshape([n, self.network.outputs()]), statistics)
    }

    /// What a layer gives; `track` takes what a normalisation sees of a batch.
    fn layer(
        &self,
        layer: &LayerInfo,
        x: Tensor<4>,
        other: Option<Tensor<4>>,
        [w, b]: [Option<Tensor<1>>; 2],
        buffers: &[Tensor<1>],
        track: impl FnMut([Tensor<1>; 2]),
    ) -> Tensor<4> {
        let n = x.dims()[0];
        let weight = |w: Option<Tensor<1>>| w.expect("inference gives a layer that sums a weight");
        match &layer.geometry {
            Geometry::Conv2d(s) => self.convolution(s, x, weight(w).reshape([s.oc, s.group_inputs(), s.kh, s.kw]), b),
            Geometry::Dense(s) => {
                let y = x.reshape([n, s.inputs]).matmul(weight(w).reshape([s.outputs, s.inputs]).transpose());
                let y = match b {
                    Some(b) => y + b.unsqueeze::<2>(),
                    None => y,
                };
                y.reshape([n, s.outputs, 1, 1])
            }
            Geometry::Subsample(s) => {
                let y = average(s, x) * channels(weight(w)).mul_scalar((s.kh * s.kw) as f32);
                match b {
                    Some(b) => y + channels(b),
                    None => y,
                }
            }
            Geometry::BatchNorm(s) => self.norm(s, x, [w, b], buffers, track),
            Geometry::Rbf(s) => {
                let codes = buffers[0].clone().reshape([1, s.outputs, s.inputs]);
                let d = x.reshape([n, 1, s.inputs]) - codes;
                (d.clone() * d).sum_dim(2).neg().reshape([n, s.outputs, 1, 1])
            }
            Geometry::AvgPool(s) => average(s, x),
            Geometry::MaxPool(s) => {
                let options = MaxPoolOptions::new([s.kh, s.kw]).with_stride(s.stride).with_padding(s.padding);
                max_pool2d(x, options)
            }
            Geometry::Activation(a) => activation(*a, x),
            Geometry::Prelu(_) => negative(&x) * channels(weight(w)) + relu(x),
            Geometry::Dropout(rate) => match &self.keys {
                Some(keys) if *rate > 0.0 => {
                    let dims = x.dims();
                    let factors = dropout::factors(keys.clone(), &layer.name, *rate, layer.input.len(), self.device);
                    x * factors.reshape(dims)
                }
                Some(_) | None => x,
            },
            Geometry::Add => match other {
                Some(other) => x + other,
                None => x,
            },
            Geometry::Flatten => x.reshape([n, layer.output.len(), 1, 1]),
        }
    }

    fn convolution(&self, s: &ConvShape, x: Tensor<4>, w: Tensor<4>, b: Option<Tensor<1>>) -> Tensor<4> {
        let one = |x| conv2d(x, w.clone(), b.clone(), ConvOptions::new(s.stride, s.padding, s.dilation, s.groups));
        // Burn takes four samples at a time.
        let samples = (CHAIN / (s.oh * s.ow) / 4 * 4).max(4);
        match self.keys.is_some() && x.dims()[0] > samples {
            true => Tensor::cat(x.split(samples, 0).into_iter().map(one).collect(), 0),
            false => one(x),
        }
    }

    fn norm(
        &self,
        s: &NormShape,
        x: Tensor<4>,
        [w, b]: [Option<Tensor<1>>; 2],
        running: &[Tensor<1>],
        mut track: impl FnMut([Tensor<1>; 2]),
    ) -> Tensor<4> {
        let (centred, variance) = match &self.keys {
            Some(_) => {
                let n = (x.dims()[0] * s.positions) as f32;
                let mean = channel_mean(x.clone());
                let centred = x - mean.clone();
                let variance = channel_mean(centred.clone() * centred.clone());
                let flat = |t: Tensor<4>| t.inner().reshape([s.channels]);
                track([flat(mean), flat(variance.clone()).mul_scalar(n / (n - 1.0).max(1.0))]);
                (centred, variance)
            }
            None => (x - channels(running[0].clone()), channels(running[1].clone())),
        };
        let scale = variance.add_scalar(s.eps).sqrt().recip();
        let scale = match w {
            Some(w) => scale * channels(w),
            None => scale,
        };
        match b {
            Some(b) => centred * scale + channels(b),
            None => centred * scale,
        }
    }
}

/// One value a channel, for images.
fn channels(row: Tensor<1>) -> Tensor<4> {
    let n = row.dims()[0];
    row.reshape([1, n, 1, 1])
}

/// The mean of each channel, `[1, c, 1, 1]`.
fn channel_mean(x: Tensor<4>) -> Tensor<4> {
    x.mean_dim(3).mean_dim(2).mean_dim(0)
}

fn average(s: &PoolShape, x: Tensor<4>) -> Tensor<4> {
    // Zeros around count.
    avg_pool2d(x, AvgPoolOptions::new([s.kh, s.kw]).with_stride(s.stride).with_padding(s.padding))
}

/// x where it is not above 0, else 0.
fn negative(x: &Tensor<4>) -> Tensor<4> {
    x.clone().mask_fill(x.clone().greater_elem(0.0), 0.0)
}

/// The activations, with the CPU's derivatives also at 0, where blank images put many values.
fn activation(a: Activation, x: Tensor<4>) -> Tensor<4> {
    match a {
        Activation::Sigmoid => sigmoid(x),
        Activation::Tanh => x.tanh(),
        Activation::Relu => relu(x),
        Activation::Relu6 => relu(x.clone()).mask_fill(x.greater_equal_elem(6.0), 6.0),
        Activation::LeakyRelu { slope } => negative(&x).mul_scalar(slope) + relu(x),
        Activation::Elu { alpha } => negative(&x).exp().sub_scalar(1.0).mul_scalar(alpha) + relu(x),
        // Burn's own has the derivative of an approximation.
        Activation::Gelu { approximate: Approximate::None } => {
            let share = x.clone().mul_scalar(std::f64::consts::FRAC_1_SQRT_2).erf().add_scalar(1.0);
            x * share.mul_scalar(0.5)
        }
        // (1 + tanh(t)) / 2 is sigmoid(2t).
        Activation::Gelu { approximate: Approximate::Tanh } => {
            let cubic = (x.clone() * x.clone()).mul_scalar(0.044_715).add_scalar(1.0) * x.clone();
            x * sigmoid(cubic.mul_scalar(2.0 * (2.0 / std::f64::consts::PI).sqrt()))
        }
        Activation::Silu => x.clone() * sigmoid(x),
        Activation::HardSwish => x.clone() * x.add_scalar(3.0).clamp(0.0, 6.0).div_scalar(6.0),
        Activation::ScaledTanh => x.mul_scalar(2.0 / 3.0).tanh().mul_scalar(1.7159),
        Activation::Softplus => log_sigmoid(x.neg()).neg(),
    }
}
