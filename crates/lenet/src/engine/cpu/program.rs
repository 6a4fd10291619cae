//! From a network to a program: stages, layouts, plans.

use crate::kernel::contract::Contraction;
use crate::kernel::frame::Frame;
use crate::kernel::pool::{Epilogue, PoolKind, Pooling};
use crate::kernel::tile::Tiles;
use crate::kernel::{CHUNK, conv, dense};
use crate::spec::{Activation, ConvShape, DenseShape, Geometry, LayerInfo, Network, PoolShape};
use std::ops::Range;

/// Where a stage's parameters are in the slab, and its bias (convolutions: also its weights) in a chunk's own gradient.
pub(super) struct Place {
    pub weight: Range<usize>,
    pub bias: Option<Range<usize>>,
    /// Place of the gradient of a convolution's weights among those that each chunk computes.
    pub own_weight: Option<Range<usize>>,
    /// The same of the bias.
    pub own_bias: Option<Range<usize>>,
}

pub(super) struct ConvStage {
    pub place: Place,
    pub shape: ConvShape,
    pub forward: Contraction,
    /// `None` where nothing before the stage learns.
    pub gradient: Option<Contraction>,
    pub weight: conv::WeightGradient,
    pub epilogue: Epilogue,
    /// Rows of the epilogue's output that backward takes at a time.
    pub strip: usize,
}

pub(super) struct DenseStage {
    pub place: Place,
    pub shape: DenseShape,
    pub forward: Contraction,
    pub gradient: Option<Contraction>,
    pub weight: dense::WeightGradient,
    pub epilogue: Epilogue,
    /// Position among the dense stages.
    pub number: usize,
}

pub(super) enum Stage {
    Conv(Box<ConvStage>),
    Dense(Box<DenseStage>),
    Activation(Epilogue),
    Pool(Pooling),
}

impl Stage {
    pub fn place(&self) -> Option<&Place> {
        match self {
            Stage::Conv(s) => Some(&s.place),
            Stage::Dense(s) => Some(&s.place),
            _ => None,
        }
    }

    /// Forward and gradient plans, with the packed weights they need.
    pub fn contractions(&self) -> [Option<&Contraction>; 2] {
        match self {
            Stage::Conv(s) => [Some(&s.forward), s.gradient.as_ref()],
            Stage::Dense(s) => [Some(&s.forward), s.gradient.as_ref()],
            _ => [None, None],
        }
    }
}

/// A network, planned for one path.
pub(super) struct Program {
    pub stages: Vec<Stage>,
    /// Layouts between the stages: the input of each, and the output of the last.
    pub frames: Vec<Frame>,
    /// Floats of the gradient that each chunk computes by itself: convolutions and all biases.
    pub own_len: usize,
    /// Shapes of the dense stages.
    pub dense: Vec<DenseShape>,
}

/// Layers that one stage covers, before layouts are known.
pub(super) struct Block<'a> {
    pub layer: &'a LayerInfo,
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

/// Groups layers into stages: a layer with weights takes the activation, then the pooling behind it if `fuses`.
pub(super) fn blocks(network: &Network, fuses: fn(&PoolShape) -> bool) -> Vec<Block<'_>> {
    let mut layers = network.layers.iter().filter(|l| l.geometry != Geometry::Flatten).peekable();
    let mut blocks = Vec::new();
    while let Some(layer) = layers.next() {
        let mut block = Block { layer, activation: None, pool: None };
        if layer.weight.is_some() {
            if let Some(Geometry::Activation(a)) = layers.peek().map(|l| l.geometry) {
                block.activation = Some(a);
                layers.next();
            }
            if matches!(layer.geometry, Geometry::Conv2d(_))
                && let Some(pool) = layers.peek().and_then(|l| pooling(l)).filter(|(_, s)| fuses(s))
            {
                block.pool = Some(pool);
                layers.next();
            }
        }
        blocks.push(block);
    }
    blocks
}

