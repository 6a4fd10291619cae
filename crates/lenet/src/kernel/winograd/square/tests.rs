use super::{Patches, Square, fits};
use crate::kernel::kit::{f64s, filled, lane, values};
use crate::kernel::op::conv::{GRADIENT_BORDER, naive};
use crate::kernel::path::Path;
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::CHUNK;
use crate::kernel::winograd::kit::{assert_close, shape};
use crate::kernel::winograd::scratch::{Inputs, Scratch, grow};
use crate::spec::ConvShape;

/// All three passes on all paths against the naive ones, and the paths' bits against each other.
fn check(s: &ConvShape, extra_border: usize) {
    assert!(fits(s), "{s:?}");
    let x_frame =
        Frame::chunk([s.ic, s.ih, s.iw]).with_border(s.padding[0] + extra_border, s.padding[1] + extra_border);
    let z_frame = Frame::chunk([s.oc, s.oh, s.ow]).with_border(0, GRADIENT_BORDER);
    let (x, dz, w) = (filled(&x_frame, 1), filled(&z_frame, 2), values(s.oc * s.taps(), 3));
    let bias = values(s.oc, 4);
    let mut bits: Option<[Vec<f32>; 3]> = None;
    for path in Path::available() {
        let plan = Square::plan(path, s, &x_frame, &z_frame, true);
        // What others left in the buffers must not matter.
        let mut scratch = Scratch::default();
        let Scratch { v, d, m, lines, sums } = &mut scratch;
        for buffer in [v, d, m, lines, sums] {
            grow(buffer, 1 << 20);
            buffer.fill(7.0);
        }
        let [mut forward, mut gradient] = plan.packed_len().map(|n| vec![0.0; n]);
        plan.pack(path, &w, [&mut forward, &mut gradient]);
        let (mut z, mut dx) = (vec![0.0; z_frame.len()], vec![0.0; x_frame.len()]);
        for row in 0..s.oh {
            let inputs = Inputs { x: &x, packed: &forward, bias: Some(&bias) };
            plan.forward(path, row..row + 1, inputs, &mut z, &mut scratch);
        }
        let mut dw = vec![5.0; w.len()];
        plan.weight(path, &dz, &x, &mut dw, &mut scratch);
        plan.gradient(path, &dz, &gradient, &mut dx, &mut scratch);
        let mut all = vec![0.0; w.len()];
        for l in 0..CHUNK {
            let (x1, dz1, w1) = (lane(&x_frame, &x, l), lane(&z_frame, &dz, l), f64s(&w));
            let dx1 = naive::backward(s, &x1, &w1, &dz1, &mut all, None);
            if l % 15 == 0 {
                assert_close("z", &lane(&z_frame, &z, l), &naive::forward(s, &x1, &w1, Some(&f64s(&bias))), 2e-6);
                assert_close("dx", &lane(&x_frame, &dx, l), &dx1, 2e-6);
            }
        }
        // Sums of all samples, of up to 25,600 terms.
        assert_close("dw", &f64s(&dw), &all, 4e-6);
        let border = x_frame.len() - x_frame.channels * x_frame.rows * x_frame.cols * CHUNK;
        let zeros = dx.iter().filter(|&&v| v == 0.0).count();
        assert!(zeros >= border, "the border stays zero");
        let same = bits.get_or_insert_with(|| [z.clone(), dw.clone(), dx.clone()]);
        assert!(*same == [z, dw, dx], "{path} gives the bits of the first path");
    }
}

#[test]
fn agrees_with_the_naive_convolution_on_every_path() {
    check(&shape(12, 12, [14, 14], [3, 3], [1, 1]), 0);
    check(&shape(13, 17, [7, 7], [3, 3], [1, 1]), 1);
    check(&shape(24, 12, [10, 12], [3, 3], [0, 2]), 0);
    check(&shape(12, 29, [5, 6], [3, 3], [2, 0]), 2);
    // More rows of squares than the gradient of the weights takes at a time.
    check(&shape(12, 13, [40, 40], [3, 3], [1, 1]), 0);
}

#[test]
fn odd_sizes_and_few_channels_are_left_to_others() {
    let same = |n, channels| shape(channels, channels, [n, n], [3, 3], [1, 1]);
    assert!([3, 4, 6, 7, 8, 9, 14, 28].into_iter().all(|n| fits(&same(n, 12))));
    assert!([1, 2, 5].into_iter().all(|n| !fits(&same(n, 12))) && !fits(&same(8, 11)));
    assert!(!fits(&ConvShape { groups: 2, ..same(8, 12) }) && !fits(&ConvShape { stride: [1, 2], ..same(8, 12) }));
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
