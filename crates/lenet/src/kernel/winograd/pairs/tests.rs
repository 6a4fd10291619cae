use super::Pairs;
use crate::kernel::kit::{filled, values};
use crate::kernel::op::conv::tests::{check, shape};
use crate::kernel::op::conv::{Algorithm, Inputs, Scratch};
use crate::kernel::path::Path;
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::CHUNK;

#[test]
fn agrees_with_the_naive_convolution_on_every_path() {
    check(&shape(6, 16, [14, 14], [5, 5], [0, 0]), 0, Pairs::plan);
    check(&shape(4, 6, [12, 9], [5, 5], [2, 2]), 0, Pairs::plan);
    check(&shape(5, 7, [8, 7], [3, 3], [1, 1]), 0, Pairs::plan);
    check(&shape(4, 4, [6, 5], [5, 3], [1, 2]), 1, Pairs::plan);
    check(&shape(7, 11, [6, 17], [3, 5], [2, 0]), 2, Pairs::plan);
    check(&shape(4, 5, [4, 3], [3, 2], [0, 1]), 0, Pairs::plan);
    check(&shape(4, 40, [4, 40], [3, 3], [1, 1]), 0, Pairs::plan);
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
