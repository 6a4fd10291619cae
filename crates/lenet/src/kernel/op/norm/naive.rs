//! The naive reference in f64: one channel of a whole batch, then all channels.

use crate::spec::NormShape;

/// Mean and biased variance.
pub fn moments(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    (mean, x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n)
}

/// `weight · (x - mean) / √(variance + eps) + bias`
pub fn forward(x: &[f64], (mean, variance): (f64, f64), eps: f64, weight: f64, bias: f64) -> Vec<f64> {
    x.iter().map(|x| weight * (x - mean) / (variance + eps).sqrt() + bias).collect()
}

/// dx, and the gradients of weight and bias, where mean and variance are those of x itself.
pub fn backward(x: &[f64], dy: &[f64], eps: f64, weight: f64) -> (Vec<f64>, f64, f64) {
    let (n, (mean, variance)) = (x.len() as f64, moments(x));
    let inverse = 1.0 / (variance + eps).sqrt();
    let normal: Vec<f64> = x.iter().map(|x| (x - mean) * inverse).collect();
    let db = dy.iter().sum::<f64>();
    let dw = dy.iter().zip(&normal).map(|(d, x)| d * x).sum::<f64>();
    let dx = dy.iter().zip(&normal).map(|(d, x)| weight * inverse * (d - db / n - x * dw / n)).collect();
    (dx, dw, db)
}

/// The same where mean and variance are given and depend on nothing.
pub fn backward_running(
    x: &[f64],
    dy: &[f64],
    (mean, variance): (f64, f64),
    eps: f64,
    weight: f64,
) -> (Vec<f64>, f64, f64) {
    let inverse = 1.0 / (variance + eps).sqrt();
    let dw = dy.iter().zip(x).map(|(d, x)| d * (x - mean) * inverse).sum();
    (dy.iter().map(|d| d * weight * inverse).collect(), dw, dy.iter().sum())
}

/// The values of a channel, over all samples `[channels][positions]`.
fn channel(s: &NormShape, x: &[Vec<f64>], c: usize) -> Vec<f64> {
    x.iter().flat_map(|x| x[c * s.positions..(c + 1) * s.positions].iter().copied()).collect()
}

fn set_channel(s: &NormShape, x: &mut [Vec<f64>], c: usize, values: &[f64]) {
    for (x, values) in x.iter_mut().zip(values.chunks(s.positions)) {
        x[c * s.positions..(c + 1) * s.positions].copy_from_slice(values);
    }
}

/// y of all samples, by their own statistics, or by means and variances that are given.
pub fn forward_all(s: &NormShape, x: &[Vec<f64>], given: Option<[&[f64]; 2]>, [w, b]: [&[f64]; 2]) -> Vec<Vec<f64>> {
    let mut y = x.to_vec();
    for c in 0..s.channels {
        let values = channel(s, x, c);
        let moments = given.map_or_else(|| moments(&values), |[mean, variance]| (mean[c], variance[c]));
        set_channel(s, &mut y, c, &forward(&values, moments, f64::from(s.eps), w[c], b[c]));
    }
    y
}

/// dx of all samples; `add` takes each channel's gradients of weight and bias.
pub fn backward_all(
    s: &NormShape,
    x: &[Vec<f64>],
    dy: &[Vec<f64>],
    given: Option<[&[f64]; 2]>,
    w: &[f64],
    mut add: impl FnMut(usize, [f64; 2]),
) -> Vec<Vec<f64>> {
    let mut dx = dy.to_vec();
    for c in 0..s.channels {
        let (values, d) = (channel(s, x, c), channel(s, dy, c));
        let (part, dw, db) = match given {
            None => backward(&values, &d, f64::from(s.eps), w[c]),
            Some([mean, variance]) => backward_running(&values, &d, (mean[c], variance[c]), f64::from(s.eps), w[c]),
        };
        add(c, [dw, db]);
        set_channel(s, &mut dx, c, &part);
    }
    dx
}
