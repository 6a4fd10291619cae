//! One chunk through the network and back.
//!
//! A network without batch normalisation goes through in one piece, in a workspace of the thread. Each batch
//! normalisation cuts the way in two, since it waits for the whole batch: forward stops behind the z that is to be
//! normalised, backward behind the sums of its gradients, and every chunk keeps a workspace of its own.

use super::program::{ConvCore, Core, DenseCore, Gradient, NormKind, Part, Program, Stage, Work, row_lens};
use crate::data::augment;
use crate::engine::{Batch, Pixels, TrainStep};
use crate::kernel::loss::{ChunkScore, Labels, cross_entropy, soft_cross_entropy};
use crate::kernel::norm::{Channels, NormBackward, statistics};
use crate::kernel::pool::{Epilogue, Pooling};
use crate::kernel::winograd::{Inputs, Scratch};
use crate::kernel::{AlignedVec, CHUNK, Path, dense, dropout, elementwise, input, rbf};
use crate::spec::DenseShape;
use std::mem::take;

/// Buffers of a thread, or of a chunk.
pub(super) struct Workspace {
    /// The values: the input, then what each stage gives; backward turns each into its gradient.
    a: Vec<AlignedVec>,
    /// Of each stage the pre-activations, then their derivatives or themselves, then their gradients.
    z: Vec<AlignedVec>,
    /// Gradients of values that others still need.
    extras: Vec<AlignedVec>,
    /// Places of maxima of pooling stages.
    places: Vec<AlignedVec>,
    /// What the whole batch needs of the normalisation where the chunk stopped, `[channel][2]`.
    pub stop: Vec<f32>,
    /// What is needed only while a stage runs.
    pub room: Room,
}

/// Buffers that hold nothing between stages, so that chunks which wait need none of their own.
#[derive(Default)]
pub(super) struct Room {
    /// Sums of a stage with the lanes apart: of a convolution's weights, then its biases; of a normalisation's channels.
    lanes: AlignedVec,
    /// Augmented images.
    augmented: augment::Scratch,
    /// What a convolution needs while it runs.
    scratch: Scratch,
}

impl Room {
    pub fn new(program: &Program) -> Self {
        let lanes = |s: &Stage| match &s.work {
            Work::Core { core: Core::Conv(s), .. } => s.kernel.acc_len() + s.shape.oc * CHUNK,
            _ => 0,
        };
        let most = program.stages.iter().map(|s| lanes(s).max(norm_len(s))).max();
        Room { lanes: AlignedVec::zeros(most.unwrap_or(0)), ..Room::default() }
    }
}

/// Floats of the sums of a normalisation's channels, lanes apart.
fn norm_len(stage: &Stage) -> usize {
    if stage.norm().is_some() { 2 * z_channels(stage) * CHUNK } else { 0 }
}

/// The packed weights of a stage: forward, gradient.
pub(super) type Packs = [AlignedVec; 2];

/// Samples of a chunk as rows, for one dense stage.
pub(super) struct DenseRows {
    dz: AlignedVec,
    x: AlignedVec,
}

impl DenseRows {
    pub fn new(s: &DenseShape) -> Self {
        let (dz, x) = row_lens(s);
        DenseRows { dz: AlignedVec::zeros(dz), x: AlignedVec::zeros(x) }
    }

    pub fn view(&self) -> dense::ChunkRows<'_> {
        dense::ChunkRows { dz: &self.dz, x: &self.x }
    }
}

/// What is read while a chunk runs.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub path: Path,
    pub program: &'a Program,
    pub parameters: &'a [f32],
    pub buffers: &'a [f32],
    pub packs: &'a [Packs],
    /// Of each normalisation.
    pub channels: &'a [Channels],
    /// `None` for evaluation.
    pub train: Option<&'a TrainStep<'a>>,
}

/// The samples of a chunk.
#[derive(Clone, Copy)]
pub(super) struct Samples<'a> {
    pub batch: &'a Batch<'a>,
    pub indices: &'a [u32],
}

impl Samples<'_> {
    /// Keys of the samples' dropout in a layer.
    fn keys(&self, step: &TrainStep, layer: u32) -> [u32; CHUNK] {
        let mut keys = [0; CHUNK];
        for (key, &sample) in keys.iter_mut().zip(self.indices) {
            *key = step.dropout_key(sample).wrapping_add(layer);
        }
        keys
    }
}

