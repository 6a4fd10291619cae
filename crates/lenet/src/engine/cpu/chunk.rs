//! One chunk through the network and back, in a workspace of its thread.

use super::program::{ConvStage, DenseStage, Program, Stage, row_lens};
use crate::data::augment::{self, Scratch};
use crate::engine::{Batch, Pixels, TrainStep};
use crate::kernel::loss::{ChunkScore, Labels, cross_entropy, soft_cross_entropy};
use crate::kernel::{AlignedVec, CHUNK, Path, dense, elementwise, input};
use crate::spec::DenseShape;

/// Buffers of one thread.
pub(super) struct Workspace {
    /// Inputs of the stages, then the logits; backward turns each into its gradient.
    a: Vec<AlignedVec>,
    /// Pre-activations of stages with weights, then derivatives, then gradients.
    z: Vec<AlignedVec>,
    /// Places of maxima of pooling stages.
    places: Vec<AlignedVec>,
    /// Gradients of a convolution's weights, then its biases, lanes apart.
    lanes: Vec<AlignedVec>,
    /// Augmented images.
    augmented: Scratch,
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
    pub packs: &'a [Packs],
}

impl Context<'_> {
    fn bias(&self, stage: &Stage) -> Option<&[f32]> {
        stage.place().and_then(|p| p.bias.clone()).map(|range| &self.parameters[range])
    }
}

impl Workspace {
    pub fn new(program: &Program) -> Self {
        let z = |s: &Stage| match s {
            Stage::Conv(s) => s.epilogue.z.len(),
            Stage::Dense(s) => s.epilogue.z.len(),
            _ => 0,
        };
        let places = |s: &Stage| if let Stage::Pool(p) = s { p.places_len() } else { 0 };
        let lanes = |s: &Stage| match s {
            Stage::Conv(s) => s.weight.acc_len() + s.shape.oc * CHUNK,
            _ => 0,
        };
        let each = |f: &dyn Fn(&Stage) -> usize| program.stages.iter().map(|s| AlignedVec::zeros(f(s))).collect();
        Workspace {
            a: program.frames.iter().map(|f| AlignedVec::zeros(f.len())).collect(),
            z: each(&z),
            places: each(&places),
            lanes: each(&lanes),
            augmented: Scratch::default(),
        }
    }

    /// The logits, `[outputs][16]`.
    pub fn logits(&self) -> &[f32] {
        &self.a[self.a.len() - 1]
    }

    /// Forward pass of up to 16 samples; a step of training leaves what backward needs.
    pub fn forward(&mut self, c: &Context, batch: &Batch, indices: &[u32], how: Option<&TrainStep>) {
        self.load(c, batch, indices, how);
        let train = how.is_some();
        for (i, stage) in c.program.stages.iter().enumerate() {
            let (before, after) = self.a.split_at_mut(i + 1);
            let (x, y) = (&mut before[i], &mut after[0]);
            match stage {
                Stage::Conv(s) => {
                    let z = &mut self.z[i];
                    for row in 0..s.epilogue.y.rows {
                        let rows = s.epilogue.z_rows(&(row..row + 1));
                        s.forward.run(rows, x, &c.packs[i][0], c.bias(stage), z);
                        s.epilogue.forward(c.path, row..row + 1, train, z, y);
                    }
                }
                Stage::Dense(s) => {
                    let z = &mut self.z[i];
                    s.forward.run(0..1, x, &c.packs[i][0], c.bias(stage), z);
                    s.epilogue.forward(c.path, 0..1, train, z, y);
                }
                Stage::Activation(e) => e.forward(c.path, 0..e.y.rows, train, x, y),
                Stage::Pool(p) => p.forward(x, y, if train { &mut self.places[i] } else { &mut [] }),
            }
        }
    }

    /// Samples into the lanes of the first frame, augmented if the step says so.
    fn load(&mut self, c: &Context, batch: &Batch, indices: &[u32], how: Option<&TrainStep>) {
        let frame = &c.program.frames[0];
        let augment = how.and_then(|how| Some((how, how.augment?)));
        let (Some((how, augment)), Pixels::Bytes { data, tables }) = (augment, batch.pixels) else {
            return input::load_chunk(c.path, &batch.pixels, indices, frame, &mut self.a[0]);
        };
        let shape = [frame.channels, frame.rows, frame.cols];
        let context = augment::Context { path: c.path, seed: how.seed, epoch: how.epoch };
        let data = augment.chunk(&context, data, indices, shape, &mut self.augmented);
        let places: [u32; CHUNK] = std::array::from_fn(|lane| lane as u32);
        let pixels = Pixels::Bytes { data, tables };
        input::load_chunk(c.path, &pixels, &places[..indices.len()], frame, &mut self.a[0]);
    }

