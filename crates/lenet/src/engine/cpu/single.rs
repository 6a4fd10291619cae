//! Inference on a single sample: pixels or outputs in the lanes. The same chains of roundings as in a chunk.

use super::convolution::{compares, fits};
use super::flow::{Block, blocks};
use crate::engine::Pixels;
use crate::kernel::contract::Contraction;
use crate::kernel::epilogue::Epilogue;
use crate::kernel::frame::Frame;
use crate::kernel::norm::Channels;
use crate::kernel::pool::PoolKind;
use crate::kernel::single::{Finish, Steps, activate, pool, scale_planes, sum_planes};
use crate::kernel::tile::Tiles;
use crate::kernel::winograd::square::{self, Patches};
use crate::kernel::winograd::{Inputs, Scratch, Winograd};
use crate::kernel::{AlignedVec, CHUNK, NoMemory, Path, conv, dense, input};
use crate::spec::{Activation, ConvShape, DenseShape, Geometry, Network, PoolShape};
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
    Winograd(Box<Winograd>),
    /// With the outputs in the lanes; their biases stand behind the packed weights.
    Across(Box<Winograd>),
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
        use Geometry::*;
        blocks(network, |_| true).iter().all(|b| {
            let col = if let Conv2d(s) = b.layer.geometry { s.stride[1] } else { 1 };
            // Chunks take these maxima before the activation.
            let maximum = b.pool.filter(|(kind, s)| *kind == PoolKind::Maximum && Epilogue::fits(s));
            let awkward = maximum.is_some_and(|(_, s)| s.stride[1] * col > 2 || (s.kw - 1) * col > 1);
            match b.layer.geometry {
                Conv2d(_) | Add => b.norm.is_none() || !awkward,
                Dense(_) => b.norm.is_none(),
                BatchNorm(_) => b.pool.is_none(),
                AvgPool(_) | MaxPool(_) | Flatten | Activation(_) | Dropout(_) => true,
                Rbf(_) | Subsample(_) => false,
            }
        })
    }

    pub fn new(network: &Network, path: Path) -> Result<Self, NoMemory> {
        let tiles = Tiles::of(path);
        let blocks = blocks(network, |_| true);
        let mut borders = vec![[0, 0]; blocks.len() + 1];
        for block in &blocks {
            let border = &mut borders[block.source];
            *border = [border[0].max(block.border()[0]), border[1].max(block.border()[1])];
        }
        let shapes = std::iter::once(network.input).chain(blocks.iter().map(Block::y));
        let frames: Vec<Frame> = shapes.zip(borders).map(|(shape, border)| one(shape, border)).collect();
        let mut a_len: Vec<usize> = frames.iter().map(|f| f.len().next_multiple_of(CHUNK)).collect();
        let (mut stages, mut z, mut packs) = (Vec::new(), Vec::new(), Vec::new());
        let mut norms = 0;
        for (i, block) in blocks.iter().enumerate() {
            let (x, y) = (&frames[block.source], &frames[i + 1]);
            let x_len = &mut a_len[block.source];
            let (work, z_len, pack_len) = match block.layer.geometry {
                Geometry::Conv2d(s) => {
                    let (work, lens) = convolution(tiles, &s, block, compares(network), [x, y]);
                    *x_len = lens[0].max(*x_len);
                    (work, lens[1], lens[2])
                }
                Geometry::Dense(s) => {
                    let forward = dense::forward_single(tiles, &s);
                    let pack_len = forward.x_extent();
                    (Work::Dense { s, forward }, 0, pack_len)
                }
                Geometry::Add => {
                    let z = one(block.z(), [0, 0]);
                    let finish = finish(block, steps(&z), y);
                    let z_len = if finish.fits() { finish.z_extent().max(z.len()) } else { z.len() };
                    (Work::Sum { other: block.other.unwrap_or(block.source), finish }, z_len, 0)
                }
                Geometry::AvgPool(s) => (Work::Pool(PoolKind::Average, s), 0, 0),
                Geometry::MaxPool(s) => (Work::Pool(PoolKind::Maximum, s), 0, 0),
                _ => {
                    // Behind a flatten x may have another shape.
                    let seen = one(block.z(), [x.border_rows, x.border_cols]);
                    let mut finish = finish(block, steps(&seen), y);
                    if let Geometry::Activation(f) = block.layer.geometry {
                        finish.activation = Some(f);
                    }
                    let n = y.len();
                    if x.len() == n && n == finish.s.c && !finish.normalizes {
                        // Features are a row.
                        let row = Steps { origin: 0, plane: n, row: n, col: 1 };
                        finish = Finish { s: copy([1, 1, n]).1, z: row, y: row, ..finish };
                    }
                    *x_len = finish.z_extent().max(*x_len);
                    (Work::Finish(finish), 0, 0)
                }
            };
            z.push(AlignedVec::try_zeros(z_len)?);
            packs.push(AlignedVec::try_zeros(pack_len)?);
            let weight = block.layer.weight.as_ref().map_or(0..0, |w| w.range.clone());
            let bias = block.layer.bias.as_ref().map(|b| b.range.clone());
            let norm = block.norm.map(|_| norms);
            norms += usize::from(norm.is_some());
            stages.push(Stage { source: block.source, work, activation: block.activation, norm, weight, bias });
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
                Work::Conv { forward: Forward::Winograd(plan), .. } => plan.pack(w, [pack, &mut []]),
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
                    let (packed, behind) = match forward {
                        Forward::Across(plan) => self.packs[i].split_at(plan.packed_len()[0]),
                        _ => (&self.packs[i][..], &[][..]),
                    };
                    let inputs = Inputs { x, packed, bias };
                    match forward {
                        Forward::Direct(plan) => plan.run(0..plan.rows(), x, packed, bias, z),
                        Forward::Winograd(plan) => plan.forward(path, 0..s.oh, inputs, z, &mut self.scratch),
                        Forward::Across(plan) => {
                            plan.forward(path, 0..s.oh, Inputs { bias: None, ..inputs }, z, &mut self.scratch);
                        }
                        Forward::Square(plan) => plan.run(path, inputs, z, &mut self.scratch),
                    }
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

/// A convolution from x to y, as it suits its shape; floats of x, z and packed weights.
fn convolution(
    tiles: &'static Tiles,
    s: &ConvShape,
    block: &Block,
    compares: bool,
    [x, y]: [&Frame; 2],
) -> (Work, [usize; 3]) {
    let pairs = fits(s, compares) && !square::fits(s);
    // Rows as long as those of x; a vector may overrun each plane.
    let cols = if pairs { s.ow.next_multiple_of(CHUNK) } else { x.row() };
    let frame = Frame { slack: CHUNK, ..one([s.oc, s.oh, cols], [0, 0]) };
    let mut behind = finish(block, Steps { col: s.stride[1], ..steps(&frame) }, y);
    let outputs = s.oc.next_multiple_of(CHUNK);
    let across = finish(block, Steps { origin: 0, plane: 1, row: s.ow * outputs, col: outputs }, y);
    let (forward, [x_len, z_len, pack_len]) = if square::fits(s) {
        let plan = Patches::plan(tiles, s, x, &frame);
        let lens = [x.len(), frame.len(), plan.packed_len()];
        (Forward::Square(Box::new(plan)), lens)
    } else if pairs && across.fits() && s.oc * cols > s.ow * outputs {
        // More of the lanes have something to do.
        behind = across;
        let plan = Winograd::plan_across(tiles, s, x);
        let lens = [plan.x_extent(), plan.z_extent(), plan.packed_len()[0] + outputs];
        (Forward::Across(Box::new(plan)), lens)
    } else if pairs {
        let plan = Winograd::plan(tiles, s, x, &frame, false);
        let lens = [plan.x_extent(), frame.len(), plan.packed_len()[0]];
        (Forward::Winograd(Box::new(plan)), lens)
    } else {
        let plan = conv::forward_single(tiles, s, x, &frame);
        let lens = [plan.x_extent(), frame.len().max(plan.y_extent()), plan.packed_len()];
        (Forward::Direct(Box::new(plan)), lens)
    };
    let z_len = if behind.fits() { z_len.max(behind.z_extent()) } else { z_len };
    (Work::Conv { s: *s, forward, finish: behind }, [x_len, z_len, pack_len])
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
