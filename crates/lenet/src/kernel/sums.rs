//! Sums over whole slices, each in one fixed order, and checks.

use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::{CHUNK, Simd, sum_lanes};
use std::ops::Range;

/// Sums the lanes of every position: `sums[i] = Σ lanes[i][16]`, in the order of [`sum_lanes`].
pub fn sum_all_lanes(path: Path, lanes: &[f32], sums: &mut [f32]) {
    // SAFETY: works on slices.
    unsafe { dispatch(path, SumLanes { lanes, sums }) }
}

struct SumLanes<'a> {
    lanes: &'a [f32],
    sums: &'a mut [f32],
}

impl Program for SumLanes<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (positions, _) = self.lanes.as_chunks::<CHUNK>();
        let (blocks, rest) = positions[..self.sums.len()].as_chunks::<8>();
        let (sum_blocks, rest_sums) = self.sums.as_chunks_mut::<8>();
        for (block, sums) in blocks.iter().zip(sum_blocks) {
            // SAFETY: this runs on S's path.
            unsafe { S::sum_lanes_of_8(block, sums) };
        }
        for (v, s) in rest.iter().zip(rest_sums) {
            *s = sum_lanes(v);
        }
    }
}

/// Adds each position of some rows of a frame into one vector a channel, in row-major order, on top of `sums`.
pub fn add_positions(path: Path, frame: &Frame, rows: Range<usize>, dz: &[f32], sums: &mut [f32]) {
    assert!(
        sums.len() >= frame.channels * CHUNK && dz.len() >= frame.len() && rows.end <= frame.rows,
        "planned buffers"
    );
    // SAFETY: all rows of all channels lie within the frame, and `sums` has a vector a channel.
    unsafe { dispatch(path, AddPositions { frame, rows, dz: dz.as_ptr(), sums: sums.as_mut_ptr() }) }
}

struct AddPositions<'a> {
    frame: &'a Frame,
    rows: Range<usize>,
    dz: *const f32,
    sums: *mut f32,
}

impl AddPositions<'_> {
    /// `N` channels side by side, since a single chain of additions would wait for each.
    #[inline(always)]
    unsafe fn group<S: Simd, const N: usize>(&self, first: usize) {
        // SAFETY: `add_positions` compared the buffers with the frame.
        unsafe {
            for part in 0..S::PER_POSITION {
                let lane = part * S::LANES;
                let mut acc = [S::splat(0.0); N];
                for c in 0..N {
                    acc[c] = S::load(self.sums.add((first + c) * CHUNK + lane));
                }
                for row in self.rows.clone() {
                    let start = self.dz.add(self.frame.at(first, row, 0) + lane);
                    for col in 0..self.frame.cols {
                        for c in 0..N {
                            acc[c] = S::add(acc[c], S::load(start.add(c * self.frame.plane() + col * CHUNK)));
                        }
                    }
                }
                for c in 0..N {
                    S::store(self.sums.add((first + c) * CHUNK + lane), acc[c]);
                }
            }
        }
    }
}

impl Program for AddPositions<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mut c = 0;
        // SAFETY: the groups lie within the frame's channels.
        unsafe {
            while c + 4 <= self.frame.channels {
                self.group::<S, 4>(c);
                c += 4;
            }
            while c < self.frame.channels {
                self.group::<S, 1>(c);
                c += 1;
            }
        }
    }
}

/// Sums slices of equal length in the chunk tree: neighbours first, then neighbouring pairs, and so on.
///
/// The sum ends in the first slice.
pub fn sum_tree(path: Path, slices: &mut [&mut [f32]]) {
    // Block by block, so that what was added is still near when it is added to the next.
    let len = slices.first().map_or(0, |s| s.len());
    for start in (0..len).step_by(TREE_BLOCK) {
        let block = start..(start + TREE_BLOCK).min(len);
        sum_block(path, &mut slices.iter_mut().map(|s| &mut s[block.clone()]).collect::<Vec<_>>());
    }
}

/// Floats of a slice that are summed over all slices before the next ones.
const TREE_BLOCK: usize = 4096;

fn sum_block(path: Path, slices: &mut [&mut [f32]]) {
    let mut step = 1;
    while step < slices.len() {
        for pair in slices.chunks_mut(2 * step) {
            if pair.len() > step {
                let (left, right) = pair.split_at_mut(step);
                add(path, left[0], right[0]);
            }
        }
        step *= 2;
    }
}

/// `to += from`
pub fn add(path: Path, to: &mut [f32], from: &[f32]) {
    // SAFETY: works on slices.
    unsafe { dispatch(path, Add { to, from }) }
}

struct Add<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
}

impl Program for Add<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (a, b) in self.to.iter_mut().zip(self.from) {
            *a += b;
        }
    }
}

/// Sum of squares in f64, in 16 chains that are then added in order: the same bits everywhere.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let mut sums = [0.0f64; 16];
    let (blocks, rest) = values.as_chunks::<16>();
    for block in blocks {
        for i in 0..16 {
            sums[i] += f64::from(block[i]) * f64::from(block[i]);
        }
    }
    for (s, v) in sums.iter_mut().zip(rest) {
        *s += f64::from(*v) * f64::from(*v);
    }
    sums.iter().sum()
}

/// Position of the first value that is not finite.
pub fn first_not_finite(values: &[f32]) -> Option<usize> {
    const EXPONENT: u32 = 0x7f80_0000;
    // Without a branch a value, so that the common case is vectorised.
    let found = values.iter().fold(false, |found, v| found | (v.to_bits() & EXPONENT == EXPONENT));
    if found { values.iter().position(|v| !v.is_finite()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_adds_neighbours_first() {
        for n in 1..=33usize {
            // Values whose sum depends on the order: the expected one is the recursive definition.
            fn tree(v: &[f32]) -> f32 {
                if v.len() == 1 {
                    return v[0];
                }
                let half = v.len().next_power_of_two() / 2;
                tree(&v[..half]) + tree(&v[half..])
            }
            let values: Vec<f32> =
                (0..n).map(|i| 1.0 / (i as f32 + 0.3) * if i % 3 == 0 { -1e3 } else { 1.0 }).collect();
            let mut slices: Vec<Vec<f32>> = values.iter().map(|&v| vec![v]).collect();
            sum_tree(Path::PORTABLE, &mut slices.iter_mut().map(|s| &mut s[..]).collect::<Vec<_>>());
            assert_eq!(slices[0][0].to_bits(), tree(&values).to_bits(), "{n}");
        }
    }

    #[test]
    fn finds_what_is_not_finite() {
        let mut v = vec![1.0f32; 1000];
        assert_eq!(first_not_finite(&v), None);
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            v[777] = bad;
            assert_eq!(first_not_finite(&v), Some(777));
        }
    }

    #[test]
    fn squares_are_summed() {
        let v: Vec<f32> = (1..=100).map(|i| i as f32).collect();
        assert_eq!(sum_of_squares(&v), 338_350.0);
    }
}
