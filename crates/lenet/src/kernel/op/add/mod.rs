//! The sum of two values.

pub mod single;

use crate::kernel::op::norm::Channels;
use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::{CHUNK, Simd};
use crate::kernel::sums::add;
use std::ops::Range;

/// Adds the values of a frame to those of another of the same shape.
pub fn add_frame(path: Path, [from_frame, to_frame]: [&Frame; 2], from: &[f32], to: &mut [f32]) {
    if from_frame.is_dense() && to_frame.is_dense() {
        return add(path, to, from);
    }
    for (from_row, to_row) in from_frame.values().zip(to_frame.values()) {
        add(path, &mut to[to_row], &from[from_row]);
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

#[cfg(feature = "bench")]
pub(crate) mod bench {
    use super::*;
    use crate::kernel::bench::{Bench, Disagreement, agree};
    use crate::kernel::kit::{f64s, filled};

    /// What is timed: the sum of two values.
    pub(crate) fn bench(bench: &mut Bench, name: &str, f: &Frame) -> Result<(), Disagreement> {
        let (path, a, b) = (bench.path, filled(f, 15), filled(f, 16));
        let mut y = a.clone();
        add_frame(path, [f, f], &b, &mut y);
        let want: Vec<f64> = f64s(&a).iter().zip(f64s(&b)).map(|(a, b)| a + b).collect();
        agree(name, &f64s(&y), &want, 1e-6)?;
        bench.row(format!("{name} sum"), 0, || add_frame(path, [f, f], &b, &mut y));
        Ok(())
    }
}
