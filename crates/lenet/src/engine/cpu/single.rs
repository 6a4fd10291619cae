//! Inference on a single sample: pixels or outputs in the lanes. The same chains of roundings as in a chunk.

use super::cores::{Kind, compares, goes_by_pairs};
use super::plan::{Block, blocks, borders};
use crate::engine::Pixels;
use crate::kernel::op::activation::single::activate;
use crate::kernel::op::add::single::sum_planes;
use crate::kernel::op::conv::{self, Algorithm, Inputs, Scratch};
use crate::kernel::op::dense;
use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::op::epilogue::single::Finish;
use crate::kernel::op::norm::Channels;
use crate::kernel::op::norm::single::scale_planes;
use crate::kernel::op::pool::PoolKind;
use crate::kernel::op::pool::single::pool;
use crate::kernel::plan::contract::Contraction;
use crate::kernel::plan::frame::{Frame, Steps};
use crate::kernel::plan::tile::Tiles;
use crate::kernel::winograd::pairs::Pairs;
use crate::kernel::winograd::square::{self, Patches};
use crate::kernel::{AlignedVec, CHUNK, NoMemory, Path, input};
use crate::spec::{Activation, ConvShape, DenseShape, Network, PoolShape};
use std::ops::Range;

enum Work {
    Conv {
        s: ConvShape,
        forward: Forward,
        finish: Finish,
    },
    Dense {
        s: DenseShape,
        forward: Contraction,
    },
    /// The sum of two values.
    Sum {
        other: usize,
        finish: Finish,
    },
    /// Normalisation, activation and pooling of a value.
    Finish(Finish),
    /// Pooling alone, of any window.
    Pool(PoolKind, PoolShape),
}

enum Forward {
    Direct(Box<Contraction>),
    Pairs(Box<Pairs>),
    /// With the outputs in the lanes; their biases stand behind the packed weights.
    Across(Box<Pairs>),
    Square(Box<Patches>),
}

struct Stage {
    source: usize,
    work: Work,
    activation: Option<Activation>,
    /// Position among the normalisations.
    norm: Option<usize>,
    weight: Range<usize>,
    bias: Option<Range<usize>>,
}

/// A network planned for single samples, with its own buffers and packed weights.
pub(super) struct Single {
    path: Path,
    stages: Vec<Stage>,
    frames: Vec<Frame>,
    a: Vec<AlignedVec>,
    z: Vec<AlignedVec>,
    packs: Vec<AlignedVec>,
    scratch: Scratch,
}

fn one([channels, rows, cols]: [usize; 3], border: [usize; 2]) -> Frame {
    Frame { channels, rows, cols, border_rows: border[0], border_cols: border[1], lanes: 1, slack: 0 }
}

fn steps(f: &Frame) -> Steps {
    Steps { origin: f.origin(), plane: f.plane(), row: f.row(), col: 1 }
}

/// A pooling that copies.
fn copy([c, h, w]: [usize; 3]) -> (PoolKind, PoolShape) {
    let s = PoolShape { c, ih: h, iw: w, oh: h, ow: w, kh: 1, kw: 1, stride: [1, 1], padding: [0, 0] };
    (PoolKind::Maximum, s)
}

/// What is behind a block's z, which has the block's shape.
fn finish(block: &Block, z: Steps, y: &Frame) -> Finish {
    let (kind, s) = block.pool.unwrap_or_else(|| copy(block.z()));
    Finish { normalizes: block.norm.is_some(), activation: block.activation, kind, s, z, y: steps(y) }
}

impl Single {
    /// Whether all layers have kernels for single samples; other networks pass them as a chunk.
    pub fn supports(network: &Network) -> bool {
        blocks(network, |_| true).iter().all(|b| {
            let col = if let Kind::Conv(s) = b.kind { s.stride[1] } else { 1 };
            // Chunks take these maxima before the activation.
            let maximum = b.pool.filter(|(kind, s)| *kind == PoolKind::Maximum && Epilogue::fits(s));
            let awkward = maximum.is_some_and(|(_, s)| s.stride[1] * col > 2 || (s.kw - 1) * col > 1);
            match b.kind {
                Kind::Conv(_) | Kind::Add => b.norm.is_none() || !awkward,
                Kind::Dense(_) => b.norm.is_none(),
                Kind::BatchNorm(_) => b.pool.is_none(),
                Kind::Pool(..) | Kind::Flatten | Kind::Activation(_) | Kind::Dropout => true,
                Kind::Subsample(_) | Kind::Alone => false,
            }
        })
    }

