//! One chunk on the way back.

use super::chunk::{Context, DenseRows, Room, Samples, Workspace, z_channels};
use super::flow::{Gradient, Part};
use super::program::{ConvCore, Core, DenseCore, Norm, NormKind, Stage, Work};
use crate::kernel::op::add::add_frame;
use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::op::norm::NormEpilogue;
use crate::kernel::op::pool::Pooling;
use crate::kernel::op::{dense, dropout, rbf};
use crate::kernel::plan::frame::copy_frame;
use crate::kernel::{AlignedVec, CHUNK, Path, input, sums};
use std::mem::take;
use std::ops::Range;

impl Workspace {
    /// One round of the way back, from behind one stop to the one before, where the gradients of normalisations are summed:
    /// the chunk's own gradient into `own`, samples as rows into `rows`. Rounds are those of the way forward.
    pub fn backward_round(&mut self, c: &Context, s: Samples, round: usize, own: &mut [f32], rows: &mut [DenseRows]) {
        for i in c.program.rounds[round].stages.clone().rev().filter(|&i| i >= c.program.learning) {
            self.stage_backward(c, i, s, own, rows);
        }
        let Some(before) = round.checked_sub(1) else { return };
        for &i in &c.program.rounds[before].stops {
            let stage = &c.program.stages[i];
            if let Some(norm) = stage.norm().filter(|_| stage.summed_by.is_none()) {
                self.sums(c, i);
                sums::sum_all_lanes(c.path, &self.room.lanes, &mut self.stops[norm.number]);
            }
        }
    }

    /// Sums of the gradients of a normalisation's channels, lanes apart.
    fn sums(&mut self, c: &Context, i: usize) {
        let Work::Core { norm: Some(norm), epilogue: e, .. } = &c.program.stages[i].work else { return };
        if let Some(stage) = c.program.fetched[i + 1]
            && let Work::Core { epilogue: from, .. } = &c.program.stages[stage].work
        {
            copy_frame([&from.z, &e.dy], &self.z[stage], &mut self.a[i + 1]);
        }
        let back = NormEpilogue { e, channels: &c.channels[norm.number] };
        let mut dy = take(self.gradient_of(c, i + 1));
        back.sums(c.path, &self.z[i], &self.maxima[i], &mut dy, &mut self.room.lanes);
        *self.gradient_of(c, i + 1) = dy;
    }

    /// The gradient of a value, wherever it lies.
    fn gradient_of(&mut self, c: &Context, value: usize) -> &mut AlignedVec {
        match c.program.elsewhere[value] {
            Some(stage) => &mut self.z[stage],
            None => &mut self.a[value],
        }
    }

