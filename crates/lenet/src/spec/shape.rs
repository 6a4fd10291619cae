//! Shape inference: the only place where a layer's geometry is computed.

use super::{Conv2d, Dense, Layer, Pool, Spec};
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

/// Geometry of a convolution: x is `[ic, ih, iw]`, w is `[oc, ic, kh, kw]`, y is `[oc, oh, ow]`.
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

/// What a layer computes, with its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Geometry {
    Conv2d(ConvShape),
    AvgPool(PoolShape),
    MaxPool(PoolShape),
    Flatten,
    Dense(DenseShape),
    Activation(super::Activation),
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
}

/// One layer of a [`Network`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerInfo {
    /// Position among the layers.
    pub index: usize,
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
    /// Multiply-adds of the forward pass for one sample, those on padding included.
    pub multiply_adds: u64,
}

impl LayerInfo {
    /// Position and type, as errors name it: `3 (conv2d)`.
    pub fn title(&self) -> String {
        format!("{} ({})", self.index, self.kind)
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.weight.iter().chain(&self.bias).map(|p| p.range.len()).sum()
    }
}

/// A spec whose shapes fit, with everything that follows from them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Channels, rows, columns of one input image.
    pub input: [usize; 3],
    /// The layers in order.
    pub layers: Vec<LayerInfo>,
    /// Length of the parameter slab.
    pub parameters: usize,
    /// Outputs of the last layer.
    pub outputs: usize,
}