    /// Plans a network that it [supports](Single::supports).
    pub fn new(network: &Network, path: Path) -> Result<Self, NoMemory> {
        let blocks = blocks(network, |_| true);
        let shapes = std::iter::once(network.input).chain(blocks.iter().map(Block::y));
        let frames: Vec<Frame> = shapes.zip(borders(&blocks)).map(|(shape, border)| one(shape, border)).collect();
        let mut a_len: Vec<usize> = frames.iter().map(|f| f.len().next_multiple_of(CHUNK)).collect();
        let (mut stages, mut z, mut packs) = (Vec::new(), Vec::new(), Vec::new());
        let mut norms = 0;
        for (i, block) in blocks.iter().enumerate() {
            let planned = plan(path, block, compares(network), [&frames[block.source], &frames[i + 1]]);
            let x_len = &mut a_len[block.source];
            *x_len = planned.x_len.max(*x_len);
            z.push(AlignedVec::try_zeros(planned.z_len)?);
            packs.push(AlignedVec::try_zeros(planned.pack_len)?);
            let weight = block.layer.weight.as_ref().map_or(0..0, |w| w.range.clone());
            let bias = block.layer.bias.as_ref().map(|b| b.range.clone());
            let norm = block.norm.map(|_| norms);
            norms += usize::from(norm.is_some());
            let (source, work, activation) = (block.source, planned.work, block.activation);
            stages.push(Stage { source, work, activation, norm, weight, bias });
        }
        let a = a_len.into_iter().map(AlignedVec::try_zeros).collect::<Result<_, _>>()?;
        Ok(Single { path, stages, frames, a, z, packs, scratch: Scratch::default() })
    }

    /// Packs the weights anew.
    pub fn set_parameters(&mut self, parameters: &[f32]) {
        for (stage, pack) in self.stages.iter().zip(&mut self.packs) {
            let w = &parameters[stage.weight.clone()];
            match &stage.work {
                Work::Conv { forward: Forward::Direct(plan), .. } => plan.pack(w, 0..plan.groups().count(), pack),
                Work::Conv { forward: Forward::Pairs(plan), .. } => plan.pack(w, [pack, &mut []]),
                Work::Conv { forward: Forward::Across(plan), .. } => {
                    let (pack, biases) = pack.split_at_mut(plan.packed_len()[0]);
                    plan.pack(w, [pack, &mut []]);
                    let bias = stage.bias.iter().flat_map(|range| &parameters[range.clone()]);
                    biases.iter_mut().zip(bias).for_each(|(to, b)| *to = *b);
                }
                Work::Conv { forward: Forward::Square(plan), .. } => plan.pack(self.path, w, pack),
                Work::Dense { s, .. } => {
                    let row = dense::row_stride(s.outputs);
                    for (i, line) in pack.chunks_exact_mut(row).enumerate() {
                        (0..s.outputs).for_each(|o| line[o] = w[o * s.inputs + i]);
                    }
                }
                Work::Sum { .. } | Work::Finish(_) | Work::Pool(..) => {}
            }
        }
    }

    /// Writes the logits of one sample; `channels` are those of the normalisations.
    pub fn forward(
        &mut self,
        parameters: &[f32],
        channels: &[Channels],
        pixels: &Pixels,
        index: u32,
        logits: &mut [f32],
    ) {
        let path = self.path;
        input::load_single(pixels, index, &self.frames[0], &mut self.a[0]);
        for (i, stage) in self.stages.iter().enumerate() {
            let (before, after) = self.a.split_at_mut(i + 1);
            let (x, y) = (&before[stage.source], &mut after[0]);
            let bias = stage.bias.clone().map(|range| &parameters[range]);
            let affine = stage.norm.map(|n| &channels[n]).map_or([&[][..]; 2], |k| [&k.scale, &k.shift]);
            let z = &mut self.z[i];
            match &stage.work {
                Work::Conv { s, forward, finish } => {
                    let behind = forward.run(path, s, Inputs { x, packed: &self.packs[i], bias }, z, &mut self.scratch);
                    end(path, finish, z, behind, affine, y);
                }
                Work::Dense { s, forward } => {
                    // The sample stands in the place of packed weights.
                    forward.run(0..1, &self.packs[i], x, None, y);
                    if let Some(bias) = bias {
                        y.iter_mut().zip(&bias[..s.outputs]).for_each(|(y, b)| *y += b);
                    }
                    activate(path, stage.activation, y);
                }
                Work::Sum { other, finish } => {
                    let operands = [stage.source, *other].map(|v| (&before[v][..], &self.frames[v]));
                    sum_planes(operands, finish.z, z);
                    end(path, finish, z, &[], affine, y);
                }
                Work::Finish(finish) => finish.run(path, x, &[], affine, y),
                Work::Pool(kind, s) => {
                    pool(*kind, s, x, steps(&self.frames[stage.source]), y, steps(&self.frames[i + 1]));
                }
            }
        }
        logits.copy_from_slice(&self.a[self.a.len() - 1][..logits.len()]);
    }
}

impl Forward {
    /// Computes z; what is left to add to it are the biases that are returned.
    fn run<'a>(
        &self,
        path: Path,
        s: &ConvShape,
        inputs: Inputs<'a>,
        z: &mut [f32],
        scratch: &mut Scratch,
    ) -> &'a [f32] {
        let Inputs { x, packed, bias } = inputs;
        match self {
            Forward::Direct(plan) => plan.run(0..plan.rows(), x, packed, bias, z),
            Forward::Pairs(plan) => plan.forward(path, 0..s.oh, inputs, z, scratch),
            Forward::Square(plan) => plan.run(path, inputs, z, scratch),
            Forward::Across(plan) => {
                let (packed, biases) = packed.split_at(plan.packed_len()[0]);
                plan.forward(path, 0..s.oh, Inputs { x, packed, bias: None }, z, scratch);
                return biases;
            }
        }
        &[]
    }
}

