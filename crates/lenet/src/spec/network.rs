//! What shape inference gives: a network's layers with their sizes and tensors.

use super::{Geometry, Role, Shape, Sort};
use std::ops::Range;

/// A named tensor in the parameter slab.
#[derive(Clone, Debug, PartialEq)]
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
    /// What all its values start at, unless they are drawn, as those of weights are.
    pub start: f32,
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
    /// Its settings in words, without those that are as usual; often empty.
    pub settings: String,
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

/// A spec whose shapes fit, with everything that follows from them. It comes from [`Spec::infer`](super::Spec::infer)
/// alone and stays as it is: what computes relies on it.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    pub(crate) input: [usize; 3],
    pub(crate) layers: Vec<LayerInfo>,
    pub(crate) parameters: usize,
    pub(crate) buffers: usize,
    pub(crate) outputs: usize,
}

impl Network {
    /// Channels, rows, columns of one input image.
    pub fn input(&self) -> [usize; 3] {
        self.input
    }

    /// The layers in the order of their computation: of a residual block the body, the shortcut, the sum.
    pub fn layers(&self) -> &[LayerInfo] {
        &self.layers
    }

    /// Length of the parameter slab.
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// Length of the buffer slab.
    pub fn buffers(&self) -> usize {
        self.buffers
    }

    /// Outputs of the last layer.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The named tensors of the slab, in slab order.
    pub fn tensors(&self) -> impl Iterator<Item = &ParameterInfo> {
        self.layers.iter().flat_map(|l| l.weight.iter().chain(&l.bias))
    }

    /// The weights that an optimizer may take as matrices, `[outputs, inputs]`: those of plain convolutions and dense layers,
    /// each output's weights a row, but for the last layer's. Their places in the slab, and their sides.
    pub fn hidden_matrices(&self) -> impl Iterator<Item = (Range<usize>, [usize; 2])> {
        // Whether the layer's sums are one matrix's; `None` for what is no sum over channels.
        let is_matrix = |l: &LayerInfo| match l.geometry.sort() {
            Sort::Convolution | Sort::Dense => {
                Some(l.weight.is_some() && !matches!(l.geometry, Geometry::Conv2d(s) if s.groups > 1))
            }
            Sort::Pooling | Sort::Norm | Sort::Function | Sort::Pass | Sort::Sum => None,
        };
        let last = self.layers.iter().rposition(|l| is_matrix(l).is_some());
        let hidden =
            self.layers.iter().enumerate().filter(move |(i, l)| Some(*i) != last && is_matrix(l) == Some(true));
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
