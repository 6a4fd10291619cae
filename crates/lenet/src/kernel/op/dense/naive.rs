//! The naive reference, one sample in f64.

use crate::spec::DenseShape;

/// y of one sample.
pub fn forward(s: &DenseShape, x: &[f64], w: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
    (0..s.outputs)
        .map(|o| {
            let row = &w[o * s.inputs..][..s.inputs];
            bias.map_or(0.0, |b| b[o]) + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>()
        })
        .collect()
}

/// dx of one sample, and dw and db added to.
pub fn backward(s: &DenseShape, x: &[f64], w: &[f64], dy: &[f64], dw: &mut [f64], db: Option<&mut [f64]>) -> Vec<f64> {
    let mut dx = vec![0.0; s.inputs];
    for o in 0..s.outputs {
        for i in 0..s.inputs {
            dx[i] += w[o * s.inputs + i] * dy[o];
            dw[o * s.inputs + i] += x[i] * dy[o];
        }
    }
    if let Some(db) = db {
        db.iter_mut().zip(dy).for_each(|(b, d)| *b += d);
    }
    dx
}
