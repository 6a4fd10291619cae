//! Shapes and comparisons for the tests of both algorithms.

use crate::spec::ConvShape;

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

pub(super) fn assert_close(what: &str, got: &[f64], want: &[f64], bound: f64) {
    let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= bound * largest, "{what} {i}: {g}, expected {w}, largest {largest}");
    }
    assert_eq!(got.len(), want.len());
}
