//! One chunk through the network; the way back is `backward.rs`.
//!
//! A network without batch normalisation goes through in one piece, in a workspace of the thread. Batch normalisations cut
//! the way into rounds, since they wait for the whole batch: forward stops behind the z that are to be normalised,
//! backward behind the sums of their gradients, and every chunk keeps a workspace of its own.

use super::program::{Core, Program, Stage, Work, row_lens};
use crate::engine::{Batch, Pixels, TrainStep};
use crate::kernel::augment;
use crate::kernel::elementwise::{self, Operand};
use crate::kernel::loss::{ChunkScore, Labels, cross_entropy, soft_cross_entropy};
use crate::kernel::maximum::NormMaximum;
use crate::kernel::norm::{Channels, statistics};
use crate::kernel::pool::PoolKind;
use crate::kernel::winograd::{Inputs, Scratch};
use crate::kernel::{AlignedVec, CHUNK, NoMemory, Path, dense, dropout, input, rbf};
use crate::spec::DenseShape;
use std::mem::take;
use std::ops::Range;

/// Buffers of a thread, or of a chunk.
pub(super) struct Workspace {
    /// The values: the input, then what each stage gives; backward turns each into its gradient.
    pub(super) a: Vec<AlignedVec>,
    /// Of each stage the pre-activations, then their derivatives or themselves, then their gradients.
    pub(super) z: Vec<AlignedVec>,
    /// Gradients of values that others still need.
    pub(super) extras: Vec<AlignedVec>,
    /// Of stages that take maxima: their places, or, behind a normalisation, their z.
    pub(super) maxima: Vec<AlignedVec>,
    /// What the whole batch needs of each normalisation where the chunk stopped, `[channel][2]`.
    pub stops: Vec<Vec<f32>>,
    /// What is needed only while a stage runs.
    pub room: Room,
}

/// Buffers that hold nothing between stages, so that chunks which wait need none of their own.
#[derive(Default)]
pub(super) struct Room {
    /// Sums of a stage with the lanes apart: of a convolution's weights, then its biases; of a normalisation's channels.
    pub(super) lanes: AlignedVec,
    /// Augmented images.
    augmented: augment::Scratch,
    /// What a convolution needs while it runs.
    pub(super) scratch: Scratch,
}

