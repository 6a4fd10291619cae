//! Pooling that stands alone: windows that overlap or are padded.

use super::core::{Pass, Plain};
use super::planner::{Ask, Made};
use crate::kernel::op::pool::{PoolKind, Pooling};
use crate::kernel::plan::frame::Frame;
use crate::spec::PoolShape;

struct Pool {
    pooling: Pooling,
    dy: Frame,
}

pub(super) fn plan(ask: &Ask, kind: PoolKind, s: PoolShape) -> Made {
    Made::Plain(Box::new(Pool { pooling: Pooling { kind, s, x: ask.x, y: ask.y }, dy: ask.dy }))
}

impl Plain for Pool {
    fn kept_len(&self) -> usize {
        self.pooling.places_len()
    }

    fn forward(&self, pass: &Pass, x: &[f32], y: &mut [f32], kept: &mut [f32]) {
        self.pooling.forward(pass.path, x, y, kept);
    }

    fn backward(&self, pass: &Pass, dy: &[f32], kept: &[f32], x: &mut [f32], elsewhere: Option<&mut [f32]>) {
        Pooling { y: self.dy, ..self.pooling }.backward(pass.path, dy, kept, elsewhere.unwrap_or(x));
    }
}
