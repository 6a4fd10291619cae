//! Leaky ReLUs that learn their slopes.

use super::core::{Backward, Core, Pass, Place, Taken};
use super::planner::{Ask, Made, Planner};
use crate::kernel::CHUNK;
use crate::kernel::op::conv::Scratch;
use crate::kernel::op::prelu;
use crate::kernel::plan::frame::{Frame, copy_frame};
use crate::kernel::sums::sum_all_lanes;
use crate::spec::PreluShape;
use std::ops::Range;

struct Prelu {
    place: Place,
    x: Frame,
    z: Frame,
}

pub(super) fn plan(planner: &mut Planner, ask: &Ask, s: PreluShape) -> Made {
    let (place, z) = (planner.place(ask.layer, Some(s.channels)), Frame::chunk(ask.z));
    Made::Core(Box::new(Prelu { place, x: ask.x, z }), z)
}

impl Prelu {
    fn slopes<'a>(&self, pass: &Pass<'a>) -> &'a [f32] {
        &pass.parameters[self.place.weight.clone()]
    }
}

impl Core for Prelu {
    fn place(&self) -> Option<&Place> {
        Some(&self.place)
    }

    fn forward(&self, pass: &Pass, rows: Range<usize>, taken: Taken, z: &mut [f32], _: &mut Scratch) {
        prelu::forward(pass.path, rows, self.slopes(pass), [&self.x, &self.z], taken.x.values, z);
    }

    /// Leaves in z what [`Core::gradient`] is to give: only here is x still at hand.
    fn backward(&self, pass: &Pass, b: Backward) {
        b.back.run(pass.path, 0..b.back.epilogue().y.rows, b.z, b.dy);
        prelu::backward(pass.path, self.slopes(pass), [&self.x, &self.z], b.x, b.z, b.lanes);
        let own = self.place.own_weight.clone().unwrap_or_default();
        sum_all_lanes(pass.path, b.lanes, &mut b.own[own]);
    }

    fn gradient(&self, _: &Pass, z: &[f32], to: &mut [f32], _: &mut Scratch) {
        copy_frame([&self.z, &self.x], z, to);
    }

    fn is_row_by_row(&self) -> bool {
        true
    }

    fn lanes_len(&self) -> usize {
        self.z.channels * CHUNK
    }
}
