//! From a network to a program: stages, layouts, plans.
//!
//! A stage is a *core* that makes pre-activations z from a value (or two), then, where they follow, a normalisation,
//! an activation and a pooling, which make the next value. Some layers are stages of their own kind.

use super::convolution::{Convolution, compares};
use crate::kernel::contract::Contraction;
use crate::kernel::frame::Frame;
use crate::kernel::pool::{Epilogue, PoolKind, Pooling};
use crate::kernel::tile::Tiles;
use crate::kernel::{CHUNK, conv, dense, dropout};
use crate::spec::{Activation, ConvShape, DenseShape, Geometry, LayerInfo, Network, NormShape, PoolShape, Shape};
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
        frame: Frame,
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
}

/// Where a stage leaves the gradient of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gradient {
    /// In the value's own place: this is the last stage to need the value. What others left is added.
    Value,
    /// In a buffer of its own.
    Extra(usize),
    /// In its z, where whoever needs it finds it: a sum passes its gradient on as it is.
    Stays,
}

/// A gradient, or a part of it, that does not lie in the value's own place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Extra(usize),
    /// The z of a stage.
    Z(usize),
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
                Convolution::Winograd(_) | Convolution::Square(_) => [None, None],
            },
            Work::Core { core: Core::Dense(c), .. } => [Some(&c.forward), c.gradient.as_ref()],
            _ => [None, None],
        }
    }

    pub fn norm(&self) -> Option<&Norm> {
        if let Work::Core { norm, .. } = &self.work { norm.as_ref() } else { None }
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
    /// What to add to the gradients in the values' own places.
    pub parts: Vec<Vec<Part>>,
    /// Layouts of the extra gradients.
    pub extras: Vec<Frame>,
    /// Stages that wait for the whole batch, in order.
    pub waiting: Vec<usize>,
    /// Floats of the gradient that each chunk computes by itself.
    pub own_len: usize,
    /// Shapes of the dense stages.
    pub dense: Vec<DenseShape>,
    /// The first stage that learns.
    pub learning: usize,
}

/// Layers that one stage covers, before layouts are known.
pub(super) struct Block<'a> {
    pub layer: &'a LayerInfo,
    /// Values of blocks: 0 is the input, then what each block gives.
    pub source: usize,
    pub other: Option<usize>,
    pub norm: Option<&'a LayerInfo>,
    pub activation: Option<Activation>,
    pub pool: Option<(PoolKind, PoolShape)>,
}

fn pooling(layer: &LayerInfo) -> Option<(PoolKind, PoolShape)> {
    match layer.geometry {
        Geometry::AvgPool(s) => Some((PoolKind::Average, s)),
        Geometry::MaxPool(s) => Some((PoolKind::Maximum, s)),
        _ => None,
    }
}

/// Groups layers into stages: a layer takes the normalisation, activation and (if it `fuses`) pooling behind it, as long
/// as nobody else needs the values between.
pub(super) fn blocks(network: &Network, fuses: fn(&PoolShape) -> bool) -> Vec<Block<'_>> {
    let layers = &network.layers;
    let mut consumers = vec![0usize; layers.len() + 1];
    layers.iter().for_each(|l| [Some(l.source), l.other].into_iter().flatten().for_each(|v| consumers[v] += 1));
    let mut blocks: Vec<Block> = Vec::new();
    // The block value that holds each layer's value.
    let mut value = vec![0; layers.len() + 1];
    let mut i = 0;
    while i < layers.len() {
        let layer = &layers[i];
        let source = value[layer.source];
        if layer.geometry == Geometry::Flatten && consumers[layer.source] == 1 {
            // The same floats in the same order.
            value[i + 1] = source;
            i += 1;
            continue;
        }
        let other = layer.other.map(|v| value[v]);
        let mut block = Block { layer, source, other, norm: None, activation: None, pool: None };
        let next =
            |i: usize| layers.get(i + 1).filter(|n| n.source == i + 1 && n.other.is_none() && consumers[i + 1] == 1);
        let weights = matches!(layer.geometry, Geometry::Conv2d(_) | Geometry::Dense(_));
        let starts =
            weights || matches!(layer.geometry, Geometry::Add | Geometry::Subsample(_) | Geometry::BatchNorm(_));
        if starts {
            let learnt = matches!(layer.geometry, Geometry::Subsample(_) | Geometry::BatchNorm(_));
            if learnt {
                block.norm = Some(layer);
            } else if let Some(norm) = next(i).filter(|n| matches!(n.geometry, Geometry::BatchNorm(_))) {
                block.norm = Some(norm);
                i += 1;
            }
            if let Some(Geometry::Activation(a)) = next(i).map(|n| n.geometry) {
                block.activation = Some(a);
                i += 1;
            }
            if !matches!(layer.geometry, Geometry::Dense(_))
                && let Some(pool) = next(i).and_then(pooling).filter(|(_, s)| fuses(s))
            {
                block.pool = Some(pool);
                i += 1;
            }
        }
        blocks.push(block);
        i += 1;
        value[i] = blocks.len();
    }
    blocks
}

