//! Dropout.

use super::core::{Pass, Plain};
use super::planner::{Ask, Made};
use crate::kernel::op::dropout;
use crate::kernel::plan::frame::{Frame, copy_frame};

struct Dropout {
    rate: f32,
    /// What the layer adds to the samples' keys.
    key: u32,
    x: Frame,
    y: Frame,
    dy: Frame,
}

pub(super) fn plan(ask: &Ask, rate: f32) -> Made {
    let key = dropout::layer_key(&ask.layer.name);
    Made::Plain(Box::new(Dropout { rate, key, x: ask.x, y: ask.y, dy: ask.dy }))
}

impl Plain for Dropout {
    fn forward(&self, pass: &Pass, x: &[f32], y: &mut [f32], _: &mut [f32]) {
        let frames = [&self.x, &self.y];
        match pass.train {
            Some(step) => dropout::apply(pass.path, self.rate, &pass.samples.keys(step, self.key), frames, x, y),
            None => copy_frame(frames, x, y),
        }
    }

    fn backward(&self, pass: &Pass, dy: &[f32], _: &[f32], x: &mut [f32], elsewhere: Option<&mut [f32]>) {
        if let Some(step) = pass.train {
            let keys = pass.samples.keys(step, self.key);
            dropout::apply(pass.path, self.rate, &keys, [&self.dy, &self.x], dy, elsewhere.unwrap_or(x));
        }
    }
}
