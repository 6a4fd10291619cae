use super::single::Finish;
use crate::kernel::op::activation::single::activate;
use crate::kernel::op::pool::PoolKind;
use crate::kernel::op::pool::single::pool;
use crate::kernel::path::Path;
use crate::kernel::plan::frame::Steps;
use crate::kernel::simd::CHUNK;
use crate::spec::{Activation, PoolShape};

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 7919 % 1009) as f32 / 250.0 - 2.0).collect()
}

/// All at once gives what activation and pooling give one after the other, and touches nothing else.
#[test]
fn in_one_go_or_step_by_step_the_bits_are_the_same() {
    for (c, [ih, iw], [kh, kw], stride, col) in [
        (6, [28, 28], [2, 2], [2, 2], 1),
        (3, [7, 11], [2, 2], [2, 2], 1),
        (4, [5, 37], [3, 1], [3, 2], 1),
        (4, [6, 19], [3, 1], [3, 1], 1),
        (2, [4, 21], [1, 1], [1, 1], 1),
        (2, [4, 9], [1, 1], [1, 1], 2),
        (20, [6, 5], [2, 2], [3, 2], 32),
        (16, [10, 10], [3, 3], [3, 3], 16),
    ] {
        let (oh, ow) = ((ih - kh) / stride[0] + 1, (iw - kw) / stride[1] + 1);
        let s = PoolShape { c, ih, iw, oh, ow, kh, kw, stride, padding: [0, 0] };
        let y = Steps { origin: 5, plane: (oh + 1) * (ow + 3), row: ow + 3, col: 1 };
        let across = col > 2;
        let row = iw * col + 3;
        let z = Steps { origin: 2, plane: if across { 1 } else { ih * row }, row, col };
        let all: Vec<_> = (0..c * ih * iw).map(|i| (i / (ih * iw), i / iw % ih, i % iw)).collect();
        for (kind, normalizes) in
            [PoolKind::Average, PoolKind::Maximum].into_iter().flat_map(|k| [false, !across].map(|n| (k, n)))
        {
            for activation in [None, Some(Activation::Sigmoid), Some(Activation::Silu)] {
                let finish = Finish { normalizes, activation, kind, s, z, y };
                assert!(finish.fits());
                let from = values(finish.z_extent().max(c * ih * row));
                let affine = [values(c + 3).split_off(3), values(c)];
                let mut bias = vec![0.0; if across { c.next_multiple_of(CHUNK) } else { 0 }];
                bias.iter_mut().zip(values(c)).for_each(|(b, v)| *b = v);
                let mut steps = from.clone();
                for &(i, row, col) in &all {
                    let value = &mut steps[z.at(i, row, col)];
                    if across {
                        *value += bias[i];
                    } else if normalizes {
                        *value = value.mul_add(affine[0][i], affine[1][i]);
                    }
                }
                activate(Path::PORTABLE, activation, &mut steps);
                let mut want = vec![7.0; c * y.plane + 5];
                pool(kind, &s, &steps, z, &mut want, y);
                for path in Path::available() {
                    let mut got = vec![7.0; want.len()];
                    finish.run(path, &from, &bias, [&affine[0], &affine[1]], &mut got);
                    assert_eq!(got, want, "{path} {s:?} {kind:?} {activation:?}");
                }
            }
        }
    }
}