impl Context<'_> {
    fn bias(&self, stage: &Stage) -> Option<&[f32]> {
        match &stage.work {
            Work::Core { core: Core::Conv(s), .. } => s.place.bias.clone(),
            Work::Core { core: Core::Dense(s), .. } => s.place.bias.clone(),
            _ => None,
        }
        .map(|range| &self.parameters[range])
    }
}

impl Workspace {
    /// Without room, which is a thread's.
    pub fn new(program: &Program) -> Self {
        let z = |s: &Stage| if let Work::Core { epilogue, .. } = &s.work { epilogue.z.len() } else { 0 };
        let places = |s: &Stage| if let Work::Pool(p) = &s.work { p.places_len() } else { 0 };
        let each = |f: &dyn Fn(&Stage) -> usize| program.stages.iter().map(|s| AlignedVec::zeros(f(s))).collect();
        let frames = |frames: &[crate::kernel::frame::Frame]| -> Vec<AlignedVec> {
            frames.iter().map(|f| AlignedVec::zeros(f.len())).collect()
        };
        Workspace {
            a: frames(&program.frames),
            z: each(&z),
            extras: frames(&program.extras),
            places: each(&places),
            stop: vec![0.0; program.stages.iter().map(norm_len).max().unwrap_or(0) / CHUNK],
            room: Room::default(),
        }
    }

    /// With room of its own.
    pub fn of_a_thread(program: &Program) -> Self {
        Workspace { room: Room::new(program), ..Workspace::new(program) }
    }

    /// The logits, `[outputs][16]`.
    pub fn logits(&self) -> &[f32] {
        &self.a[self.a.len() - 1]
    }

    /// The whole way forward, for evaluation and for networks that wait for nothing.
    pub fn forward(&mut self, c: &Context, s: Samples) {
        self.load(c, s);
        (0..c.program.stages.len()).for_each(|i| self.stage(c, i, s));
    }

    /// The way forward from behind the stop before `round` to the next stop, where the moments of z are taken.
    pub fn forward_round(&mut self, c: &Context, s: Samples, round: usize) {
        let waiting = &c.program.waiting;
        let begin = match round.checked_sub(1) {
            None => {
                self.load(c, s);
                0
            }
            Some(before) => {
                self.emit(c, waiting[before]);
                waiting[before] + 1
            }
        };
        let end = waiting.get(round).copied();
        (begin..end.unwrap_or(c.program.stages.len())).for_each(|i| self.stage(c, i, s));
        if let Some(i) = end
            && let Work::Core { epilogue, .. } = &c.program.stages[i].work
        {
            self.core(c, i);
            statistics(c.path, &epilogue.z, s.indices.len(), &self.z[i], &mut self.stop);
        }
    }

    /// Samples into the lanes of the first frame, augmented if the step says so.
    fn load(&mut self, c: &Context, s: Samples) {
        let frame = &c.program.frames[0];
        let augment = c.train.and_then(|how| Some((how, how.augment?)));
        let (Some((how, augment)), Pixels::Bytes { data, tables }) = (augment, s.batch.pixels) else {
            return input::load_chunk(c.path, &s.batch.pixels, s.indices, frame, &mut self.a[0]);
        };
        let shape = [frame.channels, frame.rows, frame.cols];
        let context = augment::Context { path: c.path, seed: how.seed, epoch: how.epoch };
        let data = augment.chunk(&context, data, s.indices, shape, &mut self.room.augmented);
        let places: [u32; CHUNK] = std::array::from_fn(|lane| lane as u32);
        let pixels = Pixels::Bytes { data, tables };
        input::load_chunk(c.path, &pixels, &places[..s.indices.len()], frame, &mut self.a[0]);
    }