    /// Loss of the chunk that was passed forward, by its labels alone; with a scale, the logits become their gradient.
    pub fn score(&mut self, c: &Context, batch: &Batch, indices: &[u32], scale: Option<f32>) -> ChunkScore {
        let mut labels = [0u16; CHUNK];
        for (l, &i) in labels.iter_mut().zip(indices) {
            *l = batch.labels[i as usize];
        }
        let last = self.a.len() - 1;
        cross_entropy(c.path, &mut self.a[last], &labels[..indices.len()], scale)
    }

    /// As [`Workspace::score`], by the targets of a step of training.
    pub fn train_score(
        &mut self,
        c: &Context,
        batch: &Batch,
        indices: &[u32],
        how: &TrainStep,
        scale: f32,
    ) -> ChunkScore {
        if how.is_plain() {
            return self.score(c, batch, indices, Some(scale));
        }
        let (samples, last) = (how.labels(batch, indices), self.a.len() - 1);
        let samples: &[Labels] = &samples[..indices.len()];
        soft_cross_entropy(c.path, &mut self.a[last], samples, &how.targets, Some(scale))
    }

    /// Backward pass: the chunk's own gradient into `own`, samples as rows into `rows`.
    pub fn backward(&mut self, c: &Context, own: &mut [f32], rows: &mut [DenseRows]) {
        let learning = c.program.stages.iter().position(|s| s.place().is_some()).unwrap_or(0);
        for (i, stage) in c.program.stages.iter().enumerate().skip(learning).rev() {
            let (before, after) = self.a.split_at_mut(i + 1);
            let (x, dy) = (&mut before[i], &after[0]);
            match stage {
                Stage::Conv(s) => {
                    conv_backward(c, s, x, &mut self.z[i], dy, &mut self.lanes[i], own);
                    if let Some(g) = &s.gradient {
                        g.run(0..g.rows(), &self.z[i], &c.packs[i][1], None, x);
                    }
                }
                Stage::Dense(s) => {
                    dense_backward(c, s, x, &mut self.z[i], dy, own, &mut rows[s.number]);
                    if let Some(g) = &s.gradient {
                        g.run(0..1, &self.z[i], &c.packs[i][1], None, x);
                    }
                }
                Stage::Activation(e) => e.backward(c.path, 0..e.y.rows, x, dy),
                Stage::Pool(p) => p.backward(dy, &self.places[i], x),
            }
        }
    }
}

fn conv_backward(c: &Context, s: &ConvStage, x: &[f32], z: &mut [f32], dy: &[f32], lanes: &mut [f32], own: &mut [f32]) {
    let (weights, biases) = lanes.split_at_mut(s.weight.acc_len());
    biases.fill(0.0);
    let mut row = 0;
    while row < s.epilogue.y.rows {
        let rows = row..(row + s.strip).min(s.epilogue.y.rows);
        row = rows.end;
        s.epilogue.backward(c.path, rows.clone(), z, dy);
        let z_rows = s.epilogue.z_rows(&rows);
        s.weight.run(z_rows.clone(), z, x, weights);
        if s.place.own_bias.is_some() {
            elementwise::add_positions(c.path, &s.epilogue.z, z_rows, z, biases);
        }
    }
    if let Some(range) = &s.place.own_weight {
        elementwise::sum_all_lanes(c.path, weights, &mut own[range.clone()]);
    }
    if let Some(range) = &s.place.own_bias {
        elementwise::sum_all_lanes(c.path, biases, &mut own[range.clone()]);
    }
}

fn dense_backward(
    c: &Context,
    s: &DenseStage,
    x: &[f32],
    z: &mut [f32],
    dy: &[f32],
    own: &mut [f32],
    rows: &mut DenseRows,
) {
    s.epilogue.backward(c.path, 0..1, z, dy);
    input::lanes_to_rows(c.path, &x[..s.shape.inputs * CHUNK], dense::row_stride(s.shape.inputs), &mut rows.x);
    input::lanes_to_rows(c.path, &z[..s.shape.outputs * CHUNK], dense::row_stride(s.shape.outputs), &mut rows.dz);
    if let Some(range) = &s.place.own_bias {
        elementwise::sum_all_lanes(c.path, z, &mut own[range.clone()]);
    }
}
