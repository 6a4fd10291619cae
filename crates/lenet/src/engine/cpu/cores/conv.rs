//! Convolutions, each by the algorithm that its shape is best served with.

use super::core::{Backward, Core, Packs, Pass, Place, Taken};
use super::planner::{Ask, Made, Planner};
use crate::kernel::op::conv::{self, Algorithm, Direct, Inputs, Scratch, Weights};
use crate::kernel::plan::contract::PackTask;
use crate::kernel::plan::frame::Frame;
use crate::kernel::sums::{add_positions, sum_all_lanes};
use crate::kernel::winograd::pairs::{self, Pairs};
use crate::kernel::winograd::square::{self, Square};
use crate::kernel::{CHUNK, Path};
use crate::spec::ConvShape;
use std::ops::Range;

/// Positions that backward wants in a strip, so that loading and storing the sums of all taps costs little.
const STRIP_POSITIONS: usize = 56;

/// Whether a convolution goes by row pairs. With windows of 5 rows the errors are other ones, not much larger, but where
/// something is compared they decide near-ties differently; the direct sum's order was chosen so that those of the golden
/// networks fall as in double precision.
pub(in crate::engine::cpu) fn goes_by_pairs(s: &ConvShape, compares: bool) -> bool {
    pairs::fits(s) && (s.kh == 3 || !compares)
}

struct Conv {
    place: Place,
    outputs: usize,
    algorithm: Box<dyn Algorithm>,
    /// Rows of the epilogue's output that backward takes at a time.
    strip: usize,
}

pub(super) fn plan(planner: &mut Planner, ask: &Ask, s: &ConvShape) -> Made {
    let border = if ask.needed { conv::GRADIENT_BORDER } else { 0 };
    let (path, z) = (planner.path, Frame::chunk(ask.z).with_border(0, border));
    let algorithm: Box<dyn Algorithm> = if square::fits(s) {
        Box::new(Square::plan(path, s, &ask.x, &z, ask.needed))
    } else if goes_by_pairs(s, planner.compares) {
        Box::new(Pairs::plan(path, s, &ask.x, &z, ask.needed))
    } else {
        Box::new(Direct::plan(path, s, &ask.x, &z, ask.needed))
    };
    let strip = algorithm.strip(STRIP_POSITIONS.div_ceil(ask.rows * s.ow));
    let place = planner.place(ask.layer, Some(algorithm.own_len()));
    Made::Core(Box::new(Conv { place, outputs: s.oc, algorithm, strip }), z)
}

impl Core for Conv {
    fn place(&self) -> Option<&Place> {
        Some(&self.place)
    }

    fn forward(&self, pass: &Pass, rows: Range<usize>, taken: Taken, z: &mut [f32], scratch: &mut Scratch) {
        let bias = self.place.bias.clone().map(|range| &pass.parameters[range]);
        let inputs = Inputs { x: taken.x.values, packed: &pass.packs[0], bias };
        self.algorithm.forward(pass.path, rows, inputs, z, scratch);
    }

    /// Gradients of z, strip by strip, and of weights and biases while the strip is in the nearest caches.
    fn backward(&self, pass: &Pass, b: Backward) {
        let (path, e) = (pass.path, b.back.epilogue());
        let (acc, biases) = b.lanes[..self.lanes_len()].split_at_mut(self.algorithm.acc_len());
        biases.fill(0.0);
        let own_weight = self.place.own_weight.clone().unwrap_or_default();
        let mut row = 0;
        while row < e.y.rows {
            let rows = row..(row + self.strip).min(e.y.rows);
            row = rows.end;
            b.back.run(path, rows.clone(), b.z, b.dy);
            let z_rows = e.z_rows(&rows);
            let weights = Weights { dz: b.z, x: b.x, acc, own: &mut b.own[own_weight.clone()] };
            self.algorithm.weight(path, z_rows.clone(), weights, b.scratch);
            if self.place.own_bias.is_some() {
                add_positions(path, &e.z, z_rows, b.z, biases);
            }
        }
        self.algorithm.sum(path, acc, &mut b.own[own_weight]);
        if let Some(range) = &self.place.own_bias {
            sum_all_lanes(path, biases, &mut b.own[range.clone()]);
        }
    }

    fn gradient(&self, pass: &Pass, z: &[f32], to: &mut [f32], scratch: &mut Scratch) {
        self.algorithm.gradient(pass.path, z, &pass.packs[1], to, scratch);
    }

    fn is_row_by_row(&self) -> bool {
        true
    }

    fn lanes_len(&self) -> usize {
        self.algorithm.acc_len() + self.outputs * CHUNK
    }

    fn packed_len(&self) -> [usize; 2] {
        self.algorithm.packed_len()
    }

    fn pack<'a>(&'a self, path: Path, parameters: &'a [f32], packs: &'a mut Packs) -> Vec<PackTask<'a>> {
        let packs = packs.each_mut().map(|pack| &mut pack[..]);
        self.algorithm.pack_tasks(path, &parameters[self.place.weight.clone()], packs)
    }

    fn finish(&self, sum: &[f32], dw: &mut [f32]) {
        self.algorithm.finish(sum, dw);
    }
}
