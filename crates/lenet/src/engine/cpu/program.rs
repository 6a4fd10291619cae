//! From a network to a program: stages, layouts, plans.
//!
//! A stage is a *core* that makes pre-activations z from a value (or two), then, where they follow, a normalisation,
//! an activation and a pooling, which make the next value. Some layers are stages of their own kind.

use super::convolution::{Convolution, compares};
use super::flow::{Block, Flow, Gradient, Part, Round, blocks, chw, pooling, rounds};
use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::op::pool::{PoolKind, Pooling};
use crate::kernel::op::{conv, dense, dropout};
use crate::kernel::plan::contract::Contraction;
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::tile::Tiles;
use crate::kernel::{CHUNK, Path};
use crate::spec::{ConvShape, DenseShape, Geometry, LayerInfo, Network, NormShape};
use std::ops::Range;

/// Where a layer's parameters are in the slab, and in a chunk's own gradient those that each chunk computes by itself.
#[derive(Clone, Default)]
pub(super) struct Place {
    pub weight: Range<usize>,
    pub bias: Option<Range<usize>>,
    pub own_weight: Option<Range<usize>>,
    pub own_bias: Option<Range<usize>>,
}

pub(super) struct ConvCore {
    pub place: Place,
    pub shape: ConvShape,
    pub kernel: Convolution,
    /// Rows of the epilogue's output that backward takes at a time.
    pub strip: usize,
}

pub(super) struct DenseCore {
    pub place: Place,
    pub shape: DenseShape,
    pub forward: Contraction,
    pub gradient: Option<Contraction>,
    pub weight: dense::WeightGradient,
    /// Position among the dense stages.
    pub number: usize,
}

/// What makes a stage's z.
pub(super) enum Core {
    Conv(Box<ConvCore>),
    Dense(Box<DenseCore>),
    /// The value itself.
    Copy,
    /// The sum of the value and another one.
    Add {
        other: usize,
    },
    /// The average over a window.
    Average(Pooling),
}

/// A scale and a shift of each channel of z.
pub(super) struct Norm {
    pub place: Place,
    pub kind: NormKind,
    /// Position among the normalisations.
    pub number: usize,
}

pub(super) enum NormKind {
    /// By the statistics of the batch, with their running averages at these places of the buffer slab.
    Batch { shape: NormShape, mean: Range<usize>, variance: Range<usize> },
    /// By weights alone, times a factor.
    Learnt { gain: f32 },
}

/// What a stage does.
pub(super) enum Work {
    Core {
        core: Core,
        norm: Option<Norm>,
        epilogue: Epilogue,
    },
    Pool(Pooling),
    /// With its probability, and what it adds to the samples' keys.
    Dropout {
        rate: f32,
        key: u32,
    },
    /// With the codes' place in the buffer slab.
    Rbf {
        shape: DenseShape,
        codes: Range<usize>,
    },
}

/// A stage takes a value and gives the one with its own number plus 1.
pub(super) struct Stage {
    pub source: usize,
    pub work: Work,
    /// The layout of the value it takes.
    pub x: Frame,
    /// The layout of the value it gives.
    pub y: Frame,
    /// The layout of that value's gradient.
    pub dy: Frame,
    /// Where the gradient of the source goes; `None` where nothing before learns.
    pub dx: Option<Gradient>,
    /// The sum that normalises the stage's z on its way, so that the stage's own value is never written.
    pub summed_by: Option<usize>,
}

impl Stage {
    /// All places of parameters, in slab order.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        let (core, norm) = match &self.work {
            Work::Core { core: Core::Conv(c), norm, .. } => (Some(&c.place), norm.as_ref()),
            Work::Core { core: Core::Dense(c), norm, .. } => (Some(&c.place), norm.as_ref()),
            Work::Core { norm, .. } => (None, norm.as_ref()),
            _ => (None, None),
        };
        core.into_iter().chain(norm.map(|n| &n.place))
    }

    /// Forward and gradient plans, with the packed weights they need.
    pub fn contractions(&self) -> [Option<&Contraction>; 2] {
        match &self.work {
            Work::Core { core: Core::Conv(c), .. } => match &c.kernel {
                Convolution::Direct { forward, gradient, .. } => [Some(forward), gradient.as_deref()],
                Convolution::Pairs(_) | Convolution::Square(_) => [None, None],
            },
            Work::Core { core: Core::Dense(c), .. } => [Some(&c.forward), c.gradient.as_ref()],
            _ => [None, None],
        }
    }

    pub fn norm(&self) -> Option<&Norm> {
        if let Work::Core { norm, .. } = &self.work { norm.as_ref() } else { None }
    }

    /// The values it takes.
    pub fn sources(&self) -> impl Iterator<Item = usize> {
        let other = if let Work::Core { core: Core::Add { other, .. }, .. } = self.work { Some(other) } else { None };
        [Some(self.source), other].into_iter().flatten()
    }

    /// Whether the stage waits for the statistics of the whole batch.
    pub fn waits(&self) -> bool {
        self.norm().is_some_and(|n| matches!(n.kind, NormKind::Batch { .. }))
    }
}

