//! One chunk through the network; the way back is `backward.rs`.
//!
//! A network without batch normalisation goes through in one piece, in a workspace of the thread. Batch normalisations cut
//! the way into rounds, since they wait for the whole batch: forward stops behind the z that are to be normalised,
//! backward behind the sums of their gradients, and every chunk keeps a workspace of its own.

use super::cores::{Packs, Pass, Samples, Taken};
use super::plan::{Program, Stage, Work};
use crate::engine::{Pixels, TrainStep};
use crate::kernel::augment;
use crate::kernel::op::add::Operand;
use crate::kernel::op::conv::Scratch;
use crate::kernel::op::loss::{ChunkScore, Labels, cross_entropy, soft_cross_entropy};
use crate::kernel::op::norm::{Channels, NormEpilogue, statistics};
use crate::kernel::{AlignedVec, CHUNK, NoMemory, Path, input};
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
    /// What each stage keeps for the way back: of maxima their places, or, behind a normalisation, their z.
    pub(super) kept: Vec<AlignedVec>,
    /// What the whole batch needs of each normalisation where the chunk stopped, `[channel][2]`.
    pub stops: Vec<Vec<f32>>,
    /// What is needed only while a stage runs.
    pub room: Room,
}

/// Buffers that hold nothing between stages, so that chunks which wait need none of their own.
#[derive(Default)]
pub(super) struct Room {
    /// Sums of a stage with the lanes apart.
    pub(super) lanes: AlignedVec,
    /// Augmented images.
    augmented: augment::Scratch,
    /// What a convolution needs while it runs.
    pub(super) scratch: Scratch,
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

impl<'a> Context<'a> {
    /// What a stage reads.
    pub(super) fn pass(&self, stage: usize, samples: Samples<'a>) -> Pass<'a> {
        let Context { path, parameters, buffers, train, .. } = *self;
        Pass { path, parameters, buffers, packs: &self.packs[stage], samples, train }
    }
}

impl Workspace {
    /// Without room, which is a thread's.
    pub fn new(program: &Program) -> Result<Self, NoMemory> {
        let value = |s: &Stage| if s.summed_by.is_some() { 0 } else { s.y.len() };
        let stages = &program.stages;
        let lens = std::iter::once(program.frames[0].len()).chain(stages.iter().map(value));
        let lens = lens.chain(stages.iter().map(Stage::z_len)).chain(stages.iter().map(Stage::kept_len));
        let mut buffers = AlignedVec::zeros_together(lens.chain(program.extras.iter().map(|f| f.len())))?.into_iter();
        let mut some = |n: usize| buffers.by_ref().take(n).collect();
        let n = stages.len();
        let norms = stages.iter().filter(|s| s.norm().is_some());
        Ok(Workspace {
            a: some(n + 1),
            z: some(n),
            kept: some(n),
            extras: some(program.extras.len()),
            stops: norms.map(|s| vec![0.0; s.norm_len() / CHUNK]).collect(),
            room: Room::default(),
        })
    }

    /// With room of its own.
    pub fn of_a_thread(program: &Program) -> Result<Self, NoMemory> {
        let lanes = program.stages.iter().map(Stage::lanes_len).max().unwrap_or(0);
        let room = Room { lanes: AlignedVec::try_zeros(lanes)?, ..Room::default() };
        Ok(Workspace { room, ..Workspace::new(program)? })
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
            match stage.normalised().filter(|_| stage.waits()) {
                Some((norm, e)) => {
                    self.core(c, i, s, 0..e.z.rows);
                    statistics(c.path, &e.z, s.indices.len(), &self.z[i], &mut self.stops[norm.number]);
                }
                None => self.stage(c, i, s),
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
            Work::Core { core, epilogue: e, .. } if core.is_row_by_row() => {
                // Row by row, while the rows are in the first-level cache.
                for row in 0..e.y.rows {
                    self.core(c, i, s, e.z_rows(&(row..row + 1)));
                    self.emit_rows(c, i, row..row + 1);
                }
            }
            Work::Core { epilogue: e, .. } => {
                self.core(c, i, s, 0..e.z.rows);
                self.emit(c, i);
            }
            Work::Plain(plain) => {
                let (before, after) = self.a.split_at_mut(i + 1);
                let kept = if c.train.is_some() { &mut self.kept[i][..] } else { &mut [] };
                plain.forward(&c.pass(i, s), &before[stage.source], &mut after[0], kept);
            }
        }
    }

    /// Makes some rows of a stage's z; cores that do not go row by row make all of them.
    fn core(&mut self, c: &Context, i: usize, s: Samples, rows: Range<usize>) {
        let stage = &c.program.stages[i];
        let Some(core) = stage.core() else { return };
        let mut z = take(&mut self.z[i]);
        let operand = |value| operand(c, &self.a, &self.z, value);
        let taken = Taken { x: operand(stage.source), other: stage.other.map(operand) };
        core.forward(&c.pass(i, s), rows, taken, &mut z, &mut self.room.scratch);
        self.z[i] = z;
    }

    /// Makes the value of a stage from its z.
    fn emit(&mut self, c: &Context, i: usize) {
        if let Some(e) = c.program.stages[i].epilogue() {
            self.emit_rows(c, i, 0..e.y.rows);
        }
    }

    fn emit_rows(&mut self, c: &Context, i: usize, rows: Range<usize>) {
        let stage = &c.program.stages[i];
        let Some(e) = stage.epilogue().filter(|_| stage.summed_by.is_none()) else { return };
        let (z, y, train) = (&mut self.z[i], &mut self.a[i + 1], c.train.is_some());
        match stage.norm() {
            None => e.forward(c.path, rows, train, z, y),
            Some(n) => {
                let picked = if train { &mut self.kept[i][..] } else { &mut [] };
                NormEpilogue { e, channels: &c.channels[n.number] }.forward(c.path, rows, z, picked, y);
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

/// What a core takes: a value, or the z of which it would have been made.
fn operand<'a>(c: &Context<'a>, a: &'a [AlignedVec], z: &'a [AlignedVec], value: usize) -> Operand<'a> {
    let summed = value.checked_sub(1).and_then(|i| Some((i, c.program.stages[i].summed()?)));
    match summed {
        Some((i, (norm, e))) => Operand { values: &z[i], frame: &e.z, channels: Some(&c.channels[norm.number]) },
        None => Operand { values: &a[value], frame: &c.program.frames[value], channels: None },
    }
}