impl Network {
    /// The named tensors of the slab, in slab order.
    pub fn tensors(&self) -> impl Iterator<Item = &ParameterInfo> {
        self.layers.iter().flat_map(|l| l.weight.iter().chain(&l.bias))
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

/// Why a spec is no network. Every variant names the layer by position and type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// There is nothing to compute.
    #[error("the network has no layers: add at least one dense layer")]
    NoLayers,
    /// A size that must be positive is zero.
    #[error("layer {index} ({kind}): {field} is 0, it must be at least 1")]
    Zero {
        /// Position of the layer.
        index: usize,
        /// Type of the layer.
        kind: &'static str,
        /// Key of the recipe.
        field: &'static str,
    },
    /// The input has a zero size.
    #[error("the input shape {0:?} has a zero: give channels, rows and columns, each at least 1")]
    EmptyInput([usize; 3]),
    /// The input is larger than this program works with.
    #[error("the input shape {input:?} is too large: at most {limit} values are possible")]
    Input {
        /// Channels, rows, columns.
        input: [usize; 3],
        /// The largest possible.
        limit: usize,
    },
    /// The layer cannot take the shape that reaches it.
    #[error("layer {index} ({kind}) does not fit its input {input}: {reason}")]
    DoesNotFit {
        /// Position of the layer.
        index: usize,
        /// Type of the layer.
        kind: &'static str,
        /// The shape that reaches the layer.
        input: Shape,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The layer is larger than this program works with.
    #[error("layer {index} ({kind}) is too large: {what}, at most {limit} is possible")]
    TooLarge {
        /// Position of the layer.
        index: usize,
        /// Type of the layer.
        kind: &'static str,
        /// The size that is too large, in words.
        what: String,
        /// The largest possible.
        limit: usize,
    },
    /// The last layer leaves an image where class scores are needed.
    #[error("the network ends with {0} where one score a class is needed: end with flatten and a dense layer")]
    NotFlat(Shape),
}

impl SpecError {
    /// Position of the layer that is wrong, if it is one layer.
    pub fn layer(&self) -> Option<usize> {
        match self {
            SpecError::Zero { index, .. } | SpecError::DoesNotFit { index, .. } | SpecError::TooLarge { index, .. } => {
                Some(*index)
            }
            SpecError::NoLayers | SpecError::EmptyInput(_) | SpecError::Input { .. } | SpecError::NotFlat(_) => None,
        }
    }
}

/// Most values in one sample's activation, and most parameters in one layer: far beyond what a small classifier needs,
/// small enough that every product of sizes stays far from overflow and every buffer from the machine's memory.
const LIMIT: usize = 1 << 26;

/// Largest window, stride or padding.
const LIMIT_WINDOW: usize = 1 << 12;

struct At {
    index: usize,
    kind: &'static str,
    input: Shape,
}

impl At {
    fn misfit(&self, reason: impl Into<String>) -> SpecError {
        SpecError::DoesNotFit { index: self.index, kind: self.kind, input: self.input, reason: reason.into() }
    }

    fn image(&self) -> Result<[usize; 3], SpecError> {
        match self.input {
            Shape::Image(chw) => Ok(chw),
            Shape::Flat(_) => Err(self.misfit("it needs channels, rows and columns: put it before flatten")),
        }
    }

    fn limited(&self, what: &str, factors: &[usize], limit: usize) -> Result<usize, SpecError> {
        factors.iter().try_fold(1usize, |a, &b| a.checked_mul(b)).filter(|&n| n <= limit).ok_or_else(|| {
            let product = factors.iter().map(|f| f.to_string()).collect::<Vec<_>>().join("×");
            SpecError::TooLarge { index: self.index, kind: self.kind, what: format!("{what} {product}"), limit }
        })
    }

    /// Output rows and columns of a sliding window.
    fn slide(
        &self,
        [ih, iw]: [usize; 2],
        window: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Result<[usize; 2], SpecError> {
        for (field, pair) in [("window", window), ("stride", stride)] {
            if pair.contains(&0) {
                return Err(SpecError::Zero { index: self.index, kind: self.kind, field });
            }
        }
        for (field, pair) in [("window", window), ("stride", stride), ("padding", padding)] {
            self.limited(field, &[pair[0].max(pair[1])], LIMIT_WINDOW)?;
        }
        let padded = [ih + 2 * padding[0], iw + 2 * padding[1]];
        if window[0] > padded[0] || window[1] > padded[1] {
            return Err(self.misfit(format!(
                "the window {}×{} is larger than the padded input {}×{}",
                window[0], window[1], padded[0], padded[1]
            )));
        }
        Ok([(padded[0] - window[0]) / stride[0] + 1, (padded[1] - window[1]) / stride[1] + 1])
    }

    fn conv(&self, layer: &Conv2d) -> Result<ConvShape, SpecError> {
        let [ic, ih, iw] = self.image()?;
        if layer.channels == 0 {
            return Err(SpecError::Zero { index: self.index, kind: self.kind, field: "channels" });
        }
        let [oh, ow] = self.slide([ih, iw], layer.window, layer.stride, layer.padding)?;
        let [kh, kw] = layer.window;
        self.limited("weights", &[layer.channels, ic, kh, kw], LIMIT)?;
        self.limited("output", &[layer.channels, oh, ow], LIMIT)?;
        let padded = [ih + 2 * layer.padding[0], iw + 2 * layer.padding[1]];
        self.limited("padded input", &[ic, padded[0], padded[1]], LIMIT)?;
        let (stride, padding) = (layer.stride, layer.padding);
        Ok(ConvShape { ic, ih, iw, oc: layer.channels, oh, ow, kh, kw, stride, padding })
    }

    fn pool(&self, layer: &Pool) -> Result<PoolShape, SpecError> {
        let [c, ih, iw] = self.image()?;
        let [oh, ow] = self.slide([ih, iw], layer.window, layer.stride, layer.padding)?;
        if layer.padding[0] * 2 > layer.window[0] || layer.padding[1] * 2 > layer.window[1] {
            return Err(self.misfit(format!(
                "padding {}×{} is more than half of the window {}×{}",
                layer.padding[0], layer.padding[1], layer.window[0], layer.window[1]
            )));
        }
        self.limited("output", &[c, oh, ow], LIMIT)?;
        let [kh, kw] = layer.window;
        Ok(PoolShape { c, ih, iw, oh, ow, kh, kw, stride: layer.stride, padding: layer.padding })
    }

    fn dense(&self, layer: &Dense) -> Result<DenseShape, SpecError> {
        let Shape::Flat(inputs) = self.input else {
            return Err(self.misfit("it needs a flat input: put flatten before it"));
        };
        if layer.units == 0 {
            return Err(SpecError::Zero { index: self.index, kind: self.kind, field: "units" });
        }
        self.limited("weights", &[layer.units, inputs], LIMIT)?;
        Ok(DenseShape { inputs, outputs: layer.units })
    }
}

impl Spec {
    /// Infers every layer's shapes, geometry, parameters and cost.
    ///
    /// # Errors
    /// The first layer that does not fit, with the shape that reaches it.
    pub fn infer(&self) -> Result<Network, SpecError> {
        if self.layers.is_empty() {
            return Err(SpecError::NoLayers);
        }
        if self.input.contains(&0) {
            return Err(SpecError::EmptyInput(self.input));
        }
        let mut shape = Shape::Image(self.input);
        let product = self.input.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        if product.is_none_or(|n| n > LIMIT) {
            return Err(SpecError::Input { input: self.input, limit: LIMIT });
        }
        let mut offset = 0;
        let mut layers = Vec::with_capacity(self.layers.len());
        for (index, layer) in self.layers.iter().enumerate() {
            let at = At { index, kind: layer.kind(), input: shape };
            // (geometry, output, weight shape, fan in, fan out, uses of each weight)
            let (geometry, output, weight_shape, fan_in, fan_out, uses) = match layer {
                Layer::Conv2d(l) => {
                    let s = at.conv(l)?;
                    let window = s.kh * s.kw;
                    (
                        Geometry::Conv2d(s),
                        Shape::Image([s.oc, s.oh, s.ow]),
                        vec![s.oc, s.ic, s.kh, s.kw],
                        s.ic * window,
                        s.oc * window,
                        s.oh * s.ow,
                    )
                }
                Layer::Dense(l) => {
                    let s = at.dense(l)?;
                    let weight_shape = vec![s.outputs, s.inputs];
                    (Geometry::Dense(s), Shape::Flat(s.outputs), weight_shape, s.inputs, s.outputs, 1)
                }
                Layer::AvgPool(l) => {
                    let s = at.pool(l)?;
                    (Geometry::AvgPool(s), Shape::Image([s.c, s.oh, s.ow]), vec![], 0, 0, 0)
                }
                Layer::MaxPool(l) => {
                    let s = at.pool(l)?;
                    (Geometry::MaxPool(s), Shape::Image([s.c, s.oh, s.ow]), vec![], 0, 0, 0)
                }
                Layer::Flatten => (Geometry::Flatten, Shape::Flat(shape.len()), vec![], 0, 0, 0),
                Layer::Activation(a) => (Geometry::Activation(*a), shape, vec![], 0, 0, 0),
            };
            let mut tensor = |suffix: &str, shape: Vec<usize>| {
                let len = shape.iter().product::<usize>();
                let range = offset..offset + len;
                offset += len;
                ParameterInfo {
                    name: format!("{index}.{suffix}"),
                    shape,
                    range,
                    fan_in,
                    fan_out,
                    role: if suffix == "bias" { Role::Bias } else { Role::Weight },
                }
            };
            let has_bias =
                matches!(layer, Layer::Conv2d(Conv2d { bias: true, .. }) | Layer::Dense(Dense { bias: true, .. }));
            let weight = (!weight_shape.is_empty()).then(|| tensor("weight", weight_shape.clone()));
            let bias = has_bias.then(|| tensor("bias", vec![weight_shape[0]]));
            let multiply_adds = weight.as_ref().map_or(0, |w| w.range.len() as u64 * uses as u64);
            layers.push(LayerInfo {
                index,
                kind: layer.kind(),
                input: shape,
                output,
                geometry,
                weight,
                bias,
                multiply_adds,
            });
            at.limited("all parameters so far", &[offset], LIMIT)?;
            shape = output;
        }
        match shape {
            Shape::Flat(outputs) => Ok(Network { input: self.input, layers, parameters: offset, outputs }),
            image => Err(SpecError::NotFlat(image)),
        }
    }
}
