//! The naive reference, on `[n, c, h, w]` in f64: what the kernels above mean.

use crate::spec::ConvShape;
use std::ops::Range;

/// Outputs along a side whose window has its row or column, `k` behind its corner, within the input.
fn meeting(k: usize, stride: usize, padding: usize, input: usize, output: usize) -> Range<usize> {
    padding.saturating_sub(k).div_ceil(stride)..(input + padding).saturating_sub(k).div_ceil(stride).min(output)
}

/// Every weight with every row of outputs that it reaches: positions in y, w and x of one sample of the first, and how
/// many; their inputs are a stride apart.
fn each_run(s: &ConvShape, mut run: impl FnMut(usize, usize, usize, usize)) {
    for oc in 0..s.oc {
        let first_channel = oc / s.group_outputs() * s.group_inputs();
        for ic in 0..s.group_inputs() {
            for ky in 0..s.kh {
                for kx in 0..s.kw {
                    let w = ((oc * s.group_inputs() + ic) * s.kh + ky) * s.kw + kx;
                    let [row, col] = [ky * s.dilation[0], kx * s.dilation[1]];
                    let columns = meeting(col, s.stride[1], s.padding[1], s.iw, s.ow);
                    if columns.is_empty() {
                        continue;
                    }
                    let x = columns.start * s.stride[1] + col - s.padding[1];
                    for oy in meeting(row, s.stride[0], s.padding[0], s.ih, s.oh) {
                        let y = oy * s.stride[0] + row - s.padding[0];
                        let output = (oc * s.oh + oy) * s.ow + columns.start;
                        run(output, w, ((first_channel + ic) * s.ih + y) * s.iw + x, columns.len());
                    }
                }
            }
        }
    }
}

/// Every (output, weight, input) that meet, as positions in y, w and x of one sample.
pub fn each_term(s: &ConvShape, mut term: impl FnMut(usize, usize, usize)) {
    each_run(s, |o, k, i, n| (0..n).for_each(|j| term(o + j, k, i + j * s.stride[1])));
}

/// y of one sample, `[oc, oh, ow]`.
pub fn forward(s: &ConvShape, x: &[f64], w: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
    let mut y: Vec<f64> = (0..s.oc * s.oh * s.ow).map(|i| bias.map_or(0.0, |b| b[i / (s.oh * s.ow)])).collect();
    each_run(s, |o, k, i, n| {
        let (y, w) = (&mut y[o..o + n], w[k]);
        match s.stride[1] {
            // The usual case on its own, so that it is vectorised: activations are shown live.
            1 => y.iter_mut().zip(&x[i..i + n]).for_each(|(y, x)| *y += w * x),
            stride => y.iter_mut().zip(x[i..].iter().step_by(stride)).for_each(|(y, x)| *y += w * x),
        }
    });
    y
}

/// dx of one sample, and dw and db added to.
pub fn backward(s: &ConvShape, x: &[f64], w: &[f64], dy: &[f64], dw: &mut [f64], db: Option<&mut [f64]>) -> Vec<f64> {
    let mut dx = vec![0.0; x.len()];
    each_term(s, |o, k, i| {
        dx[i] += w[k] * dy[o];
        dw[k] += x[i] * dy[o];
    });
    if let Some(db) = db {
        dy.iter().enumerate().for_each(|(i, d)| db[i / (s.oh * s.ow)] += d);
    }
    dx
}
