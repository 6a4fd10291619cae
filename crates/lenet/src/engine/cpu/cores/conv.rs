//! Convolutions, each by the algorithm that its shape is best served with.

use super::core::{Backward, Core, PackTask, Packs, Pass, Place, Taken, pack_tasks};
use super::planner::{Ask, Made, Planner};
use crate::kernel::op::conv::{self, WeightGradient};
use crate::kernel::plan::contract::Contraction;
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::tile::Tiles;
use crate::kernel::sums::{add_positions, sum_all_lanes};
use crate::kernel::winograd::pairs::{self, Pairs};
use crate::kernel::winograd::square::{self, Square};
use crate::kernel::winograd::{Inputs, Scratch};
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
    shape: ConvShape,
    algorithm: Algorithm,
    /// Rows of the epilogue's output that backward takes at a time.
    strip: usize,
}

enum Algorithm {
    Direct {
        forward: Contraction,
        /// `None` where nothing before the stage learns.
        gradient: Option<Contraction>,
        weight: WeightGradient,
    },
    Pairs(Pairs),
    Square(Square),
}

pub(super) fn plan(planner: &mut Planner, ask: &Ask, s: ConvShape) -> Made {
    let border = if ask.needed { conv::GRADIENT_BORDER } else { 0 };
    let z = Frame::chunk(ask.z).with_border(0, border);
    let weights = ask.layer.weight.as_ref().map_or(0, |w| w.range.len());
    let strip = STRIP_POSITIONS.div_ceil(ask.rows * s.ow);
    // Pairs take twice as many rows, and an even number of rows of z; squares all of them.
    let (algorithm, own_weights, strip) = if square::fits(&s) {
        (Algorithm::Square(Square::plan(planner.path, &s, &ask.x, &z, ask.needed)), weights, s.oh)
    } else if goes_by_pairs(&s, planner.compares) {
        let plan = Pairs::plan(planner.path, &s, &ask.x, &z, ask.needed);
        let sums = plan.sums_len();
        (Algorithm::Pairs(plan), sums, 2 * strip)
    } else {
        let tiles = Tiles::of(planner.path);
        let forward = conv::forward(tiles, &s, &ask.x, &z);
        let gradient = ask.needed.then(|| conv::gradient(tiles, &s, &z, &ask.x));
        let weight = WeightGradient::plan(tiles, &s, &z, &ask.x);
        (Algorithm::Direct { forward, gradient, weight }, weights, strip)
    };
    let place = planner.place(ask.layer, Some(own_weights));
    Made::Core(Box::new(Conv { place, shape: s, algorithm, strip }), z)
}

impl Conv {
    /// Floats of the sums of the weights' gradient, lanes apart.
    fn acc_len(&self) -> usize {
        match &self.algorithm {
            Algorithm::Direct { weight, .. } => weight.acc_len(),
            Algorithm::Pairs(plan) => plan.acc_len(),
            Algorithm::Square(_) => 0,
        }
    }
}

impl Core for Conv {
    fn place(&self) -> Option<&Place> {
        Some(&self.place)
    }

    /// Where rows come in pairs or squares, those whose first row is among `rows`.
    fn forward(&self, pass: &Pass, rows: Range<usize>, taken: Taken, z: &mut [f32], scratch: &mut Scratch) {
        let bias = self.place.bias.clone().map(|range| &pass.parameters[range]);
        let inputs = Inputs { x: taken.x.values, packed: &pass.packs[0], bias };
        match &self.algorithm {
            Algorithm::Direct { forward, .. } => forward.run(rows, inputs.x, inputs.packed, bias, z),
            Algorithm::Pairs(plan) => plan.forward(pass.path, rows, inputs, z, scratch),
            Algorithm::Square(plan) => plan.forward(pass.path, rows, inputs, z, scratch),
        }
    }

    /// Gradients of z, strip by strip, and of weights and biases while the strip is in the nearest caches.
    fn backward(&self, pass: &Pass, b: Backward) {
        let (path, e) = (pass.path, b.back.epilogue());
        let (weights, biases) = b.lanes[..self.lanes_len()].split_at_mut(self.acc_len());
        biases.fill(0.0);
        let own_weight = self.place.own_weight.clone().unwrap_or_default();
        let mut row = 0;
        while row < e.y.rows {
            let rows = row..(row + self.strip).min(e.y.rows);
            row = rows.end;
            b.back.run(path, rows.clone(), b.z, b.dy);
            let z_rows = e.z_rows(&rows);
            match &self.algorithm {
                Algorithm::Direct { weight, .. } => weight.run(z_rows.clone(), b.z, b.x, weights),
                Algorithm::Pairs(plan) => plan.weight(path, z_rows.clone(), b.z, b.x, weights, b.scratch),
                // All rows at once.
                Algorithm::Square(plan) => plan.weight(path, b.z, b.x, &mut b.own[own_weight.clone()], b.scratch),
            }
            if self.place.own_bias.is_some() {
                add_positions(path, &e.z, z_rows, b.z, biases);
            }
        }
        match &self.algorithm {
            Algorithm::Direct { .. } | Algorithm::Pairs(_) => sum_all_lanes(path, weights, &mut b.own[own_weight]),
            Algorithm::Square(_) => {}
        }
        if let Some(range) = &self.place.own_bias {
            sum_all_lanes(path, biases, &mut b.own[range.clone()]);
        }
    }

    fn gradient(&self, pass: &Pass, z: &[f32], to: &mut [f32], scratch: &mut Scratch) {
        let packed = &pass.packs[1];
        match &self.algorithm {
            Algorithm::Direct { gradient, .. } => {
                gradient.iter().for_each(|g| g.run(0..g.rows(), z, packed, None, to));
            }
            Algorithm::Pairs(plan) => plan.gradient(pass.path, z, packed, to, scratch),
            Algorithm::Square(plan) => plan.gradient(pass.path, z, packed, to, scratch),
        }
    }

    fn is_row_by_row(&self) -> bool {
        true
    }

    fn lanes_len(&self) -> usize {
        self.acc_len() + self.shape.oc * CHUNK
    }

    fn packed_len(&self) -> [usize; 2] {
        match &self.algorithm {
            Algorithm::Direct { forward, gradient, .. } => {
                [forward.packed_len(), gradient.as_ref().map_or(0, Contraction::packed_len)]
            }
            Algorithm::Pairs(plan) => plan.packed_len(),
            Algorithm::Square(plan) => plan.packed_len(),
        }
    }

    fn pack<'a>(&'a self, path: Path, parameters: &'a [f32], [forward, gradient]: &'a mut Packs) -> Vec<PackTask<'a>> {
        let w = &parameters[self.place.weight.clone()];
        match &self.algorithm {
            Algorithm::Direct { forward: plan, gradient: back, .. } => {
                let mut tasks = pack_tasks(plan, w, forward);
                tasks.extend(back.iter().zip([gradient]).flat_map(|(plan, pack)| pack_tasks(plan, w, pack)));
                tasks
            }
            Algorithm::Pairs(plan) => vec![Box::new(move || plan.pack(w, [forward, gradient]))],
            Algorithm::Square(plan) => vec![Box::new(move || plan.pack(path, w, [forward, gradient]))],
        }
    }

    fn finish(&self, sum: &[f32], dw: &mut [f32]) {
        match &self.algorithm {
            Algorithm::Direct { .. } | Algorithm::Square(_) => dw.copy_from_slice(sum),
            Algorithm::Pairs(plan) => plan.finish(sum, dw),
        }
    }
}
