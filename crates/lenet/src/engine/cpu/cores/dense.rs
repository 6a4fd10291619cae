//! Dense layers.

use super::core::{Backward, Core, Packs, Pass, Place, Taken};
use super::planner::{Ask, Made, Planner};
use super::rows::RowSums;
use crate::kernel::Path;
use crate::kernel::op::conv::Scratch;
use crate::kernel::op::dense;
use crate::kernel::plan::contract::{Contraction, PackTask};
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::tile::Tiles;
use crate::kernel::sums::sum_all_lanes;
use crate::spec::DenseShape;
use std::ops::Range;

struct Dense {
    place: Place,
    forward: Contraction,
    /// `None` where nothing before the stage learns.
    gradient: Option<Contraction>,
    sums: RowSums,
}

pub(super) fn plan(planner: &mut Planner, ask: &Ask, shape: DenseShape) -> Made {
    let (path, tiles) = (planner.path, Tiles::of(planner.path));
    planner.row_sums += 1;
    let core = Dense {
        place: planner.place(ask.layer, None),
        forward: dense::forward(tiles, &shape),
        gradient: ask.needed.then(|| dense::gradient(tiles, &shape)),
        sums: RowSums::plan(path, planner.row_sums - 1, shape),
    };
    Made::Core(Box::new(core), Frame::chunk(ask.z))
}

impl Core for Dense {
    fn place(&self) -> Option<&Place> {
        Some(&self.place)
    }

    fn forward(&self, pass: &Pass, _: Range<usize>, taken: Taken, z: &mut [f32], _: &mut Scratch) {
        let bias = self.place.bias.clone().map(|range| &pass.parameters[range]);
        self.forward.run(0..1, taken.x.values, &pass.packs[0], bias, z);
    }

    fn backward(&self, pass: &Pass, b: Backward) {
        b.back.run(pass.path, 0..1, b.z, b.dy);
        b.rows[self.sums.number].fill(pass.path, b.x, b.z);
        if let Some(range) = &self.place.own_bias {
            sum_all_lanes(pass.path, b.z, &mut b.own[range.clone()]);
        }
    }

    fn gradient(&self, pass: &Pass, z: &[f32], to: &mut [f32], _: &mut Scratch) {
        if let Some(gradient) = &self.gradient {
            gradient.run(0..gradient.rows(), z, &pass.packs[1], None, to);
        }
    }

    fn packed_len(&self) -> [usize; 2] {
        [self.forward.packed_len(), self.gradient.as_ref().map_or(0, Contraction::packed_len)]
    }

    fn pack<'a>(&'a self, _: Path, parameters: &'a [f32], [forward, gradient]: &'a mut Packs) -> Vec<PackTask<'a>> {
        let w = &parameters[self.place.weight.clone()];
        let mut tasks = self.forward.pack_tasks(w, forward);
        tasks.extend(self.gradient.iter().zip([gradient]).flat_map(|(plan, pack)| plan.pack_tasks(w, pack)));
        tasks
    }

    fn row_sums(&self) -> Option<&RowSums> {
        Some(&self.sums)
    }
}
