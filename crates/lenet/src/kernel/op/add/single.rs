//! The sum of two values of one sample.

use crate::kernel::plan::frame::{Frame, Steps};

/// The sum of two values of a sample into planes without a border.
pub fn sum_planes([(a, from), (b, other)]: [(&[f32], &Frame); 2], to: Steps, sum: &mut [f32]) {
    let add = |sum: &mut [f32], a: &[f32], b: &[f32]| {
        sum.iter_mut().zip(a.iter().zip(b)).for_each(|(sum, (a, b))| *sum = a + b);
    };
    if [from, other].iter().all(|f| [f.border_rows, f.border_cols] == [0, 0]) {
        // Shapes may differ then, as before and behind a flatten.
        return add(&mut sum[..from.len()], &a[..from.len()], b);
    }
    for (c, row) in (0..from.channels * from.rows).map(|i| (i / from.rows, i % from.rows)) {
        let sum = &mut sum[to.at(c, row, 0)..][..from.cols];
        add(sum, &a[from.at(c, row, 0)..], &b[other.at(c, row, 0)..]);
    }
}