/// What a block does, and floats of x, z and packed weights that it needs.
struct Planned {
    work: Work,
    x_len: usize,
    z_len: usize,
    pack_len: usize,
}

/// Plans a block from x to y.
fn plan(path: Path, block: &Block, compares: bool, [x, y]: [&Frame; 2]) -> Planned {
    match block.kind {
        Kind::Conv(s) => convolution(path, &s, block, compares, [x, y]),
        Kind::Dense(s) => {
            let forward = dense::forward_single(Tiles::of(path), &s);
            let pack_len = forward.x_extent();
            Planned { work: Work::Dense { s, forward }, x_len: 0, z_len: 0, pack_len }
        }
        Kind::Add => {
            let z = one(block.z(), [0, 0]);
            let finish = finish(block, steps(&z), y);
            let z_len = if finish.fits() { finish.z_extent().max(z.len()) } else { z.len() };
            let work = Work::Sum { other: block.other.unwrap_or(block.source), finish };
            Planned { work, x_len: 0, z_len, pack_len: 0 }
        }
        Kind::Pool(kind, s) => Planned { work: Work::Pool(kind, s), x_len: 0, z_len: 0, pack_len: 0 },
        // Of the last two there are none in networks that are supported.
        Kind::BatchNorm(_) | Kind::Activation(_) | Kind::Flatten | Kind::Dropout | Kind::Subsample(_) | Kind::Alone => {
            // Behind a flatten x may have another shape.
            let seen = one(block.z(), [x.border_rows, x.border_cols]);
            let mut finish = finish(block, steps(&seen), y);
            let n = y.len();
            if x.len() == n && n == finish.s.c && !finish.normalizes {
                // Features are a row.
                let row = Steps { origin: 0, plane: n, row: n, col: 1 };
                finish = Finish { s: copy([1, 1, n]).1, z: row, y: row, ..finish };
            }
            Planned { x_len: finish.z_extent(), work: Work::Finish(finish), z_len: 0, pack_len: 0 }
        }
    }
}

/// A convolution from x to y, as it suits its shape.
fn convolution(path: Path, s: &ConvShape, block: &Block, compares: bool, [x, y]: [&Frame; 2]) -> Planned {
    let pairs = goes_by_pairs(s, compares) && !square::fits(s);
    // Rows as long as those of x; a vector may overrun each plane.
    let cols = if pairs { s.ow.next_multiple_of(CHUNK) } else { x.row() };
    let frame = Frame { slack: CHUNK, ..one([s.oc, s.oh, cols], [0, 0]) };
    let mut behind = finish(block, Steps { col: s.stride[1], ..steps(&frame) }, y);
    let outputs = s.oc.next_multiple_of(CHUNK);
    let across = finish(block, Steps { origin: 0, plane: 1, row: s.ow * outputs, col: outputs }, y);
    let (forward, [x_len, z_len, pack_len]) = if square::fits(s) {
        let plan = Patches::plan(path, s, x, &frame);
        let lens = [x.len(), frame.len(), plan.packed_len()];
        (Forward::Square(Box::new(plan)), lens)
    } else if pairs && across.fits() && s.oc * cols > s.ow * outputs {
        // More of the lanes have something to do.
        behind = across;
        let plan = Pairs::plan_across(path, s, x);
        let lens = [plan.x_extent(), plan.z_extent(), plan.packed_len()[0] + outputs];
        (Forward::Across(Box::new(plan)), lens)
    } else if pairs {
        let plan = Pairs::plan(path, s, x, &frame, false);
        let lens = [plan.x_extent(), frame.len(), plan.packed_len()[0]];
        (Forward::Pairs(Box::new(plan)), lens)
    } else {
        let plan = conv::forward_single(Tiles::of(path), s, x, &frame);
        let lens = [plan.x_extent(), frame.len().max(plan.y_extent()), plan.packed_len()];
        (Forward::Direct(Box::new(plan)), lens)
    };
    let z_len = if behind.fits() { z_len.max(behind.z_extent()) } else { z_len };
    Planned { work: Work::Conv { s: *s, forward, finish: behind }, x_len, z_len, pack_len }
}

/// From z to y, in one go or step by step.
fn end(path: Path, finish: &Finish, z: &mut [f32], bias: &[f32], affine: [&[f32]; 2], y: &mut [f32]) {
    if finish.fits() {
        return finish.run(path, z, bias, affine, y);
    }
    scale_planes(path, finish.z.plane, affine, z);
    activate(path, finish.activation, z);
    pool(finish.kind, &finish.s, z, finish.z, y, finish.y);
}
