//! Inference on a single sample: pixels or outputs in the lanes. The same chains of roundings as in a chunk.

use super::convolution::{compares, fits};
use super::flow::{blocks, chw};
use crate::engine::Pixels;
use crate::kernel::contract::Contraction;
use crate::kernel::frame::Frame;
use crate::kernel::pool::PoolKind;
use crate::kernel::single::{Steps, activate, pool};
use crate::kernel::tile::Tiles;
use crate::kernel::winograd::square::{self, Patches};
use crate::kernel::winograd::{Inputs, Scratch, Winograd};
use crate::kernel::{AlignedVec, CHUNK, Path, conv, dense, input};
use crate::spec::{Activation, ConvShape, DenseShape, Geometry, Network, PoolShape};
use std::ops::Range;

enum Work {
    Conv { s: ConvShape, forward: Forward, z: Frame, pool: (PoolKind, PoolShape) },
    Dense { s: DenseShape, forward: Contraction },
    Pool(PoolKind, PoolShape),
}

enum Forward {
    Direct(Box<Contraction>),
    Winograd(Box<Winograd>),
    Square(Box<Patches>),
}

struct Stage {
    work: Work,
    activation: Option<Activation>,
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

impl Single {
    /// Whether all layers have kernels for single samples; other networks pass them as a chunk.
    pub fn supports(network: &Network) -> bool {
        let simple = |g: &Geometry| {
            use Geometry::*;
            matches!(g, Conv2d(_) | Dense(_) | AvgPool(_) | MaxPool(_) | Flatten | Activation(_))
        };
        network.layers.iter().all(|l| simple(&l.geometry))
    }

    pub fn new(network: &Network, path: Path) -> Self {
        let tiles = Tiles::of(path);
        let blocks = blocks(network, |_| true);
        let mut frames: Vec<Frame> = blocks.iter().map(|b| one(chw(b.layer.input), b.border())).collect();
        frames.push(one([network.outputs, 1, 1], [0, 0]));
        // The first stage may see the image as flat; it is loaded channel by channel.
        frames[0] = one(network.input, blocks.first().map_or([0, 0], |b| b.border()));
        let mut a_len: Vec<usize> = frames.iter().map(|f| f.len().next_multiple_of(CHUNK)).collect();
        let (mut stages, mut z, mut packs) = (Vec::new(), Vec::new(), Vec::new());
        for (i, block) in blocks.iter().enumerate() {
            let (work, activation, z_len, pack_len) = match block.layer.geometry {
                Geometry::Conv2d(s) => {
                    // Rows as long as those of x; a vector may overrun each plane.
                    let pairs = fits(&s, compares(network));
                    let cols = if pairs { s.ow.next_multiple_of(CHUNK) } else { frames[i].row() };
                    let frame = Frame { slack: CHUNK, ..one([s.oc, s.oh, cols], [0, 0]) };
                    let (forward, x_len, z_len, pack_len) = if square::fits(&s) {
                        let plan = Patches::plan(tiles, &s, &frames[i], &frame);
                        let pack_len = plan.packed_len();
                        (Forward::Square(Box::new(plan)), frames[i].len(), frame.len(), pack_len)
                    } else if pairs {
                        let plan = Winograd::plan(tiles, &s, &frames[i], &frame, false);
                        let (x_len, pack_len) = (plan.x_extent(), plan.packed_len()[0]);
                        (Forward::Winograd(Box::new(plan)), x_len, frame.len(), pack_len)
                    } else {
                        let plan = conv::forward_single(tiles, &s, &frames[i], &frame);
                        let (x_len, z_len, pack_len) = (plan.x_extent(), plan.y_extent(), plan.packed_len());
                        (Forward::Direct(Box::new(plan)), x_len, frame.len().max(z_len), pack_len)
                    };
                    a_len[i] = a_len[i].max(x_len);
                    let pool = block.pool.unwrap_or_else(|| copy([s.oc, s.oh, s.ow]));
                    (Work::Conv { s, forward, z: frame, pool }, block.activation, z_len, pack_len)
                }
                Geometry::Dense(s) => {
                    let forward = dense::forward_single(tiles, &s);
                    let pack_len = forward.x_extent();
                    (Work::Dense { s, forward }, block.activation, 0, pack_len)
                }
                Geometry::AvgPool(s) => (Work::Pool(PoolKind::Average, s), None, 0, 0),
                Geometry::MaxPool(s) => (Work::Pool(PoolKind::Maximum, s), None, 0, 0),
                Geometry::Activation(f) => {
                    let (kind, s) = copy(chw(block.layer.output));
                    (Work::Pool(kind, s), Some(f), 0, 0)
                }
                _ => unreachable!("`supports` was asked"),
            };
            z.push(AlignedVec::zeros(z_len));
            packs.push(AlignedVec::zeros(pack_len));
            let weight = block.layer.weight.as_ref().map_or(0..0, |w| w.range.clone());
            let bias = block.layer.bias.as_ref().map(|b| b.range.clone());
            stages.push(Stage { work, activation, weight, bias });
        }
        let a = a_len.into_iter().map(AlignedVec::zeros).collect();
        Single { path, stages, frames, a, z, packs, scratch: Scratch::default() }
    }

