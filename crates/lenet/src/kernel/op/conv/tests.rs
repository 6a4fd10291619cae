use super::{Algorithm, Direct, GRADIENT_BORDER, Inputs, Scratch, Weights, naive, scratch};
use crate::kernel::kit::{f64s, filled, lane, values};
use crate::kernel::path::Path;
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::CHUNK;
use crate::spec::ConvShape;

/// Stride 1, one group.
pub(crate) fn shape(
    ic: usize,
    oc: usize,
    [ih, iw]: [usize; 2],
    [kh, kw]: [usize; 2],
    padding: [usize; 2],
) -> ConvShape {
    let (oh, ow) = (ih + 2 * padding[0] + 1 - kh, iw + 2 * padding[1] + 1 - kw);
    ConvShape { ic, ih, iw, oc, oh, ow, kh, kw, stride: [1, 1], padding, dilation: [1, 1], groups: 1 }
}

fn assert_close(what: &str, got: &[f64], want: &[f64], bound: f64) {
    let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= bound * largest, "{what} {i}: {g}, expected {w}, largest {largest}");
    }
    assert_eq!(got.len(), want.len());
}

/// All three passes on all paths against the naive ones, and the paths' bits against each other.
pub(crate) fn check<A: Algorithm>(
    s: &ConvShape,
    extra_border: usize,
    plan: fn(Path, &ConvShape, &Frame, &Frame, bool) -> A,
) {
    let x_frame =
        Frame::chunk([s.ic, s.ih, s.iw]).with_border(s.padding[0] + extra_border, s.padding[1] + extra_border);
    let z_frame = Frame::chunk([s.oc, s.oh, s.ow]).with_border(0, GRADIENT_BORDER);
    let (x, dz, w) = (filled(&x_frame, 1), filled(&z_frame, 2), values(s.oc * s.taps(), 3));
    let bias = values(s.oc, 4);
    let mut bits: Option<[Vec<f32>; 3]> = None;
    for path in Path::available() {
        let plan = plan(path, s, &x_frame, &z_frame, true);
        // What others left in the buffers must not matter.
        let mut scratch = Scratch::default();
        scratch::spoil(&mut scratch);
        let [mut forward, mut gradient] = plan.packed_len().map(|n| vec![0.0; n]);
        plan.pack_tasks(path, &w, [&mut forward, &mut gradient]).iter_mut().for_each(|task| task());
        let (mut z, mut dx) = (vec![0.0; z_frame.len()], vec![0.0; x_frame.len()]);
        for row in 0..s.oh {
            let inputs = Inputs { x: &x, packed: &forward, bias: Some(&bias) };
            plan.forward(path, row..row + 1, inputs, &mut z, &mut scratch);
        }
        let mut weights = |dz: &[f32]| {
            let (mut acc, mut own, mut dw) = (vec![5.0; plan.acc_len()], vec![5.0; plan.own_len()], vec![0.0; w.len()]);
            for row in (0..s.oh).step_by(plan.strip(1)) {
                let rows = row..(row + plan.strip(1)).min(s.oh);
                plan.weight(path, rows, Weights { dz, x: &x, acc: &mut acc, own: &mut own }, &mut scratch);
            }
            plan.sum(path, &acc, &mut own);
            plan.finish(&own, &mut dw);
            dw
        };
        let dw = weights(&dz);
        let mut all = vec![0.0; w.len()];
        for l in 0..CHUNK {
            let (x1, dz1, w1) = (lane(&x_frame, &x, l), lane(&z_frame, &dz, l), f64s(&w));
            let before = all.clone();
            let dx1 = naive::backward(s, &x1, &w1, &dz1, &mut all, None);
            if l % 15 == 0 {
                plan.gradient(path, &dz, &gradient, &mut dx, &mut Scratch::default());
                assert_close("z", &lane(&z_frame, &z, l), &naive::forward(s, &x1, &w1, Some(&f64s(&bias))), 2e-6);
                assert_close("dx", &lane(&x_frame, &dx, l), &dx1, 2e-6);
                let alone: Vec<f32> =
                    dz.iter().enumerate().map(|(i, &d)| if i % CHUNK == l { d } else { 0.0 }).collect();
                let want: Vec<f64> = all.iter().zip(&before).map(|(a, b)| a - b).collect();
                assert_close("dw of a sample", &f64s(&weights(&alone)), &want, 2e-6);
            }
        }
        // Sums of all samples, of up to 25,600 terms.
        assert_close("dw", &f64s(&dw), &all, 4e-6);
        let zeros = dx.iter().filter(|&&v| v == 0.0).count();
        assert!(zeros >= x_frame.len() - s.ic * s.ih * s.iw * CHUNK, "the border stays zero");
        let same = bits.get_or_insert_with(|| [z.clone(), dw.clone(), dx.clone()]);
        assert!(*same == [z, dw, dx], "{path} gives the bits of the first path");
    }
}

#[test]
fn agrees_with_the_naive_convolution_on_every_path() {
    check(&shape(3, 5, [7, 9], [5, 3], [2, 1]), 0, Direct::plan);
    check(&shape(1, 4, [6, 5], [1, 1], [0, 0]), 1, Direct::plan);
    let strided = ConvShape { oh: 4, ow: 3, stride: [2, 3], ..shape(4, 6, [8, 8], [3, 2], [1, 0]) };
    check(&strided, 0, Direct::plan);
    check(&ConvShape { groups: 2, ..strided }, 0, Direct::plan);
    let depthwise = ConvShape { groups: 6, ..shape(6, 6, [5, 5], [3, 3], [1, 1]) };
    check(&depthwise, 0, Direct::plan);
    // Windows of 7 × 7, of 5 × 9, of 9 × 1, in steps that meet the gaps or not.
    let dilated = ConvShape { oh: 6, ow: 5, dilation: [3, 3], ..shape(3, 5, [8, 9], [3, 3], [2, 1]) };
    check(&dilated, 0, Direct::plan);
    check(
        &ConvShape { ow: 5, stride: [1, 2], dilation: [2, 4], oh: 8, ..shape(3, 5, [8, 15], [3, 3], [2, 1]) },
        1,
        Direct::plan,
    );
    let tall =
        ConvShape { oh: 1, ow: 3, stride: [2, 3], dilation: [4, 1], groups: 2, ..shape(4, 6, [8, 8], [3, 1], [1, 0]) };
    check(&tall, 0, Direct::plan);
}