    fn stage_backward(&mut self, c: &Context, i: usize, s: Samples, own: &mut [f32], rows: &mut [DenseRows]) {
        let stage = &c.program.stages[i];
        if let Some(norm) = stage.norm()
            && let NormKind::Learnt { gain } = norm.kind
        {
            self.learnt_backward(c, i, norm, gain, own);
        }
        // What the stage reads and writes, taken out so that they can be borrowed side by side.
        let (mut z, mut x) = (take(&mut self.z[i]), take(&mut self.a[stage.source]));
        let mut extra =
            if let Some(Gradient::Extra(k)) = stage.dx { take(&mut self.extras[k]) } else { AlignedVec::default() };
        let dy = c.program.elsewhere[i + 1].map_or(&self.a[i + 1], |stage| &self.z[stage]);
        match &stage.work {
            Work::Core { core, norm, epilogue: e } => {
                let back = match norm {
                    None => Back::Plain(e),
                    Some(n) => Back::Norm(
                        NormEpilogue { e, channels: &c.channels[n.number] },
                        s.indices.len(),
                        &self.maxima[i],
                    ),
                };
                match core {
                    Core::Conv(conv) => conv_backward(c, conv, &back, &x, &mut z, dy, &mut self.room, own),
                    Core::Dense(dense) => {
                        back.run(c.path, 0..1, &mut z, dy);
                        dense_backward(c, dense, &x, &z, own, &mut rows[dense.number]);
                    }
                    Core::Add { other } => {
                        let operands = summed(&c.program.stages, [stage.source, *other]);
                        sum_backward(c, operands.clone(), &back, &self.z, &mut z, dy, &mut self.room.lanes);
                        for (slot, (_, norm, e)) in operands.enumerate() {
                            let lanes = &self.room.lanes[slot * e.z.channels * 2 * CHUNK..];
                            sums::sum_all_lanes(c.path, lanes, &mut self.stops[norm.number]);
                        }
                    }
                    _ => back.run(c.path, 0..e.y.rows, &mut z, dy),
                }
                let to = match stage.dx {
                    Some(Gradient::Value) => Some(&mut x),
                    Some(Gradient::Extra(_)) => Some(&mut extra),
                    Some(Gradient::Stays) | None => None,
                };
                if let Some(to) = to {
                    match core {
                        Core::Conv(s) => s.kernel.gradient(c.path, &z, &c.packs[i][1], to, &mut self.room.scratch),
                        Core::Dense(_) => {
                            if let Some(g) = stage.contractions()[1] {
                                g.run(0..g.rows(), &z, &c.packs[i][1], None, to);
                            }
                        }
                        Core::Average(p) => p.backward(c.path, &z, &[], to),
                        Core::Copy | Core::Add { .. } => copy_frame([&e.z, &stage.x], &z, to),
                    }
                }
            }
            work => {
                let is_extra = matches!(stage.dx, Some(Gradient::Extra(_)));
                if is_extra && matches!(work, Work::Rbf { .. }) {
                    extra.copy_from_slice(&x);
                }
                let to = if is_extra { &mut extra } else { &mut x };
                if stage.dx.is_some() {
                    self.plain_backward(c, i, s, dy, to);
                }
            }
        }
        self.z[i] = z;
        self.a[stage.source] = x;
        if let Some(Gradient::Extra(k)) = stage.dx {
            self.extras[k] = extra;
        }
        if stage.dx == Some(Gradient::Value) {
            self.collect(c, stage.source);
        }
    }

    /// The gradients of a normalisation that waits for nothing.
    fn learnt_backward(&mut self, c: &Context, i: usize, norm: &Norm, gain: f32, own: &mut [f32]) {
        self.sums(c, i);
        let mut sums = [0.0; 2];
        for channel in 0..z_channels(&c.program.stages[i]) {
            sums::sum_all_lanes(c.path, &self.room.lanes[2 * channel * CHUNK..], &mut sums);
            let place = |range: &Option<Range<usize>>| range.as_ref().map(|r| r.start + channel);
            place(&norm.place.own_weight).into_iter().for_each(|at| own[at] = sums[1] * gain);
            place(&norm.place.own_bias).into_iter().for_each(|at| own[at] = sums[0]);
        }
    }

    /// Backward through a stage without a z: the gradient of x into `to`, which for codes holds x at first.
    fn plain_backward(&self, c: &Context, i: usize, s: Samples, dy: &[f32], to: &mut [f32]) {
        let stage = &c.program.stages[i];
        match (&stage.work, c.train) {
            (Work::Pool(p), _) => Pooling { y: stage.dy, ..*p }.backward(c.path, dy, &self.maxima[i], to),
            (Work::Dropout { rate, key }, Some(step)) => {
                dropout::apply(c.path, *rate, &s.keys(step, *key), [&stage.dy, &stage.x], dy, to);
            }
            (Work::Rbf { shape, codes }, _) => rbf::backward(c.path, shape, &c.buffers[codes.clone()], dy, to),
            _ => {}
        }
    }

    /// Adds what other stages left of a value's gradient.
    fn collect(&mut self, c: &Context, value: usize) {
        let (frame, program) = (&c.program.frames[value], c.program);
        for part in &program.parts[value] {
            let (from, from_frame) = match *part {
                Part::Extra(k) => (&self.extras[k], &program.extras[k]),
                Part::Z(stage) => match &program.stages[stage].work {
                    Work::Core { epilogue, .. } => (&self.z[stage], &epilogue.z),
                    _ => continue,
                },
            };
            add_frame(c.path, [from_frame, frame], from, &mut self.a[value]);
        }
    }
}

