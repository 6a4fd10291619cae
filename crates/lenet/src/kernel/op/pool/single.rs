//! Pooling of one sample, by any window.

use super::PoolKind;
use crate::kernel::plan::frame::Steps;
use crate::spec::PoolShape;

/// Pools one sample, in the same order of additions as the chunk kernels; a 1 × 1 window copies.
pub fn pool(kind: PoolKind, s: &PoolShape, x: &[f32], from: Steps, y: &mut [f32], to: Steps) {
    let share = 1.0 / (s.kh * s.kw) as f32;
    for c in 0..s.c {
        for oy in 0..s.oh {
            // Rows and columns of the window that lie within the input.
            let (top, bottom) = clip(oy, s.stride[0], s.kh, s.padding[0], s.ih);
            for ox in 0..s.ow {
                let (left, right) = clip(ox, s.stride[1], s.kw, s.padding[1], s.iw);
                let value = if kind == PoolKind::Average {
                    let mut sum = 0.0;
                    for iy in top..bottom {
                        for ix in left..right {
                            sum += x[from.at(c, iy, ix)];
                        }
                    }
                    sum * share
                } else {
                    let mut best = f32::NEG_INFINITY;
                    for iy in top..bottom {
                        for ix in left..right {
                            let v = x[from.at(c, iy, ix)];
                            if v > best || v.is_nan() {
                                best = v;
                            }
                        }
                    }
                    best
                };
                y[to.at(c, oy, ox)] = value;
            }
        }
    }
}

fn clip(out: usize, stride: usize, window: usize, padding: usize, len: usize) -> (usize, usize) {
    let start = out * stride;
    (start.saturating_sub(padding), (start + window).saturating_sub(padding).min(len))
}