/// A network, planned for one path.
pub(super) struct Program {
    pub stages: Vec<Stage>,
    /// Layouts of the values: the input, then what each stage gives.
    pub frames: Vec<Frame>,
    /// Gradients of values, where they lie elsewhere than in the values' own places: the stage whose z they are.
    pub elsewhere: Vec<Option<usize>>,
    /// Gradients of values that have to be copied into their own places first: the stage whose z they are.
    pub fetched: Vec<Option<usize>>,
    /// What to add to the gradients in the values' own places.
    pub parts: Vec<Vec<Part>>,
    /// Layouts of the extra gradients.
    pub extras: Vec<Frame>,
    /// What is done between two stops; the last one has no stops.
    pub rounds: Vec<Round>,
    /// Floats of the gradient that each chunk computes by itself.
    pub own_len: usize,
    /// Shapes of the dense stages.
    pub dense: Vec<DenseShape>,
    /// The first stage that learns.
    pub learning: usize,
}

/// Positions that backward wants in a strip, so that loading and storing the sums of all taps costs little.
const STRIP_POSITIONS: usize = 56;

impl Program {
    pub fn new(network: &Network, path: Path) -> Self {
        let blocks = blocks(network, Epilogue::fits);
        let mut borders = vec![[0, 0]; blocks.len() + 1];
        for block in &blocks {
            let border = &mut borders[block.source];
            *border = [border[0].max(block.border()[0]), border[1].max(block.border()[1])];
        }
        let with_border = |shape, [rows, cols]: [usize; 2]| Frame::chunk(shape).with_border(rows, cols);
        let shapes = std::iter::once(network.input).chain(blocks.iter().map(Block::y));
        let frames: Vec<Frame> = shapes.zip(&borders).map(|(shape, &border)| with_border(shape, border)).collect();
        let flow = Flow::new(&blocks);
        let mut plan = Planner {
            path,
            tiles: Tiles::of(path),
            compares: compares(network),
            own_len: 0,
            dense: Vec::new(),
            norms: 0,
        };
        let stages: Vec<Stage> = blocks
            .iter()
            .enumerate()
            .map(|(i, block)| {
                let f = |v: usize, shape| with_border(shape, borders[v]);
                let x = f(block.source, chw(block.layer.input));
                let dy = if flow.elsewhere[i + 1].is_some() { Frame::chunk(block.y()) } else { frames[i + 1] };
                let y = frames[i + 1];
                let work = plan.work(block, [x, y, dy], flow.needed[block.source]);
                Stage { source: block.source, work, x, y, dy, dx: flow.dx[i], summed_by: flow.summed_by[i] }
            })
            .collect();
        let learning = stages.iter().position(|s| s.places().next().is_some()).unwrap_or(0);
        let extras = flow.extras.iter().map(|&v| frames[v]).collect();
        let Planner { own_len, dense, .. } = plan;
        let Flow { elsewhere, fetched, parts, .. } = flow;
        let rounds = rounds(&stages);
        Program { stages, frames, elsewhere, fetched, parts, extras, rounds, own_len, dense, learning }
    }
}

struct Planner {
    path: Path,
    tiles: &'static Tiles,
    compares: bool,
    own_len: usize,
    dense: Vec<DenseShape>,
    norms: usize,
}

