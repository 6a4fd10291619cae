use super::plan::Pairs;
use crate::kernel::kit::{f64s, filled, lane, values};
use crate::kernel::op::conv::{self, naive};
use crate::kernel::path::Path;
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::CHUNK;
use crate::kernel::winograd::kit::{assert_close, shape};
use crate::kernel::winograd::scratch::{Inputs, Scratch};
use crate::spec::ConvShape;

/// All three passes on all paths against the naive ones, and the paths' bits against each other.
fn check(s: &ConvShape, extra_border: usize) {
    let x_frame =
        Frame::chunk([s.ic, s.ih, s.iw]).with_border(s.padding[0] + extra_border, s.padding[1] + extra_border);
    let z_frame = Frame::chunk([s.oc, s.oh, s.ow]).with_border(0, conv::GRADIENT_BORDER);
    let (x, dz, w) = (filled(&x_frame, 1), filled(&z_frame, 2), values(s.oc * s.taps(), 3));
    let bias = values(s.oc, 4);
    let mut bits: Option<[Vec<f32>; 3]> = None;
    for path in Path::available() {
        let plan = Pairs::plan(path, s, &x_frame, &z_frame, true);
        // What others left in the buffers must not matter.
        let mut scratch = Scratch::default();
        plan.reserve(&mut scratch, true);
        [&mut scratch.v, &mut scratch.d, &mut scratch.m].into_iter().for_each(|b| b.fill(7.0));
        let [mut forward, mut gradient] = plan.packed_len().map(|n| vec![0.0; n]);
        plan.pack(&w, [&mut forward, &mut gradient]);
        let (mut z, mut dx) = (vec![0.0; z_frame.len()], vec![0.0; x_frame.len()]);
        for row in 0..s.oh {
            let inputs = Inputs { x: &x, packed: &forward, bias: Some(&bias) };
            plan.forward(path, row..row + 1, inputs, &mut z, &mut scratch);
        }
        let mut acc = vec![5.0; plan.acc_len()];
        let half = s.oh / 4 * 2;
        plan.weight(path, 0..half, &dz, &x, &mut acc, &mut scratch);
        plan.weight(path, half..s.oh, &dz, &x, &mut acc, &mut scratch);
        plan.gradient(path, &dz, &gradient, &mut dx, &mut scratch);
        for l in [0, 15] {
            let (x1, dz1, w1) = (lane(&x_frame, &x, l), lane(&z_frame, &dz, l), f64s(&w));
            assert_close("z", &lane(&z_frame, &z, l), &naive::forward(s, &x1, &w1, Some(&f64s(&bias))), 2e-6);
            let (mut want, mut got) = (vec![0.0; w.len()], vec![0.0; w.len()]);
            let dx1 = naive::backward(s, &x1, &w1, &dz1, &mut want, None);
            let sums: Vec<f32> = acc.iter().skip(l).step_by(CHUNK).copied().collect();
            plan.finish(&sums, &mut got);
            assert_close("dw", &f64s(&got), &want, 2e-6);
            assert_close("dx", &lane(&x_frame, &dx, l), &dx1, 2e-6);
        }
        let same = bits.get_or_insert_with(|| [z.clone(), acc.clone(), dx.clone()]);
        assert!(*same == [z, acc, dx], "{path} gives the bits of the first path");
    }
}

#[test]
fn agrees_with_the_naive_convolution_on_every_path() {
    check(&shape(6, 16, [14, 14], [5, 5], [0, 0]), 0);
    check(&shape(4, 6, [12, 9], [5, 5], [2, 2]), 0);
    check(&shape(5, 7, [8, 7], [3, 3], [1, 1]), 0);
    check(&shape(4, 4, [6, 5], [5, 3], [1, 2]), 1);
    check(&shape(7, 11, [6, 17], [3, 5], [2, 0]), 2);
    check(&shape(4, 5, [4, 3], [3, 2], [0, 1]), 0);
    check(&shape(4, 40, [4, 40], [3, 3], [1, 1]), 0);
}

/// A sample alone has the bits that it has in a chunk.
#[test]
fn columns_or_outputs_in_the_lanes_give_the_same_bits() {
    for s in [
        shape(1, 6, [28, 28], [5, 5], [2, 2]),
        shape(6, 16, [14, 14], [5, 5], [0, 0]),
        shape(4, 16, [14, 11], [5, 3], [0, 1]),
        shape(4, 4, [4, 33], [3, 3], [1, 1]),
        shape(5, 35, [6, 3], [3, 3], [1, 1]),
    ] {
        let chunk = [
            Frame::chunk([s.ic, s.ih, s.iw]).with_border(s.padding[0], s.padding[1]),
            Frame::chunk([s.oc, s.oh, s.ow]),
        ];
        let x_frame = Frame { lanes: 1, ..chunk[0] };
        let columns = Frame { lanes: 1, cols: s.ow.next_multiple_of(CHUNK), ..chunk[1] };
        let outputs = s.oc.next_multiple_of(CHUNK);
        let (x, w) = (filled(&chunk[0], 5), values(s.oc * s.taps(), 6));
        for path in Path::available() {
            let z = [
                Pairs::plan(path, &s, &chunk[0], &chunk[1], false),
                Pairs::plan(path, &s, &x_frame, &columns, false),
                Pairs::plan_across(path, &s, &x_frame),
            ]
            .map(|plan| {
                let mut pack = vec![0.0; plan.packed_len()[0]];
                plan.pack(&w, [&mut pack, &mut []]);
                let mut input = vec![0.0; plan.x_extent()];
                if plan.x_extent() < x.len() {
                    input.iter_mut().zip(x.iter().skip(9).step_by(CHUNK)).for_each(|(i, x)| *i = *x);
                } else {
                    input.copy_from_slice(&x);
                }
                let mut out = vec![0.0; plan.z_extent()];
                let inputs = Inputs { x: &input, packed: &pack, bias: None };
                plan.forward(path, 0..s.oh, inputs, &mut out, &mut Scratch::default());
                out
            });
            for (c, y, col) in (0..s.oc * s.oh * s.ow).map(|i| (i / (s.oh * s.ow), i / s.ow % s.oh, i % s.ow)) {
                let want = z[0][chunk[1].at(c, y, col) + 9];
                assert_eq!(want, z[1][columns.at(c, y, col)], "{path} {c} {y} {col}");
                assert_eq!(want, z[2][(y * s.ow + col) * outputs + c], "{path} {c} {y} {col}, outputs in the lanes");
            }
        }
    }
}