    /// A stage as a whole.
    fn stage(&mut self, c: &Context, i: usize, s: Samples) {
        let stage = &c.program.stages[i];
        match &stage.work {
            Work::Core { core: Core::Conv(conv), norm, epilogue: e } => {
                let (before, after) = self.a.split_at_mut(i + 1);
                let (x, y, z) = (&before[stage.source], &mut after[0], &mut self.z[i]);
                let inputs = Inputs { x, packed: &c.packs[i][0], bias: c.bias(stage) };
                // Row by row, while the rows are in the first-level cache.
                for row in 0..e.y.rows {
                    conv.kernel.forward(c.path, e.z_rows(&(row..row + 1)), inputs, z, &mut self.room.scratch);
                    match norm {
                        None => e.forward(c.path, row..row + 1, c.train.is_some(), z, y),
                        Some(n) => e.forward_affine(c.path, row..row + 1, &c.channels[n.number], z, y),
                    }
                }
            }
            Work::Core { .. } => {
                self.core(c, i);
                self.emit(c, i);
            }
            Work::Pool(p) => {
                let (before, after) = self.a.split_at_mut(i + 1);
                let places = if c.train.is_some() { &mut self.places[i][..] } else { &mut [] };
                p.forward(c.path, &before[stage.source], &mut after[0], places);
            }
            Work::Dropout { rate, key } => {
                let (before, after) = self.a.split_at_mut(i + 1);
                let (x, y, frames) = (&before[stage.source], &mut after[0], [&stage.x, &stage.y]);
                match c.train {
                    Some(step) => dropout::apply(c.path, *rate, &s.keys(step, *key), frames, x, y),
                    None => elementwise::copy_frame(frames, x, y),
                }
            }
            Work::Rbf { shape, codes } => {
                let (before, after) = self.a.split_at_mut(i + 1);
                rbf::forward(c.path, shape, &c.buffers[codes.clone()], &before[stage.source], &mut after[0]);
            }
        }
    }

    /// Makes a stage's z.
    fn core(&mut self, c: &Context, i: usize) {
        let stage = &c.program.stages[i];
        let Work::Core { core, epilogue: e, .. } = &stage.work else { return };
        let (x, z) = (&self.a[stage.source], &mut self.z[i]);
        match core {
            Core::Conv(s) => {
                let inputs = Inputs { x, packed: &c.packs[i][0], bias: c.bias(stage) };
                s.kernel.forward(c.path, 0..e.z.rows, inputs, z, &mut self.room.scratch);
            }
            Core::Dense(s) => s.forward.run(0..1, x, &c.packs[i][0], c.bias(stage), z),
            Core::Copy => elementwise::copy_frame([&stage.x, &e.z], x, z),
            Core::Add { other, frame } => {
                elementwise::copy_frame([&stage.x, &e.z], x, z);
                elementwise::add_frame(c.path, [frame, &e.z], &self.a[*other], z);
            }
            Core::Average(p) => p.forward(c.path, x, z, &mut []),
        }
    }

    /// Makes the value of a stage from its z.
    fn emit(&mut self, c: &Context, i: usize) {
        let Work::Core { norm, epilogue: e, .. } = &c.program.stages[i].work else { return };
        let (rows, z, y) = (0..e.y.rows, &mut self.z[i], &mut self.a[i + 1]);
        match norm {
            None => e.forward(c.path, rows, c.train.is_some(), z, y),
            Some(n) => e.forward_affine(c.path, rows, &c.channels[n.number], z, y),
        }
    }

    /// Loss of the chunk that was passed forward, by its labels alone; with a scale, the logits become their gradient.
    pub fn score(&mut self, c: &Context, s: Samples, scale: Option<f32>) -> ChunkScore {
        let mut labels = [0u16; CHUNK];
        for (l, &i) in labels.iter_mut().zip(s.indices) {
            *l = s.batch.labels[i as usize];
        }
        let last = self.a.len() - 1;
        cross_entropy(c.path, &mut self.a[last], &labels[..s.indices.len()], scale)
    }

    /// As [`Workspace::score`], by the targets of a step of training.
    pub fn train_score(&mut self, c: &Context, s: Samples, how: &TrainStep, scale: f32) -> ChunkScore {
        if how.is_plain() {
            return self.score(c, s, Some(scale));
        }
        let (samples, last) = (how.labels(s.batch, s.indices), self.a.len() - 1);
        let samples: &[Labels] = &samples[..s.indices.len()];
        soft_cross_entropy(c.path, &mut self.a[last], samples, &how.targets, Some(scale))
    }

    /// The way back from the stop before `round` to the next one, where the gradients of a normalisation are summed: the
    /// chunk's own gradient into `own`, samples as rows into `rows`.
    pub fn backward_round(&mut self, c: &Context, s: Samples, round: usize, own: &mut [f32], rows: &mut [DenseRows]) {
        let waiting = &c.program.waiting;
        let stop = |round: usize| waiting.len().checked_sub(round + 1).map(|i| waiting[i]);
        let begin = match round.checked_sub(1).and_then(stop) {
            None => c.program.stages.len(),
            Some(i) => i + 1,
        };
        let end = stop(round);
        for i in (end.map_or(c.program.learning, |i| i + 1)..begin).rev() {
            self.stage_backward(c, i, s, own, rows);
        }
        if let Some(i) = end {
            self.sums(c, i);
            elementwise::sum_all_lanes(
                c.path,
                &self.room.lanes,
                &mut self.stop[..2 * z_channels(&c.program.stages[i])],
            );
        }
    }