impl Room {
    pub fn new(program: &Program) -> Result<Self, NoMemory> {
        let lanes = |s: &Stage| match &s.work {
            Work::Core { core: Core::Conv(s), .. } => s.kernel.acc_len() + s.shape.oc * CHUNK,
            // A sum makes those of both its operands.
            Work::Core { core: Core::Add { .. }, .. } => 4 * z_channels(s) * CHUNK,
            _ => 0,
        };
        let most = program.stages.iter().map(|s| lanes(s).max(norm_len(s))).max();
        Ok(Room { lanes: AlignedVec::try_zeros(most.unwrap_or(0))?, ..Room::default() })
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
    pub(super) dz: AlignedVec,
    pub(super) x: AlignedVec,
}

impl DenseRows {
    pub fn new(s: &DenseShape) -> Result<Self, NoMemory> {
        let (dz, x) = row_lens(s);
        Ok(DenseRows { dz: AlignedVec::try_zeros(dz)?, x: AlignedVec::try_zeros(x)? })
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
    pub(super) fn keys(&self, step: &TrainStep, layer: u32) -> [u32; CHUNK] {
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
    pub fn new(program: &Program) -> Result<Self, NoMemory> {
        let z = |s: &Stage| if let Work::Core { epilogue, .. } = &s.work { epilogue.z.len() } else { 0 };
        let maxima = |s: &Stage| match &s.work {
            Work::Pool(p) => p.places_len(),
            Work::Core { norm: Some(_), epilogue: e, .. } if e.pool == Some(PoolKind::Maximum) => {
                NormMaximum::picked_len(e)
            }
            _ => 0,
        };
        let value = |s: &Stage| if s.summed_by.is_some() { 0 } else { s.y.len() };
        let stages = &program.stages;
        let lens = std::iter::once(program.frames[0].len()).chain(stages.iter().map(value));
        let lens = lens.chain(stages.iter().map(z)).chain(stages.iter().map(maxima));
        let lens = lens.chain(program.extras.iter().map(|f| f.len()));
        let mut buffers = AlignedVec::zeros_together(lens)?.into_iter();
        let mut some = |n: usize| buffers.by_ref().take(n).collect();
        let n = stages.len();
        let norms = stages.iter().filter(|s| s.norm().is_some());
        Ok(Workspace {
            a: some(n + 1),
            z: some(n),
            maxima: some(n),
            extras: some(program.extras.len()),
            stops: norms.map(|s| vec![0.0; norm_len(s) / CHUNK]).collect(),
            room: Room::default(),
        })
    }

    /// With room of its own.
    pub fn of_a_thread(program: &Program) -> Result<Self, NoMemory> {
        Ok(Workspace { room: Room::new(program)?, ..Workspace::new(program)? })
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

    /// One round of the way forward, from behind one stop to the next, where the moments of z are taken.
    pub fn forward_round(&mut self, c: &Context, s: Samples, round: usize) {
        match round.checked_sub(1) {
            None => self.load(c, s),
            Some(before) => c.program.rounds[before].stops.iter().for_each(|&i| self.emit(c, i)),
        }
        for i in c.program.rounds[round].stages.clone() {
            let stage = &c.program.stages[i];
            match (stage.norm().filter(|_| stage.waits()), &stage.work) {
                (Some(norm), Work::Core { epilogue: e, .. }) => {
                    self.core(c, i, 0..e.z.rows);
                    statistics(c.path, &e.z, s.indices.len(), &self.z[i], &mut self.stops[norm.number]);
                }
                _ => self.stage(c, i, s),
            }
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
            Work::Core { core: Core::Conv(_) | Core::Add { .. }, epilogue: e, .. } => {
                // Row by row, while the rows are in the first-level cache.
                for row in 0..e.y.rows {
                    self.core(c, i, e.z_rows(&(row..row + 1)));
                    self.emit_rows(c, i, row..row + 1);
                }
            }
            Work::Core { epilogue: e, .. } => {
                self.core(c, i, 0..e.z.rows);
                self.emit(c, i);
            }
            Work::Pool(p) => {
                let (before, after) = self.a.split_at_mut(i + 1);
                let places = if c.train.is_some() { &mut self.maxima[i][..] } else { &mut [] };
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

    /// Makes some rows of a stage's z; cores other than convolutions and sums make all of them.
    fn core(&mut self, c: &Context, i: usize, rows: Range<usize>) {
        let stage = &c.program.stages[i];
        let Work::Core { core, epilogue: e, .. } = &stage.work else { return };
        let mut z = take(&mut self.z[i]);
        let x = &self.a[stage.source];
        match core {
            Core::Conv(s) => {
                let inputs = Inputs { x, packed: &c.packs[i][0], bias: c.bias(stage) };
                s.kernel.forward(c.path, rows, inputs, &mut z, &mut self.room.scratch);
            }
            Core::Dense(s) => s.forward.run(0..1, x, &c.packs[i][0], c.bias(stage), &mut z),
            Core::Copy => elementwise::copy_frame([&stage.x, &e.z], x, &mut z),
            Core::Add { other } => {
                let operands = [self.operand(c, stage.source), self.operand(c, *other)];
                elementwise::sum_rows(c.path, rows, operands, &e.z, &mut z);
            }
            Core::Average(p) => p.forward(c.path, x, &mut z, &mut []),
        }
        self.z[i] = z;
    }

    /// What a sum takes: a value, or the z of which it would have been made.
    fn operand<'a>(&'a self, c: &'a Context, value: usize) -> Operand<'a> {
        let maker = value.checked_sub(1).map(|i| (i, &c.program.stages[i])).filter(|(_, s)| s.summed_by.is_some());
        match maker {
            Some((i, Stage { work: Work::Core { norm: Some(norm), epilogue, .. }, .. })) => {
                Operand { values: &self.z[i], frame: &epilogue.z, channels: Some(&c.channels[norm.number]) }
            }
            _ => Operand { values: &self.a[value], frame: &c.program.frames[value], channels: None },
        }
    }

    /// Makes the value of a stage from its z.
    fn emit(&mut self, c: &Context, i: usize) {
        if let Work::Core { epilogue, .. } = &c.program.stages[i].work {
            self.emit_rows(c, i, 0..epilogue.y.rows);
        }
    }

    fn emit_rows(&mut self, c: &Context, i: usize, rows: Range<usize>) {
        let stage = &c.program.stages[i];
        let Work::Core { norm, epilogue: e, .. } = &stage.work else { return };
        if stage.summed_by.is_some() {
            return;
        }
        let (z, y) = (&mut self.z[i], &mut self.a[i + 1]);
        match norm {
            None => e.forward(c.path, rows, c.train.is_some(), z, y),
            Some(n) => {
                let picked = if c.train.is_some() { &mut self.maxima[i][..] } else { &mut [] };
                e.forward_affine(c.path, rows, &c.channels[n.number], z, picked, y);
            }
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
}

pub(super) fn z_channels(stage: &Stage) -> usize {
    if let Work::Core { epilogue, .. } = &stage.work { epilogue.z.channels } else { 0 }
}
