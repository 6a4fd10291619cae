//! One chunk on the way back.

use super::chunk::{Context, Workspace};
use super::cores::{Back, Backward, Core, Left, Norm, NormKind, Place, Samples};
use super::plan::{Gradient, Part, Work};
use crate::kernel::op::add::add_frame;
use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::op::norm::NormEpilogue;
use crate::kernel::plan::frame::copy_frame;
use crate::kernel::sums::sum_all_lanes;
use crate::kernel::{AlignedVec, CHUNK};
use std::mem::take;
use std::ops::Range;

impl Workspace {
    /// One round of the way back, from behind one stop to the one before, where the gradients of normalisations are summed:
    /// what the batch's sums need is `left`. Rounds are those of the way forward.
    pub fn backward_round(&mut self, c: &Context, s: Samples, round: usize, left: &mut Left) {
        for i in c.program.rounds[round].stages.clone().rev().filter(|&i| i >= c.program.learning) {
            self.stage_backward(c, i, s, left);
        }
        let Some(before) = round.checked_sub(1) else { return };
        for &i in &c.program.rounds[before].stops {
            let stage = &c.program.stages[i];
            if let Some(norm) = stage.norm().filter(|_| stage.summed_by.is_none()) {
                self.sums(c, i);
                sum_all_lanes(c.path, &self.room.lanes, &mut self.stops[norm.number]);
            }
        }
    }

    /// Sums of the gradients of a normalisation's channels, lanes apart.
    fn sums(&mut self, c: &Context, i: usize) {
        let Some((norm, e)) = c.program.stages[i].normalised() else { return };
        if let Some((stage, from)) = c.program.fetched[i + 1].and_then(|s| Some((s, c.program.stages[s].epilogue()?))) {
            copy_frame([&from.z, &e.dy], &self.z[stage], &mut self.a[i + 1]);
        }
        let back = NormEpilogue { e, channels: &c.channels[norm.number] };
        let mut dy = take(self.gradient_of(c, i + 1));
        back.sums(c.path, &self.z[i], &self.kept[i], &mut dy, &mut self.room.lanes);
        *self.gradient_of(c, i + 1) = dy;
    }

    /// The gradient of a value, wherever it lies.
    fn gradient_of(&mut self, c: &Context, value: usize) -> &mut AlignedVec {
        match c.program.elsewhere[value] {
            Some(stage) => &mut self.z[stage],
            None => &mut self.a[value],
        }
    }

    fn stage_backward(&mut self, c: &Context, i: usize, s: Samples, left: &mut Left) {
        let stage = &c.program.stages[i];
        match stage.norm().map(|norm| (&norm.kind, &norm.place)) {
            Some((NormKind::Learnt { gain }, place)) => self.learnt_backward(c, i, place, *gain, left.own),
            // The whole batch's sums give its gradients.
            Some((NormKind::Batch { .. }, _)) | None => {}
        }
        // Taken out, so that they can be borrowed beside the others.
        let mut x = take(&mut self.a[stage.source]);
        let mut extra = match stage.dx {
            Some(Gradient::Extra(k)) => Some((k, take(&mut self.extras[k]))),
            Some(Gradient::Value | Gradient::Stays) | None => None,
        };
        let elsewhere = extra.as_mut().map(|(_, extra)| &mut extra[..]);
        match &stage.work {
            Work::Core { core, norm, epilogue } => {
                self.core_backward(c, i, s, (&**core, norm.as_ref(), epilogue), &x, left);
                let to = if stage.dx == Some(Gradient::Value) { Some(&mut x[..]) } else { elsewhere };
                if let Some(to) = to {
                    core.gradient(&c.pass(i, s), &self.z[i], to, &mut self.room.scratch);
                }
            }
            Work::Plain(plain) => {
                let dy = c.program.elsewhere[i + 1].map_or(&self.a[i + 1], |stage| &self.z[stage]);
                if stage.dx.is_some() {
                    plain.backward(&c.pass(i, s), dy, &self.kept[i], &mut x, elsewhere);
                }
            }
        }
        self.a[stage.source] = x;
        if let Some((k, extra)) = extra {
            self.extras[k] = extra;
        }
        if stage.dx == Some(Gradient::Value) {
            self.collect(c, stage.source);
        }
    }

    /// Makes the gradient of a stage's z, from that of its value.
    fn core_backward(
        &mut self,
        c: &Context,
        i: usize,
        s: Samples,
        (core, norm, e): (&dyn Core, Option<&Norm>, &Epilogue),
        x: &[f32],
        left: &mut Left,
    ) {
        let stage = &c.program.stages[i];
        let mut z = take(&mut self.z[i]);
        let behind = |norm: &Norm, e| NormEpilogue { e, channels: &c.channels[norm.number] };
        let back = match norm {
            None => Back::Plain(e),
            Some(norm) => Back::Norm(behind(norm, e), s.indices.len(), &self.kept[i]),
        };
        // Of a sum, the operands that it normalises on their way.
        let maker = |value: usize| value.checked_sub(1).and_then(|i| Some((i, c.program.stages[i].summed()?)));
        let summed = [Some(stage.source), stage.other].map(|v| v.filter(|_| stage.other.is_some()).and_then(maker));
        core.backward(
            &c.pass(i, s),
            Backward {
                back,
                x,
                z: &mut z,
                dy: c.program.elsewhere[i + 1].map_or(&self.a[i + 1], |stage| &self.z[stage]),
                lanes: &mut self.room.lanes,
                scratch: &mut self.room.scratch,
                own: left.own,
                rows: left.rows,
                summed: summed.map(|s| s.map(|(i, (norm, e))| (behind(norm, e), &self.z[i][..]))),
            },
        );
        for (slot, (_, (norm, e))) in summed.iter().flatten().enumerate() {
            let lanes = &self.room.lanes[slot * e.z.channels * 2 * CHUNK..];
            sum_all_lanes(c.path, lanes, &mut self.stops[norm.number]);
        }
        self.z[i] = z;
    }

    /// The gradients of a normalisation that waits for nothing.
    fn learnt_backward(&mut self, c: &Context, i: usize, place: &Place, gain: f32, own: &mut [f32]) {
        self.sums(c, i);
        let mut sums = [0.0; 2];
        for channel in 0..place.weight.len() {
            sum_all_lanes(c.path, &self.room.lanes[2 * channel * CHUNK..], &mut sums);
            let at = |range: &Option<Range<usize>>| range.as_ref().map(|r| r.start + channel);
            at(&place.own_weight).into_iter().for_each(|at| own[at] = sums[1] * gain);
            at(&place.own_bias).into_iter().for_each(|at| own[at] = sums[0]);
        }
    }

    /// Adds what other stages left of a value's gradient.
    fn collect(&mut self, c: &Context, value: usize) {
        let (frame, program) = (&c.program.frames[value], c.program);
        for part in &program.parts[value] {
            let (from, from_frame) = match *part {
                Part::Extra(k) => (&self.extras[k], Some(&program.extras[k])),
                Part::Z(stage) => (&self.z[stage], program.stages[stage].epilogue().map(|e| &e.z)),
            };
            if let Some(from_frame) = from_frame {
                add_frame(c.path, [from_frame, frame], from, &mut self.a[value]);
            }
        }
    }
}