    /// Sums of the gradients of a normalisation's channels, lanes apart.
    fn sums(&mut self, c: &Context, i: usize) {
        let Work::Core { norm: Some(norm), epilogue: e, .. } = &c.program.stages[i].work else { return };
        let dy = c.program.elsewhere[i + 1].map_or(&self.a[i + 1], |stage| &self.z[stage]);
        let back = NormBackward { e, channels: &c.channels[norm.number] };
        back.sums(c.path, &self.z[i], dy, &mut self.room.lanes);
    }

    fn stage_backward(&mut self, c: &Context, i: usize, s: Samples, own: &mut [f32], rows: &mut [DenseRows]) {
        let stage = &c.program.stages[i];
        if let Some(norm) = stage.norm()
            && let NormKind::Learnt { gain } = norm.kind
        {
            self.sums(c, i);
            let mut sums = [0.0; 2];
            for channel in 0..z_channels(stage) {
                elementwise::sum_all_lanes(c.path, &self.room.lanes[2 * channel * CHUNK..], &mut sums);
                let place = |range: &Option<std::ops::Range<usize>>| range.as_ref().map(|r| r.start + channel);
                place(&norm.place.own_weight).into_iter().for_each(|at| own[at] = sums[1] * gain);
                place(&norm.place.own_bias).into_iter().for_each(|at| own[at] = sums[0]);
            }
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
                    Some(n) => Back::Norm(NormBackward { e, channels: &c.channels[n.number] }, s.indices.len()),
                };
                match core {
                    Core::Conv(conv) => conv_backward(c, conv, &back, &x, &mut z, dy, &mut self.room, own),
                    Core::Dense(dense) => {
                        back.run(c.path, 0..1, &mut z, dy);
                        dense_backward(c, dense, &x, &z, own, &mut rows[dense.number]);
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
                        Core::Copy | Core::Add { .. } => elementwise::copy_frame([&e.z, &stage.x], &z, to),
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

    /// Backward through a stage without a z: the gradient of x into `to`, which for codes holds x at first.
    fn plain_backward(&self, c: &Context, i: usize, s: Samples, dy: &[f32], to: &mut [f32]) {
        let stage = &c.program.stages[i];
        match (&stage.work, c.train) {
            (Work::Pool(p), _) => Pooling { y: stage.dy, ..*p }.backward(c.path, dy, &self.places[i], to),
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
            elementwise::add_frame(c.path, [from_frame, frame], from, &mut self.a[value]);
        }
    }
}

fn z_channels(stage: &Stage) -> usize {
    if let Work::Core { epilogue, .. } = &stage.work { epilogue.z.channels } else { 0 }
}

/// The way from the gradient of what a stage gives to that of its z.
enum Back<'a> {
    Plain(&'a Epilogue),
    /// Of so many samples.
    Norm(NormBackward<'a>, usize),
}

impl Back<'_> {
    fn epilogue(&self) -> &Epilogue {
        match self {
            Back::Plain(e) => e,
            Back::Norm(back, _) => back.e,
        }
    }

    fn run(&self, path: Path, rows: std::ops::Range<usize>, z: &mut [f32], dy: &[f32]) {
        match self {
            Back::Plain(e) => e.backward(path, rows, z, dy),
            Back::Norm(back, samples) => back.finish(path, rows, *samples, z, dy),
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
            elementwise::add_positions(c.path, &e.z, z_rows, z, biases);
        }
    }
    s.kernel.sum(c.path, weights, &mut own[own_weight]);
    if let Some(range) = &s.place.own_bias {
        elementwise::sum_all_lanes(c.path, biases, &mut own[range.clone()]);
    }
}

fn dense_backward(c: &Context, s: &DenseCore, x: &[f32], z: &[f32], own: &mut [f32], rows: &mut DenseRows) {
    input::lanes_to_rows(c.path, &x[..s.shape.inputs * CHUNK], dense::row_stride(s.shape.inputs), &mut rows.x);
    input::lanes_to_rows(c.path, &z[..s.shape.outputs * CHUNK], dense::row_stride(s.shape.outputs), &mut rows.dz);
    if let Some(range) = &s.place.own_bias {
        elementwise::sum_all_lanes(c.path, z, &mut own[range.clone()]);
    }
}
