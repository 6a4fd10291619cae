//! Sums, updates and checks over whole slices.

use super::frame::Frame;
use super::norm::Channels;
use super::path::{Path, Program, dispatch};
use super::simd::{CHUNK, Simd, sum_lanes};
use std::ops::Range;

/// `w -= lr · g`, rounded once.
pub fn sgd(path: Path, lr: f32, gradient: &[f32], parameters: &mut [f32]) {
    // SAFETY: works on slices.
    unsafe { dispatch(path, Sgd { lr, gradient, parameters }) }
}

struct Sgd<'a> {
    lr: f32,
    gradient: &'a [f32],
    parameters: &'a mut [f32],
}

impl Program for Sgd<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (w, g) in self.parameters.iter_mut().zip(self.gradient) {
            *w = (-self.lr).mul_add(*g, *w);
        }
    }
}

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

/// Copies the values of a frame into another of the same shape; borders are left alone.
pub fn copy_frame([from_frame, to_frame]: [&Frame; 2], from: &[f32], to: &mut [f32]) {
    if is_dense(from_frame) && is_dense(to_frame) {
        // Shapes may differ then, as before and behind a flatten.
        return to.copy_from_slice(from);
    }
    for (from_row, to_row) in rows(from_frame).zip(rows(to_frame)) {
        to[to_row].copy_from_slice(&from[from_row]);
    }
}

/// Adds the values of a frame to those of another of the same shape.
pub fn add_frame(path: Path, [from_frame, to_frame]: [&Frame; 2], from: &[f32], to: &mut [f32]) {
    if is_dense(from_frame) && is_dense(to_frame) {
        // SAFETY: works on slices.
        return unsafe { dispatch(path, Add { to, from }) };
    }
    for (from_row, to_row) in rows(from_frame).zip(rows(to_frame)) {
        // SAFETY: works on slices.
        unsafe { dispatch(path, Add { to: &mut to[to_row], from: &from[from_row] }) }
    }
}

/// A value that a sum takes: as it is, or each channel scaled and shifted.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    /// The values.
    pub values: &'a [f32],
    /// Their layout.
    pub frame: &'a Frame,
    /// `None` to take them as they are.
    pub channels: Option<&'a Channels>,
}

/// Some rows of the sum of two values, into a frame of the same shape.
pub fn sum_rows(path: Path, rows: Range<usize>, operands: [Operand; 2], frame: &Frame, sum: &mut [f32]) {
    let shape = |f: &Frame| [f.channels, f.rows, f.cols, f.lanes];
    for o in operands {
        assert!(shape(o.frame) == shape(frame) && o.values.len() >= o.frame.len(), "planned buffers");
        assert!(o.channels.is_none_or(|k| k.scale.len().min(k.shift.len()) >= frame.channels), "one value a channel");
    }
    assert!(frame.lanes == CHUNK && rows.end <= frame.rows && sum.len() >= frame.len(), "planned buffers");
    // SAFETY: the rows lie within all frames, compared above.
    unsafe { dispatch(path, SumRows { rows, operands, frame, sum: sum.as_mut_ptr() }) }
}

struct SumRows<'a> {
    rows: Range<usize>,
    operands: [Operand<'a>; 2],
    frame: &'a Frame,
    sum: *mut f32,
}

impl Program for SumRows<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let [a, b] = self.operands;
        // SAFETY: rows of the frames, which `sum_rows` compared with the buffers.
        unsafe {
            for c in 0..self.frame.channels {
                // 1 and 0 change nothing but the sign of a zero.
                let (mut scale, mut shift) = ([S::splat(1.0); 2], [S::splat(0.0); 2]);
                for i in 0..2 {
                    if let Some(k) = self.operands[i].channels {
                        (scale[i], shift[i]) = (S::splat(k.scale[c]), S::splat(k.shift[c]));
                    }
                }
                for row in self.rows.clone() {
                    let to = self.sum.add(self.frame.at(c, row, 0));
                    let a = a.values.as_ptr().add(a.frame.at(c, row, 0));
                    let b = b.values.as_ptr().add(b.frame.at(c, row, 0));
                    for i in (0..self.frame.cols * CHUNK).step_by(S::LANES) {
                        let first = S::fma(S::load(a.add(i)), scale[0], shift[0]);
                        S::store(to.add(i), S::add(first, S::fma(S::load(b.add(i)), scale[1], shift[1])));
                    }
                }
            }
        }
    }
}

/// Whether a frame has neither border nor slack.
fn is_dense(frame: &Frame) -> bool {
    [frame.border_rows, frame.border_cols, frame.slack] == [0, 0, 0]
}

/// Places of a frame's rows, channel by channel.
fn rows(frame: &Frame) -> impl Iterator<Item = Range<usize>> {
    (0..frame.channels * frame.rows).map(|i| {
        let at = frame.at(i / frame.rows, i % frame.rows, 0);
        at..at + frame.cols * frame.lanes
    })
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
                // SAFETY: works on slices.
                unsafe { dispatch(path, Add { to: left[0], from: right[0] }) }
            }
        }
        step *= 2;
    }
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
}
