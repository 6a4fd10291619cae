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