/// The way from the gradient of what a stage gives to that of its z.
enum Back<'a> {
    Plain(&'a Epilogue),
    /// Of so many samples; with the z of the maxima.
    Norm(NormEpilogue<'a>, usize, &'a [f32]),
}

impl Back<'_> {
    fn epilogue(&self) -> &Epilogue {
        match self {
            Back::Plain(e) => e,
            Back::Norm(back, ..) => back.e,
        }
    }

    fn run(&self, path: Path, rows: Range<usize>, z: &mut [f32], dy: &[f32]) {
        match self {
            Back::Plain(e) => e.backward(path, rows, z, dy),
            Back::Norm(back, samples, picked) => back.finish(path, rows, *samples, z, picked, dy),
        }
    }
}

/// Those operands of a sum that it normalises on their way: stages with their normalisations and epilogues.
fn summed(stages: &[Stage], values: [usize; 2]) -> impl Iterator<Item = (usize, &Norm, &Epilogue)> + Clone {
    values.into_iter().filter_map(|value| {
        let i = value.checked_sub(1)?;
        match &stages[i] {
            Stage { work: Work::Core { norm: Some(norm), epilogue, .. }, summed_by: Some(_), .. } => {
                Some((i, norm, epilogue))
            }
            _ => None,
        }
    })
}

/// The gradient of a sum's z, row by row, and the sums that its operands' normalisations need while the row is near.
fn sum_backward<'a>(
    c: &Context,
    operands: impl Iterator<Item = (usize, &'a Norm, &'a Epilogue)> + Clone,
    back: &Back,
    others: &[AlignedVec],
    z: &mut [f32],
    dy: &[f32],
    lanes: &mut [f32],
) {
    let e = back.epilogue();
    for row in 0..e.y.rows {
        back.run(c.path, row..row + 1, z, dy);
        for (slot, (i, norm, epilogue)) in operands.clone().enumerate() {
            let back = NormEpilogue { e: epilogue, channels: &c.channels[norm.number] };
            let lanes = &mut lanes[slot * epilogue.z.channels * 2 * CHUNK..];
            back.sums_of(c.path, e.z_rows(&(row..row + 1)), &others[i], z, lanes);
        }
    }
}

/// Gradients of z, strip by strip, and of weights and biases while the strip is in the nearest caches.
#[allow(clippy::too_many_arguments)]
fn conv_backward(
    c: &Context,
    s: &ConvCore,
    back: &Back,
    x: &[f32],
    z: &mut [f32],
    dy: &[f32],
    Room { lanes, scratch, .. }: &mut Room,
    own: &mut [f32],
) {
    let e = back.epilogue();
    let (weights, biases) = lanes[..s.kernel.acc_len() + s.shape.oc * CHUNK].split_at_mut(s.kernel.acc_len());
    biases.fill(0.0);
    let own_weight = s.place.own_weight.clone().unwrap_or_default();
    let mut row = 0;
    while row < e.y.rows {
        let rows = row..(row + s.strip).min(e.y.rows);
        row = rows.end;
        back.run(c.path, rows.clone(), z, dy);
        let z_rows = e.z_rows(&rows);
        s.kernel.weight(c.path, z_rows.clone(), z, x, weights, &mut own[own_weight.clone()], scratch);
        if s.place.own_bias.is_some() {
            sums::add_positions(c.path, &e.z, z_rows, z, biases);
        }
    }
    s.kernel.sum(c.path, weights, &mut own[own_weight]);
    if let Some(range) = &s.place.own_bias {
        sums::sum_all_lanes(c.path, biases, &mut own[range.clone()]);
    }
}

fn dense_backward(c: &Context, s: &DenseCore, x: &[f32], z: &[f32], own: &mut [f32], rows: &mut DenseRows) {
    input::lanes_to_rows(c.path, &x[..s.shape.inputs * CHUNK], dense::row_stride(s.shape.inputs), &mut rows.x);
    input::lanes_to_rows(c.path, &z[..s.shape.outputs * CHUNK], dense::row_stride(s.shape.outputs), &mut rows.dz);
    if let Some(range) = &s.place.own_bias {
        sums::sum_all_lanes(c.path, z, &mut own[range.clone()]);
    }
}
