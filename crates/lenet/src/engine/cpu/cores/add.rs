//! Sums of two values, which may normalise their operands on their way.

use super::core::{Backward, Core, Pass, Place, Taken};
use super::planner::{Ask, Made};
use crate::kernel::CHUNK;
use crate::kernel::op::add::sum_rows;
use crate::kernel::op::conv::Scratch;
use crate::kernel::plan::frame::{Frame, copy_frame};
use std::ops::Range;

struct Add {
    x: Frame,
    z: Frame,
}

pub(super) fn plan(ask: &Ask) -> Made {
    let z = Frame::chunk(ask.z);
    Made::Core(Box::new(Add { x: ask.x, z }), z)
}

impl Core for Add {
    fn place(&self) -> Option<&Place> {
        None
    }

    fn forward(&self, pass: &Pass, rows: Range<usize>, taken: Taken, z: &mut [f32], _: &mut Scratch) {
        sum_rows(pass.path, rows, [taken.x, taken.other.unwrap_or(taken.x)], &self.z, z);
    }

    /// The gradient of z, row by row, and the sums that its operands' normalisations need while the row is near.
    fn backward(&self, pass: &Pass, b: Backward) {
        let e = b.back.epilogue();
        for row in 0..e.y.rows {
            b.back.run(pass.path, row..row + 1, b.z, b.dy);
            for (slot, (back, z)) in b.summed.iter().flatten().enumerate() {
                let lanes = &mut b.lanes[slot * back.e.z.channels * 2 * CHUNK..];
                back.sums_of(pass.path, e.z_rows(&(row..row + 1)), z, b.z, lanes);
            }
        }
    }

    fn gradient(&self, _: &Pass, z: &[f32], to: &mut [f32], _: &mut Scratch) {
        copy_frame([&self.z, &self.x], z, to);
    }

    fn is_row_by_row(&self) -> bool {
        true
    }

    /// Those of both operands.
    fn lanes_len(&self) -> usize {
        4 * self.z.channels * CHUNK
    }
}
