//! Averages over windows, for a learnt scale behind them.

use super::core::{Backward, Core, Pass, Place, Taken};
use super::planner::{Ask, Made};
use crate::kernel::op::conv::Scratch;
use crate::kernel::op::pool::{PoolKind, Pooling};
use crate::kernel::plan::frame::Frame;
use crate::spec::PoolShape;
use std::ops::Range;

struct Average(Pooling);

pub(super) fn plan(ask: &Ask, s: PoolShape) -> Made {
    let z = Frame::chunk(ask.z);
    Made::Core(Box::new(Average(Pooling { kind: PoolKind::Average, s, x: ask.x, y: z })), z)
}

impl Core for Average {
    fn place(&self) -> Option<&Place> {
        None
    }

    fn forward(&self, pass: &Pass, _: Range<usize>, taken: Taken, z: &mut [f32], _: &mut Scratch) {
        self.0.forward(pass.path, taken.x.values, z, &mut []);
    }

    fn backward(&self, pass: &Pass, b: Backward) {
        b.back.run(pass.path, 0..b.back.epilogue().y.rows, b.z, b.dy);
    }

    fn gradient(&self, pass: &Pass, z: &[f32], to: &mut [f32], _: &mut Scratch) {
        self.0.backward(pass.path, z, &[], to);
    }
}
