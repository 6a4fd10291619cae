//! What tests and measurements of operators share: numbers, and comparisons with the naive references.

use crate::kernel::plan::frame::Frame;
#[cfg(feature = "bench")]
use crate::kernel::simd::CHUNK;

/// Values in (-1, 1), always the same.
pub fn values(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..n)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
        })
        .collect()
}

/// A frame of such values, with zeros around.
pub fn filled(f: &Frame, seed: u32) -> Vec<f32> {
    let (mut out, all) = (vec![0.0; f.len()], values(f.channels * f.rows * f.cols * f.lanes, seed));
    f.values().zip(all.chunks_exact(f.cols * f.lanes)).for_each(|(row, values)| out[row].copy_from_slice(values));
    out
}

/// A lane of a frame's values, `[c, h, w]`.
pub fn lane(f: &Frame, values: &[f32], lane: usize) -> Vec<f64> {
    let row = |row: std::ops::Range<usize>| values[row].iter().skip(lane).step_by(f.lanes).copied().map(f64::from);
    f.values().flat_map(row).collect()
}

/// A lane of `[n][16]`.
#[cfg(feature = "bench")]
pub fn lane_of(values: &[f32], lane: usize) -> Vec<f64> {
    values.iter().skip(lane).step_by(CHUNK).copied().map(f64::from).collect()
}

/// The same numbers in f64.
pub fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}
