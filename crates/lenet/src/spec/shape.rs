//! What shape inference gives: a network's layers with their sizes and tensors.

use std::fmt;
use std::ops::Range;

/// The shape of one sample's activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Channels, rows, columns.
    Image([usize; 3]),
    /// Features.
    Flat(usize),
}

impl Shape {
    /// Number of values.
    pub fn len(&self) -> usize {
        match *self {
            Shape::Image([c, h, w]) => c * h * w,
            Shape::Flat(n) => n,
        }
    }

    /// Whether there is no value; never so for a shape that inference returned.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Image([c, h, w]) => write!(f, "[{c}, {h}, {w}]"),
            Shape::Flat(n) => write!(f, "[{n}]"),
        }
    }
}

/// Geometry of a convolution: x is `[ic, ih, iw]`, w is `[oc, ic / groups, kh, kw]`, y is `[oc, oh, ow]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct ConvShape {
    pub ic: usize,
    pub ih: usize,
    pub iw: usize,
    pub oc: usize,
    pub oh: usize,
    pub ow: usize,
    pub kh: usize,
    pub kw: usize,
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    pub groups: usize,
}

impl ConvShape {
    /// Input channels that each output channel sees.
    pub fn group_inputs(&self) -> usize {
        self.ic / self.groups
    }

    /// Output channels of a group.
    pub fn group_outputs(&self) -> usize {
        self.oc / self.groups
    }

    /// Weights of one output channel.
    pub fn taps(&self) -> usize {
        self.group_inputs() * self.kh * self.kw
    }
}

/// Geometry of a pooling: x is `[c, ih, iw]`, y is `[c, oh, ow]`, the window `[kh, kw]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct PoolShape {
    pub c: usize,
    pub ih: usize,
    pub iw: usize,
    pub oh: usize,
    pub ow: usize,
    pub kh: usize,
    pub kw: usize,
    pub stride: [usize; 2],
    pub padding: [usize; 2],
}

/// Geometry of a dense layer: w is `[outputs, inputs]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct DenseShape {
    pub inputs: usize,
    pub outputs: usize,
}

/// Geometry of a normalisation: x and y are `[channels, positions]`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct NormShape {
    pub channels: usize,
    pub positions: usize,
    pub eps: f32,
    pub momentum: f32,
}

/// What a layer computes, with its sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Geometry {
    Conv2d(ConvShape),
    AvgPool(PoolShape),
    MaxPool(PoolShape),
    /// Sum over a window, times a weight, plus a bias.
    Subsample(PoolShape),
    Flatten,
    Dense(DenseShape),
    Activation(super::Activation),
    BatchNorm(NormShape),
    /// With the probability of a zero.
    Dropout(f32),
    /// The sum of the layer's two sources.
    Add,
    /// Distances to the codes in the layer's buffer, `[outputs, inputs]`.
    Rbf(DenseShape),
}

/// What a parameter is for its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Multiplies inputs.
    Weight,
    /// Is added to outputs; starts at 0.
    Bias,
    /// Scales normalised values; starts at 1.
    Scale,
}

/// A named tensor in the parameter slab.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterInfo {
    /// PyTorch's name in a `Sequential`: `INDEX.weight` or `INDEX.bias`.
    pub name: String,
    /// PyTorch's shape: `[oc, ic, kh, kw]`, `[outputs, inputs]` or `[outputs]`.
    pub shape: Vec<usize>,
    /// Place in the slab.
    pub range: Range<usize>,
    /// Inputs that reach one output (PyTorch's fan-in of the layer; also for its bias).
    pub fan_in: usize,
    /// Outputs that one input reaches (PyTorch's fan-out of the layer; also for its bias).
    pub fan_out: usize,
    /// What it is for the layer.
    pub role: Role,
    /// Which values exist, where a table of connections leaves some out; those stay 0.
    pub mask: Option<Vec<bool>>,
}

impl ParameterInfo {
    /// Sets the values of a slab to 0 that a table of connections leaves out.
    pub fn clear_missing<T: Default>(&self, slab: &mut [T]) {
        let mask = self.mask.as_deref().unwrap_or(&[]);
        let all = slab[self.range.clone()].iter_mut().zip(mask);
        all.filter(|(_, live)| !**live).for_each(|(value, _)| *value = T::default());
    }

    /// Number of values that are learnt.
    pub fn count(&self) -> usize {
        self.mask.as_ref().map_or(self.range.len(), |m| m.iter().filter(|&&live| live).count())
    }
}