/// `[c, h, w]` of a shape; features are channels.
pub(super) fn chw(shape: Shape) -> [usize; 3] {
    match shape {
        Shape::Image(chw) => chw,
        Shape::Flat(n) => [n, 1, 1],
    }
}

impl Block<'_> {
    /// Border that the stage needs around its input.
    pub fn border(&self) -> [usize; 2] {
        match self.layer.geometry {
            Geometry::Conv2d(s) => s.padding,
            _ => [0, 0],
        }
    }

    /// Shape of the z of the stage.
    fn z(&self) -> [usize; 3] {
        match self.layer.geometry {
            Geometry::Flatten => chw(self.layer.input),
            _ => chw(self.layer.output),
        }
    }

    /// Shape of what the stage gives.
    fn y(&self) -> [usize; 3] {
        self.pool.map_or(self.z(), |(_, s)| [s.c, s.oh, s.ow])
    }
}

/// Positions that backward wants in a strip, so that loading and storing the sums of all taps costs little.
const STRIP_POSITIONS: usize = 56;

impl Program {
    pub fn new(network: &Network, tiles: &'static Tiles) -> Self {
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
        let mut plan = Planner { tiles, compares: compares(network), own_len: 0, dense: Vec::new(), norms: 0 };
        let stages: Vec<Stage> = blocks
            .iter()
            .enumerate()
            .map(|(i, block)| {
                let f = |v: usize, shape| with_border(shape, borders[v]);
                let x = f(block.source, chw(block.layer.input));
                let dy = if flow.elsewhere[i + 1].is_some() { Frame::chunk(block.y()) } else { frames[i + 1] };
                let other = block.other.map_or(x, |v| f(v, chw(block.layer.input)));
                let y = frames[i + 1];
                let work = plan.work(block, [x, other, y, dy], flow.needed[block.source]);
                Stage { source: block.source, work, x, y, dy, dx: flow.dx[i] }
            })
            .collect();
        let learning = stages.iter().position(|s| s.places().next().is_some()).unwrap_or(0);
        let waiting = (0..stages.len()).filter(|&i| stages[i].waits()).collect();
        let extras = flow.extras.iter().map(|&v| frames[v]).collect();
        let Planner { own_len, dense, .. } = plan;
        let (elsewhere, parts) = (flow.elsewhere, flow.parts);
        Program { stages, frames, elsewhere, parts, extras, waiting, own_len, dense, learning }
    }
}

/// Where gradients go.
struct Flow {
    /// Whether something before a value learns.
    needed: Vec<bool>,
    /// For each block.
    dx: Vec<Option<Gradient>>,
    elsewhere: Vec<Option<usize>>,
    parts: Vec<Vec<Part>>,
    /// The value of each extra gradient.
    extras: Vec<usize>,
}

impl Flow {
    fn new(blocks: &[Block]) -> Self {
        let values = blocks.len() + 1;
        let mut needed = vec![false; values];
        let mut consumers = vec![Vec::new(); values];
        for (i, b) in blocks.iter().enumerate() {
            let learns = b.layer.weight.is_some() || b.norm.is_some();
            needed[i + 1] = learns || needed[b.source] || b.other.is_some_and(|v| needed[v]);
            consumers[b.source].push(i);
            b.other.into_iter().for_each(|v| consumers[v].push(i));
        }
        let (mut parts, mut extras) = (vec![Vec::new(); values], Vec::new());
        let (mut dx, mut elsewhere) = (vec![None; blocks.len()], vec![None; values]);
        let is_sum = |i: usize| blocks[i].layer.geometry == Geometry::Add;
        for v in (0..values).filter(|&v| needed[v]) {
            for (k, &i) in consumers[v].iter().enumerate() {
                match (k, is_sum(i)) {
                    // A block's body is before its sum: only the end of a way has a sum as its first consumer.
                    (0, true) => elsewhere[v] = Some(i),
                    (0, false) => dx[i] = Some(Gradient::Value),
                    (_, true) => parts[v].push(Part::Z(i)),
                    (_, false) => {
                        dx[i] = Some(Gradient::Extra(extras.len()));
                        parts[v].push(Part::Extra(extras.len()));
                        extras.push(v);
                    }
                }
                if is_sum(i) {
                    dx[i] = Some(Gradient::Stays);
                }
            }
        }
        Flow { needed, dx, elsewhere, parts, extras }
    }
}

struct Planner {
    tiles: &'static Tiles,
    compares: bool,
    own_len: usize,
    dense: Vec<DenseShape>,
    norms: usize,
}

impl Planner {
    fn work(&mut self, block: &Block, [x, other, y, dy]: [Frame; 4], needed: bool) -> Work {
        let layer = block.layer;
        let mut z = Frame::chunk(block.z());
        let core = match layer.geometry {
            Geometry::Conv2d(shape) => {
                let border = if needed { conv::GRADIENT_BORDER } else { 0 };
                z = z.with_border(0, border);
                let rows = block.pool.map_or(1, |(_, s)| s.stride[0]);
                let kernel = Convolution::plan(self.tiles, &shape, &x, &z, needed, self.compares);
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
            Geometry::Add => Core::Add { other: block.other.unwrap_or(block.source), frame: other },
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