impl Planner {
    fn work(&mut self, block: &Block, [x, y, dy]: [Frame; 3], needed: bool) -> Work {
        let layer = block.layer;
        let mut z = Frame::chunk(block.z());
        let core = match layer.geometry {
            Geometry::Conv2d(shape) => {
                let border = if needed { conv::GRADIENT_BORDER } else { 0 };
                z = z.with_border(0, border);
                let rows = block.pool.map_or(1, |(_, s)| s.stride[0]);
                let kernel = Convolution::plan(self.path, &shape, &x, &z, needed, self.compares);
                let weights = layer.weight.as_ref().map_or(0, |w| w.range.len());
                Core::Conv(Box::new(ConvCore {
                    place: self.place(layer, Some(kernel.own_len(weights))),
                    shape,
                    strip: kernel.strip(STRIP_POSITIONS.div_ceil(rows * shape.ow), shape.oh),
                    kernel,
                }))
            }
            Geometry::Dense(shape) => {
                self.dense.push(shape);
                Core::Dense(Box::new(DenseCore {
                    place: self.place(layer, None),
                    shape,
                    forward: dense::forward(self.tiles, &shape),
                    gradient: needed.then(|| dense::gradient(self.tiles, &shape)),
                    weight: dense::WeightGradient::plan(self.tiles, &shape),
                    number: self.dense.len() - 1,
                }))
            }
            Geometry::AvgPool(s) | Geometry::MaxPool(s) if !Epilogue::fits(&s) => {
                let kind = if layer.kind == "max_pool" { PoolKind::Maximum } else { PoolKind::Average };
                return Work::Pool(Pooling { kind, s, x, y });
            }
            Geometry::Dropout(rate) => return Work::Dropout { rate, key: dropout::layer_key(&layer.name) },
            Geometry::Rbf(shape) => return Work::Rbf { shape, codes: layer.buffers[0].range.clone() },
            Geometry::Add => Core::Add { other: block.other.unwrap_or(block.source) },
            Geometry::Subsample(s) => Core::Average(Pooling { kind: PoolKind::Average, s, x, y: z }),
            Geometry::BatchNorm(_) | Geometry::Activation(_) | Geometry::Flatten => Core::Copy,
            Geometry::AvgPool(_) | Geometry::MaxPool(_) => {
                z = Frame::chunk(chw(layer.input));
                Core::Copy
            }
        };
        let pool = pooling(layer).or(block.pool);
        let (window, stride) = pool.map_or(([1, 1], [1, 1]), |(_, s)| ([s.kh, s.kw], s.stride));
        let activation = match layer.geometry {
            Geometry::Activation(a) => Some(a),
            _ => block.activation,
        };
        let norm = block.norm.map(|layer| self.norm(layer));
        Work::Core { core, norm, epilogue: Epilogue { activation, pool: pool.map(|p| p.0), window, stride, z, y, dy } }
    }

    fn norm(&mut self, layer: &LayerInfo) -> Norm {
        self.norms += 1;
        let (kind, own) = match layer.geometry {
            Geometry::BatchNorm(shape) => {
                let [mean, variance] = [0, 1].map(|i| layer.buffers[i].range.clone());
                (NormKind::Batch { shape, mean, variance }, false)
            }
            Geometry::Subsample(s) => (NormKind::Learnt { gain: (s.kh * s.kw) as f32 }, true),
            _ => (NormKind::Learnt { gain: 1.0 }, true),
        };
        let mut place = self.place(layer, own.then(|| layer.weight.as_ref().map_or(0, |w| w.range.len())));
        if !own {
            // The whole batch's sums give it.
            place.own_bias = None;
        }
        Norm { place, kind, number: self.norms - 1 }
    }

    /// Places of a layer's parameters; each chunk computes the gradient of biases, and with `own_weights` floats
    /// that of the weights.
    fn place(&mut self, layer: &LayerInfo, own_weights: Option<usize>) -> Place {
        let mut own = |len: usize| {
            self.own_len += len;
            self.own_len - len..self.own_len
        };
        let weight = layer.weight.as_ref().map_or(0..0, |w| w.range.clone());
        let bias = layer.bias.as_ref().map(|b| b.range.clone());
        let own_weight = own_weights.map(&mut own);
        let own_bias = bias.as_ref().map(|b| own(b.len()));
        Place { weight, bias, own_weight, own_bias }
    }
}

/// Floats of a chunk's rows of features, for each dense stage: gradients of outputs, inputs.
pub(super) fn row_lens(s: &DenseShape) -> (usize, usize) {
    (CHUNK * dense::row_stride(s.outputs), CHUNK * dense::row_stride(s.inputs))
}