/// A named tensor of the buffer slab: what is saved with the parameters but has no gradient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufferInfo {
    /// PyTorch's name in a `Sequential`: `INDEX.running_mean`, `INDEX.running_var` or `INDEX.codes`.
    pub name: String,
    /// PyTorch's shape.
    pub shape: Vec<usize>,
    /// Place in the slab.
    pub range: Range<usize>,
}

/// One layer of a [`Network`].
#[derive(Clone, Debug, PartialEq)]
pub struct LayerInfo {
    /// Place in the spec: `3`, or `3.body.0` within a residual block. The sum at a block's end has the block's name.
    pub name: String,
    /// What comes in, as a position among [`Network::layers`] plus 1; 0 is the network's input.
    pub source: usize,
    /// The second source of a sum.
    pub other: Option<usize>,
    /// The layer's type, as recipes spell it.
    pub kind: &'static str,
    /// Shape that comes in.
    pub input: Shape,
    /// Shape that goes out.
    pub output: Shape,
    /// What is computed, with sizes.
    pub geometry: Geometry,
    /// Weight, if the layer has one.
    pub weight: Option<ParameterInfo>,
    /// Bias, if the layer has one.
    pub bias: Option<ParameterInfo>,
    /// Buffers, in slab order.
    pub buffers: Vec<BufferInfo>,
    /// Multiply-adds of the forward pass for one sample, those on padding included.
    pub multiply_adds: u64,
}

impl LayerInfo {
    /// Place and type, as errors name it: `3 (conv2d)`.
    pub fn title(&self) -> String {
        format!("{} ({})", self.name, self.kind)
    }

    /// Number of parameters that are learnt.
    pub fn parameters(&self) -> usize {
        self.weight.iter().chain(&self.bias).map(|p| p.count()).sum()
    }
}

/// A spec whose shapes fit, with everything that follows from them.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// Channels, rows, columns of one input image.
    pub input: [usize; 3],
    /// The layers in the order of their computation: of a residual block the body, the shortcut, the sum.
    pub layers: Vec<LayerInfo>,
    /// Length of the parameter slab.
    pub parameters: usize,
    /// Length of the buffer slab.
    pub buffers: usize,
    /// Outputs of the last layer.
    pub outputs: usize,
}

impl Network {
    /// The named tensors of the slab, in slab order.
    pub fn tensors(&self) -> impl Iterator<Item = &ParameterInfo> {
        self.layers.iter().flat_map(|l| l.weight.iter().chain(&l.bias))
    }

    /// The weights that an optimizer may take as matrices, `[outputs, inputs]`: those of plain convolutions and dense layers,
    /// each output's weights a row, but for the last layer's. Their places in the slab, and their sides.
    pub fn hidden_matrices(&self) -> impl Iterator<Item = (Range<usize>, [usize; 2])> {
        let sums = |l: &LayerInfo| matches!(l.geometry, Geometry::Conv2d(_) | Geometry::Dense(_) | Geometry::Rbf(_));
        let last = self.layers.iter().rposition(sums);
        let plain = |l: &LayerInfo| match &l.geometry {
            Geometry::Conv2d(s) => s.groups == 1,
            geometry => matches!(geometry, Geometry::Dense(_)),
        };
        let hidden = self.layers.iter().enumerate().filter(move |(i, l)| Some(*i) != last && plain(l));
        let weights = hidden.filter_map(|(_, l)| l.weight.as_ref().filter(|w| w.mask.is_none()));
        weights.map(|w| (w.range.clone(), [w.shape[0], w.range.len() / w.shape[0].max(1)]))
    }

    /// The named tensors of the buffer slab, in slab order.
    pub fn buffer_tensors(&self) -> impl Iterator<Item = &BufferInfo> {
        self.layers.iter().flat_map(|l| &l.buffers)
    }

    /// Number of parameters that are learnt: the slab without what tables of connections leave out.
    pub fn learnt(&self) -> usize {
        self.layers.iter().map(LayerInfo::parameters).sum()
    }

    /// The layer that a position of the parameter slab belongs to.
    pub fn layer_at(&self, position: usize) -> Option<&LayerInfo> {
        self.layers.iter().find(|l| l.weight.iter().chain(&l.bias).any(|p| p.range.contains(&position)))
    }

    /// Multiply-adds of the forward pass for one sample.
    pub fn multiply_adds(&self) -> u64 {
        self.layers.iter().map(|l| l.multiply_adds).sum()
    }
}
