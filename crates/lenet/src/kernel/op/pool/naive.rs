//! The naive reference, one sample in f64.

use super::{PoolKind, Pooling};
use crate::spec::PoolShape;

/// y, and for each output the inputs that take its gradient, with their shares.
pub fn forward(kind: PoolKind, s: &PoolShape, x: &[f64]) -> (Vec<f64>, Vec<Vec<(usize, f64)>>) {
    let (mut y, mut takes) = (Vec::new(), Vec::new());
    for c in 0..s.c {
        for oy in 0..s.oh {
            for ox in 0..s.ow {
                let at = Pooling::window(s, oy, ox).map(|(_, y, x)| (c * s.ih + y) * s.iw + x);
                match kind {
                    PoolKind::Average => {
                        let share = 1.0 / (s.kh * s.kw) as f64;
                        y.push(at.clone().map(|i| x[i]).sum::<f64>() * share);
                        takes.push(at.map(|i| (i, share)).collect());
                    }
                    PoolKind::Maximum => {
                        let best = at.reduce(|a, b| if x[b] > x[a] { b } else { a }).unwrap_or(0);
                        y.push(x[best]);
                        takes.push(vec![(best, 1.0)]);
                    }
                }
            }
        }
    }
    (y, takes)
}

/// dx.
pub fn backward(kind: PoolKind, s: &PoolShape, x: &[f64], dy: &[f64]) -> Vec<f64> {
    let mut dx = vec![0.0; x.len()];
    for (takers, d) in forward(kind, s, x).1.into_iter().zip(dy) {
        takers.into_iter().for_each(|(i, share)| dx[i] += share * d);
    }
    dx
}

/// The sum over a window, times a weight a channel, plus a bias.
pub fn subsample(s: &PoolShape, x: &[f64], w: &[f64], bias: Option<&[f64]>) -> Vec<f64> {
    let gain = (s.kh * s.kw) as f64;
    let channel = |i: usize| i / (s.oh * s.ow);
    let y = forward(PoolKind::Average, s, x).0;
    y.iter().enumerate().map(|(i, y)| gain * w[channel(i)] * y + bias.map_or(0.0, |b| b[channel(i)])).collect()
}

/// dx of [`subsample`], and dw and db added to.
pub fn subsample_backward(
    s: &PoolShape,
    x: &[f64],
    w: &[f64],
    dy: &[f64],
    dw: &mut [f64],
    mut db: Option<&mut [f64]>,
) -> Vec<f64> {
    let (y, gain) = (forward(PoolKind::Average, s, x).0, (s.kh * s.kw) as f64);
    for (i, d) in dy.iter().enumerate() {
        let c = i / (s.oh * s.ow);
        dw[c] += d * gain * y[i];
        db.iter_mut().for_each(|db| db[c] += d);
    }
    let scaled: Vec<f64> = dy.iter().enumerate().map(|(i, d)| d * gain * w[i / (s.oh * s.ow)]).collect();
    backward(PoolKind::Average, s, x, &scaled)
}
