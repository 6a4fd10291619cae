//! The naive reference: any network, one sample after another, in f64, from the naive operators.
//!
//! It is what the engines are tested against; a person reads it to see what they compute.

use crate::kernel::pool::PoolKind;
use crate::kernel::{activation, conv, dense, loss, pool};
use crate::spec::{Geometry, LayerInfo, Network};

fn tensor<'a>(parameters: &'a [f64], info: &Option<crate::spec::ParameterInfo>) -> Option<&'a [f64]> {
    info.as_ref().map(|p| &parameters[p.range.clone()])
}

fn layer_forward(layer: &LayerInfo, parameters: &[f64], x: &[f64]) -> Vec<f64> {
    let (w, b) = (tensor(parameters, &layer.weight).unwrap_or(&[]), tensor(parameters, &layer.bias));
    match &layer.geometry {
        Geometry::Conv2d(s) => conv::naive::forward(s, x, w, b),
        Geometry::Dense(s) => dense::naive::forward(s, x, w, b),
        Geometry::AvgPool(s) => pool::naive::forward(PoolKind::Average, s, x).0,
        Geometry::MaxPool(s) => pool::naive::forward(PoolKind::Maximum, s, x).0,
        Geometry::Activation(a) => x.iter().map(|&x| activation::naive(*a, x).0).collect(),
        Geometry::Flatten => x.to_vec(),
    }
}

/// Activations of one sample, `[c, h, w]`: the input, then each layer's output; the last are the logits.
pub fn activations(network: &Network, parameters: &[f64], x: &[f64]) -> Vec<Vec<f64>> {
    let mut all = vec![x.to_vec()];
    for layer in &network.layers {
        all.push(layer_forward(layer, parameters, &all[all.len() - 1]));
    }
    all
}

/// Adds the gradient of one sample's cross-entropy, times `scale`, to `gradient`; returns the cross-entropy.
pub fn backward(
    network: &Network,
    parameters: &[f64],
    x: &[f64],
    label: usize,
    scale: f64,
    gradient: &mut [f64],
) -> f64 {
    let all = activations(network, parameters, x);
    let (loss, mut dy) = loss::naive(&all[all.len() - 1], label);
    dy.iter_mut().for_each(|d| *d *= scale);
    for (layer, x) in network.layers.iter().zip(&all).rev() {
        let w = tensor(parameters, &layer.weight).unwrap_or(&[]);
        let mut dw = vec![0.0; w.len()];
        let mut db = layer.bias.as_ref().map(|b| vec![0.0; b.range.len()]);
        dy = match &layer.geometry {
            Geometry::Conv2d(s) => conv::naive::backward(s, x, w, &dy, &mut dw, db.as_deref_mut()),
            Geometry::Dense(s) => dense::naive::backward(s, x, w, &dy, &mut dw, db.as_deref_mut()),
            Geometry::AvgPool(s) => spread(pool::naive::forward(PoolKind::Average, s, x).1, &dy, x.len()),
            Geometry::MaxPool(s) => spread(pool::naive::forward(PoolKind::Maximum, s, x).1, &dy, x.len()),
            Geometry::Activation(a) => x.iter().zip(&dy).map(|(&x, d)| activation::naive(*a, x).1 * d).collect(),
            Geometry::Flatten => dy,
        };
        for (info, d) in layer.weight.iter().zip([&dw]).chain(layer.bias.iter().zip(&db)) {
            gradient[info.range.clone()].iter_mut().zip(d).for_each(|(g, d)| *g += d);
        }
    }
    loss
}

fn spread(takes: Vec<Vec<(usize, f64)>>, dy: &[f64], len: usize) -> Vec<f64> {
    let mut dx = vec![0.0; len];
    for (takers, d) in takes.into_iter().zip(dy) {
        takers.into_iter().for_each(|(i, share)| dx[i] += share * d);
    }
    dx
}