/// `[c, h, w]` of a shape; features are channels.
pub(super) fn chw(shape: crate::spec::Shape) -> [usize; 3] {
    match shape {
        crate::spec::Shape::Image(chw) => chw,
        crate::spec::Shape::Flat(n) => [n, 1, 1],
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
}

/// Positions that backward wants in a strip, so that loading and storing the sums of all taps costs little.
const STRIP_POSITIONS: usize = 56;

impl Program {
    pub fn new(network: &Network, tiles: &'static Tiles) -> Self {
        let blocks = blocks(network, Epilogue::fits);
        let mut frames: Vec<Frame> = blocks
            .iter()
            .map(|b| {
                let [rows, cols] = b.border();
                Frame::chunk(chw(b.layer.input)).with_border(rows, cols)
            })
            .collect();
        frames.push(Frame::chunk([network.outputs, 1, 1]));
        let (mut own_len, mut learns, mut dense_shapes) = (0, false, Vec::new());
        let mut stages = Vec::new();
        for (i, block) in blocks.iter().enumerate() {
            let (x, y) = (frames[i], frames[i + 1]);
            // A frame behind a flatten has features as channels; the values lie in the same order.
            let stage = match block.layer.geometry {
                Geometry::Conv2d(shape) => {
                    let place = place(block.layer, true, &mut own_len);
                    Stage::Conv(Box::new(conv_stage(block, place, shape, x, y, learns, tiles)))
                }
                Geometry::Dense(shape) => {
                    dense_shapes.push(shape);
                    let column = Frame::chunk([shape.outputs, 1, 1]);
                    Stage::Dense(Box::new(DenseStage {
                        place: place(block.layer, false, &mut own_len),
                        shape,
                        forward: dense::forward(tiles, &shape),
                        gradient: learns.then(|| dense::gradient(tiles, &shape)),
                        weight: dense::WeightGradient::plan(tiles, &shape),
                        epilogue: epilogue(block.activation, None, column, column),
                        number: dense_shapes.len() - 1,
                    }))
                }
                Geometry::Activation(a) => {
                    Stage::Activation(epilogue(Some(a), None, x, reshape(y, chw(block.layer.output))))
                }
                Geometry::AvgPool(s) => Stage::Pool(Pooling { kind: PoolKind::Average, s, x, y: as_image(y, &s) }),
                Geometry::MaxPool(s) => Stage::Pool(Pooling { kind: PoolKind::Maximum, s, x, y: as_image(y, &s) }),
                Geometry::Flatten => unreachable!("flatten is no stage"),
            };
            learns |= stage.place().is_some();
            stages.push(stage);
        }
        Program { stages, frames, own_len, dense: dense_shapes }
    }
}

/// The frame seen as `[c, h, w]`; behind a flatten it is `[c·h·w, 1, 1]` with the same values in the same places.
fn reshape(frame: Frame, shape: [usize; 3]) -> Frame {
    Frame::chunk(shape).with_border(frame.border_rows, frame.border_cols)
}

fn as_image(frame: Frame, s: &PoolShape) -> Frame {
    reshape(frame, [s.c, s.oh, s.ow])
}

fn epilogue(activation: Option<Activation>, pool: Option<(PoolKind, PoolShape)>, z: Frame, y: Frame) -> Epilogue {
    let (window, stride) = pool.map_or(([1, 1], [1, 1]), |(_, s)| ([s.kh, s.kw], s.stride));
    Epilogue { activation, pool: pool.map(|p| p.0), window, stride, z, y }
}

fn place(layer: &LayerInfo, own_weights: bool, own_len: &mut usize) -> Place {
    let mut own = |len: usize| {
        *own_len += len;
        *own_len - len..*own_len
    };
    let weight = layer.weight.as_ref().map_or(0..0, |w| w.range.clone());
    let bias = layer.bias.as_ref().map(|b| b.range.clone());
    let own_weight = own_weights.then(|| own(weight.len()));
    let own_bias = bias.as_ref().map(|b| own(b.len()));
    Place { weight, bias, own_weight, own_bias }
}

fn conv_stage(
    block: &Block,
    place: Place,
    shape: ConvShape,
    x: Frame,
    y: Frame,
    learns: bool,
    tiles: &'static Tiles,
) -> ConvStage {
    let border = if learns { conv::GRADIENT_BORDER } else { 0 };
    let z = Frame::chunk([shape.oc, shape.oh, shape.ow]).with_border(0, border);
    let out = block.pool.map_or([shape.oc, shape.oh, shape.ow], |(_, s)| [s.c, s.oh, s.ow]);
    let epilogue = epilogue(block.activation, block.pool, z, reshape(y, out));
    let per_row = epilogue.stride[0] * shape.ow;
    ConvStage {
        place,
        shape,
        forward: conv::forward(tiles, &shape, &x, &z),
        gradient: learns.then(|| conv::gradient(tiles, &shape, &z, &x)),
        weight: conv::WeightGradient::plan(tiles, &shape, &z, &x),
        epilogue,
        strip: STRIP_POSITIONS.div_ceil(per_row),
    }
}

/// Floats of a chunk's rows of features, for each dense stage: gradients of outputs, inputs.
pub(super) fn row_lens(s: &DenseShape) -> (usize, usize) {
    (CHUNK * dense::row_stride(s.outputs), CHUNK * dense::row_stride(s.inputs))
}
