use super::{Patches, Square, fits};
use crate::kernel::kit::{filled, values};
use crate::kernel::op::conv::tests::{check, shape};
use crate::kernel::op::conv::{Algorithm, Inputs, Scratch};
use crate::kernel::path::Path;
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::CHUNK;
use crate::spec::ConvShape;

#[test]
fn agrees_with_the_naive_convolution_on_every_path() {
    check(&shape(12, 12, [14, 14], [3, 3], [1, 1]), 0, Square::plan);
    check(&shape(13, 17, [7, 7], [3, 3], [1, 1]), 1, Square::plan);
    check(&shape(24, 12, [10, 12], [3, 3], [0, 2]), 0, Square::plan);
    check(&shape(12, 29, [5, 6], [3, 3], [2, 0]), 2, Square::plan);
    // More rows of squares than the gradient of the weights takes at a time.
    check(&shape(12, 13, [40, 40], [3, 3], [1, 1]), 0, Square::plan);
}

#[test]
fn odd_sizes_and_few_channels_are_left_to_others() {
    let same = |n, channels| shape(channels, channels, [n, n], [3, 3], [1, 1]);
    assert!([3, 4, 6, 7, 8, 9, 14, 28].into_iter().all(|n| fits(&same(n, 12))));
    assert!([1, 2, 5].into_iter().all(|n| !fits(&same(n, 12))) && !fits(&same(8, 11)));
    assert!(!fits(&ConvShape { groups: 2, ..same(8, 12) }) && !fits(&ConvShape { stride: [1, 2], ..same(8, 12) }));
    assert!(!fits(&ConvShape { dilation: [2, 1], ..same(8, 12) }));
}

/// A sample alone has the bits that it has in a chunk.
#[test]
fn squares_in_the_lanes_give_the_same_bits() {
    for s in [shape(12, 14, [14, 11], [3, 3], [1, 0]), shape(16, 12, [28, 28], [3, 3], [1, 1])] {
        let chunk = [
            Frame::chunk([s.ic, s.ih, s.iw]).with_border(s.padding[0], s.padding[1]),
            Frame::chunk([s.oc, s.oh, s.ow]),
        ];
        let single = chunk.map(|f| Frame { lanes: 1, ..f });
        let (x, w, bias) = (filled(&chunk[0], 5), values(s.oc * s.taps(), 6), values(s.oc, 7));
        let x1: Vec<f32> = x.iter().skip(9).step_by(CHUNK).copied().collect();
        for path in Path::available() {
            let whole = Square::plan(path, &s, &chunk[0], &chunk[1], false);
            let alone = Patches::plan(path, &s, &single[0], &single[1]);
            let mut scratch = Scratch::default();
            let (mut z, mut z1) = (vec![0.0; chunk[1].len()], vec![0.0; single[1].len()]);
            let mut packed = vec![0.0; whole.packed_len()[0]];
            whole.pack(path, &w, [&mut packed, &mut []]);
            let inputs = Inputs { x: &x, packed: &packed, bias: Some(&bias) };
            whole.forward(path, 0..s.oh, inputs, &mut z, &mut scratch);
            let mut packed = vec![0.0; alone.packed_len()];
            alone.pack(path, &w, &mut packed);
            let inputs = Inputs { x: &x1, packed: &packed, bias: Some(&bias) };
            alone.run(path, inputs, &mut z1, &mut scratch);
            for (c, y, col) in (0..s.oc * s.oh * s.ow).map(|i| (i / (s.oh * s.ow), i / s.ow % s.oh, i % s.ow)) {
                assert_eq!(z[chunk[1].at(c, y, col) + 9], z1[single[1].at(c, y, col)], "{path} {c} {y} {col}");
            }
        }
    }
}