    /// Packs the weights anew.
    pub fn set_parameters(&mut self, parameters: &[f32]) {
        for (stage, pack) in self.stages.iter().zip(&mut self.packs) {
            let w = &parameters[stage.weight.clone()];
            match &stage.work {
                Work::Conv { forward: Forward::Direct(plan), .. } => plan.pack(w, 0..plan.groups().count(), pack),
                Work::Conv { forward: Forward::Winograd(plan), .. } => plan.pack(w, [pack, &mut []]),
                Work::Conv { forward: Forward::Square(plan), .. } => plan.pack(self.path, w, pack),
                Work::Dense { s, .. } => {
                    let row = dense::row_stride(s.outputs);
                    for (i, line) in pack.chunks_exact_mut(row).enumerate() {
                        (0..s.outputs).for_each(|o| line[o] = w[o * s.inputs + i]);
                    }
                }
                Work::Pool(..) => {}
            }
        }
    }

    /// Writes the logits of one sample.
    pub fn forward(&mut self, parameters: &[f32], pixels: &Pixels, index: u32, logits: &mut [f32]) {
        input::load_single(pixels, index, &self.frames[0], &mut self.a[0]);
        for (i, stage) in self.stages.iter().enumerate() {
            let (before, after) = self.a.split_at_mut(i + 1);
            let (x, y) = (&mut before[i], &mut after[0]);
            let bias = stage.bias.clone().map(|range| &parameters[range]);
            match &stage.work {
                Work::Conv { s, forward, z: frame, pool: (kind, shape) } => {
                    let z = &mut self.z[i];
                    match forward {
                        Forward::Direct(plan) => plan.run(0..plan.rows(), x, &self.packs[i], bias, z),
                        Forward::Winograd(plan) => {
                            let inputs = Inputs { x, packed: &self.packs[i], bias };
                            plan.forward(self.path, 0..s.oh, inputs, z, &mut self.scratch);
                        }
                        Forward::Square(plan) => {
                            let inputs = Inputs { x, packed: &self.packs[i], bias };
                            plan.run(self.path, inputs, z, &mut self.scratch);
                        }
                    }
                    activate(self.path, stage.activation, z);
                    let from = Steps { col: s.stride[1], ..steps(frame) };
                    pool(*kind, shape, z, from, y, steps_for(&self.frames[i + 1], shape));
                }
                Work::Dense { s, forward } => {
                    // The sample stands in the place of packed weights.
                    forward.run(0..1, &self.packs[i], x, None, y);
                    if let Some(bias) = bias {
                        y.iter_mut().zip(&bias[..s.outputs]).for_each(|(y, b)| *y += b);
                    }
                    activate(self.path, stage.activation, y);
                }
                Work::Pool(kind, shape) => {
                    activate(self.path, stage.activation, x);
                    pool(
                        *kind,
                        shape,
                        x,
                        steps_of_input(&self.frames[i], shape),
                        y,
                        steps_for(&self.frames[i + 1], shape),
                    );
                }
            }
        }
        logits.copy_from_slice(&self.a[self.a.len() - 1][..logits.len()]);
    }
}

/// Steps in the output of a pooling; the frame may be a flat one.
fn steps_for(frame: &Frame, s: &PoolShape) -> Steps {
    steps(&one([s.c, s.oh, s.ow], [frame.border_rows, frame.border_cols]))
}

fn steps_of_input(frame: &Frame, s: &PoolShape) -> Steps {
    steps(&one([s.c, s.ih, s.iw], [frame.border_rows, frame.border_cols]))
}
