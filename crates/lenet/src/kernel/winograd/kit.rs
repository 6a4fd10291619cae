//! Numbers, shapes and comparisons for the tests of both algorithms.

use crate::kernel::plan::frame::Frame;
use crate::spec::ConvShape;

pub(super) fn values(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
        .collect()
}

pub(super) fn shape(
    ic: usize,
    oc: usize,
    [ih, iw]: [usize; 2],
    [kh, kw]: [usize; 2],
    padding: [usize; 2],
) -> ConvShape {
    let (oh, ow) = (ih + 2 * padding[0] + 1 - kh, iw + 2 * padding[1] + 1 - kw);
    ConvShape { ic, ih, iw, oc, oh, ow, kh, kw, stride: [1, 1], padding, groups: 1 }
}

pub(super) fn filled(f: &Frame, seed: u32) -> Vec<f32> {
    let (mut out, v) = (vec![0.0; f.len()], values(f.channels * f.rows * f.cols * f.lanes, seed));
    for (row, v) in v.chunks_exact(f.cols * f.lanes).enumerate() {
        let at = f.at(row / f.rows, row % f.rows, 0);
        out[at..at + v.len()].copy_from_slice(v);
    }
    out
}

/// One lane of a frame, `[c, h, w]`.
pub(super) fn lane(f: &Frame, values: &[f32], lane: usize) -> Vec<f64> {
    (0..f.channels * f.rows * f.cols)
        .map(|i| f64::from(values[f.at(i / (f.rows * f.cols), i / f.cols % f.rows, i % f.cols) + lane]))
        .collect()
}

pub(super) fn assert_close(what: &str, got: &[f64], want: &[f64], bound: f64) {
    let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= bound * largest, "{what} {i}: {g}, expected {w}, largest {largest}");
    }
    assert_eq!(got.len(), want.len());
}
