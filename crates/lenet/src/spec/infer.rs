//! Shape inference: the only place where a layer's geometry is computed.

use super::shape::{
    BufferInfo, ConvShape, DenseShape, Geometry, LayerInfo, Network, NormShape, ParameterInfo, PoolShape,
};
use super::shape::{Role, Shape};
use super::{Conv2d, Layer, Pool, Residual, Spec};
use std::fmt;

/// Why a spec is no network. Every variant names the layer by place and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpecError {
    /// There is nothing to compute.
    NoLayers,
    /// A size that must be positive is zero.
    Zero {
        /// Place of the layer.
        layer: String,
        /// Type of the layer.
        kind: &'static str,
        /// Key of the recipe.
        field: &'static str,
    },
    /// The input has a zero size.
    EmptyInput([usize; 3]),
    /// The input is larger than this program works with.
    Input {
        /// Channels, rows, columns.
        input: [usize; 3],
        /// The largest possible.
        limit: usize,
    },
    /// The layer cannot take the shape that reaches it.
    DoesNotFit {
        /// Place of the layer.
        layer: String,
        /// Type of the layer.
        kind: &'static str,
        /// The shape that reaches the layer.
        input: Shape,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// The layer is larger than this program works with.
    TooLarge {
        /// Place of the layer.
        layer: String,
        /// Type of the layer.
        kind: &'static str,
        /// The size that is too large, in words.
        what: String,
        /// The largest possible.
        limit: usize,
    },
    /// The last layer leaves an image where class scores are needed.
    NotFlat(Shape),
}

// By hand: the derive macro would be most of the packages of a program that only predicts.
impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SpecError::NoLayers => f.write_str("the network has no layers: add at least one dense layer"),
            SpecError::Zero { layer, kind, field } => {
                write!(f, "layer {layer} ({kind}): {field} is 0, it must be at least 1")
            }
            SpecError::EmptyInput(input) => {
                write!(f, "the input shape {input:?} has a zero: give channels, rows and columns, each at least 1")
            }
            SpecError::Input { input, limit } => {
                write!(f, "the input shape {input:?} is too large: at most {limit} values are possible")
            }
            SpecError::DoesNotFit { layer, kind, input, reason } => {
                write!(f, "layer {layer} ({kind}) does not fit its input {input}: {reason}")
            }
            SpecError::TooLarge { layer, kind, what, limit } => {
                write!(f, "layer {layer} ({kind}) is too large: {what}, at most {limit} is possible")
            }
            SpecError::NotFlat(shape) => write!(
                f,
                "the network ends with {shape} where one score a class is needed: end with flatten and a dense layer"
            ),
        }
    }
}

impl std::error::Error for SpecError {}

impl SpecError {
    /// Position of the layer of the spec that is wrong, if it is one layer.
    pub fn layer(&self) -> Option<usize> {
        match self {
            SpecError::Zero { layer, .. } | SpecError::DoesNotFit { layer, .. } | SpecError::TooLarge { layer, .. } => {
                layer.split('.').next().and_then(|first| first.parse().ok())
            }
            SpecError::NoLayers | SpecError::EmptyInput(_) | SpecError::Input { .. } | SpecError::NotFlat(_) => None,
        }
    }
}

/// Most values in one sample's activation, and most parameters in one layer: far beyond what a small classifier needs,
/// small enough that every product of sizes stays far from overflow and every buffer from the machine's memory.
const LIMIT: usize = if usize::BITS < 64 { 1 << 24 } else { 1 << 26 };

/// Most values in all activations of one sample, borders for padding included. Engines keep them all, of 16 samples at a
/// time, each thread for itself: 17 GB. VGG-16 for pictures of 512×512 pixels has about half as many.
const LIMIT_ACTIVATIONS: usize = if usize::BITS < 64 { 1 << 24 } else { 1 << 28 };

/// Largest window, stride or padding.
const LIMIT_WINDOW: usize = 1 << 12;

struct At {
    name: String,
    kind: &'static str,
    input: Shape,
}

impl At {
    fn misfit(&self, reason: impl Into<String>) -> SpecError {
        SpecError::DoesNotFit { layer: self.name.clone(), kind: self.kind, input: self.input, reason: reason.into() }
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
            SpecError::TooLarge { layer: self.name.clone(), kind: self.kind, what: format!("{what} {product}"), limit }
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
                return Err(SpecError::Zero { layer: self.name.clone(), kind: self.kind, field });
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
            return Err(SpecError::Zero { layer: self.name.clone(), kind: self.kind, field: "channels" });
        }
        let [oh, ow] = self.slide([ih, iw], layer.window, layer.stride, layer.padding)?;
        let [kh, kw] = layer.window;
        let groups = layer.groups;
        if groups == 0 {
            return Err(SpecError::Zero { layer: self.name.clone(), kind: self.kind, field: "groups" });
        }
        if !ic.is_multiple_of(groups) || !layer.channels.is_multiple_of(groups) {
            let channels = layer.channels;
            return Err(
                self.misfit(format!("{groups} groups divide not both {ic} input and {channels} output channels"))
            );
        }
        self.limited("weights", &[layer.channels, ic / groups, kh, kw], LIMIT)?;
        self.limited("output", &[layer.channels, oh, ow], LIMIT)?;
        let (stride, padding) = (layer.stride, layer.padding);
        Ok(ConvShape { ic, ih, iw, oc: layer.channels, oh, ow, kh, kw, stride, padding, groups })
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

    /// Which weights a table of connections leaves in.
    fn mask(&self, layer: &Conv2d, s: &ConvShape) -> Result<Option<Vec<bool>>, SpecError> {
        let Some(maps) = &layer.connections else { return Ok(None) };
        if maps.len() != s.oc || s.groups != 1 {
            let lists = maps.len();
            return Err(
                self.misfit(format!("connections need {} lists and one group, not {lists} and {}", s.oc, s.groups))
            );
        }
        if let Some(channel) = maps.iter().flatten().find(|&&c| c >= s.ic) {
            return Err(self.misfit(format!("connections name input channel {channel} of {}", s.ic)));
        }
        if maps.iter().any(|m| m.is_empty()) {
            return Err(self.misfit("connections leave an output channel without any input"));
        }
        // Each channel is filled in once, even if it is named a thousand times.
        let window = s.kh * s.kw;
        let mut mask = vec![false; s.oc * s.ic * window];
        for (map, kept) in maps.iter().zip(mask.chunks_mut(s.ic * window)) {
            for c in map {
                let taps = &mut kept[c * window..(c + 1) * window];
                if !taps[0] {
                    taps.fill(true);
                }
            }
        }
        Ok(Some(mask))
    }

    fn dense(&self, units: usize) -> Result<DenseShape, SpecError> {
        let Shape::Flat(inputs) = self.input else {
            return Err(self.misfit("it needs a flat input: put flatten before it"));
        };
        if units == 0 {
            return Err(SpecError::Zero { layer: self.name.clone(), kind: self.kind, field: "units" });
        }
        self.limited("weights", &[units, inputs], LIMIT)?;
        Ok(DenseShape { inputs, outputs: units })
    }
}

/// Most layers, those within residual blocks included.
const LIMIT_LAYERS: usize = 1000;

/// The network as far as it is known.
struct Builder {
    layers: Vec<LayerInfo>,
    parameters: usize,
    buffers: usize,
    /// Values of all activations, with their borders.
    activations: usize,
    /// Of each value, the input first, the rows and columns around it that padding asks for.
    borders: Vec<[usize; 2]>,
}

/// A layer's tensors: the weight's shape, the bias's length, fans, and how often each weight is used.
#[derive(Default)]
struct Tensors {
    weight: Vec<usize>,
    mask: Option<Vec<bool>>,
    bias: bool,
    fan_in: usize,
    fan_out: usize,
    uses: usize,
    buffers: Vec<(&'static str, Vec<usize>)>,
}

impl Builder {
    /// Shape of a value.
    fn shape(&self, input: [usize; 3], source: usize) -> Shape {
        source.checked_sub(1).map_or(Shape::Image(input), |i| self.layers[i].output)
    }

    /// Adds layers one behind the other; returns where the last one's output is.
    fn sequence(&mut self, input: [usize; 3], layers: &[Layer], prefix: &str, from: usize) -> Result<usize, SpecError> {
        let mut source = from;
        for (index, layer) in layers.iter().enumerate() {
            let name = format!("{prefix}{index}");
            let shape = self.shape(input, source);
            let at = At { name, kind: layer.kind(), input: shape };
            source = match layer {
                Layer::Residual(block) => self.residual(input, block, at, source)?,
                layer => self.layer(layer, at, source)?,
            };
        }
        Ok(source)
    }

    fn residual(&mut self, input: [usize; 3], block: &Residual, at: At, from: usize) -> Result<usize, SpecError> {
        if block.body.is_empty() {
            return Err(at.misfit("its body has no layers"));
        }
        let body = self.sequence(input, &block.body, &format!("{}.body.", at.name), from)?;
        let shortcut = self.sequence(input, &block.shortcut, &format!("{}.shortcut.", at.name), from)?;
        let (a, b) = (self.shape(input, body), self.shape(input, shortcut));
        if a != b {
            let hint = "give the shortcut a 1×1 conv2d of the body's channels and stride";
            return Err(at.misfit(format!("the body gives {a} and the shortcut {b}, which cannot be added: {hint}")));
        }
        self.push(at, body, Some(shortcut), Geometry::Add, a, Tensors::default())
    }

    fn layer(&mut self, layer: &Layer, at: At, source: usize) -> Result<usize, SpecError> {
        let image = |s: &PoolShape| Shape::Image([s.c, s.oh, s.ow]);
        let none = Tensors::default();
        let (geometry, output, tensors) = match layer {
            Layer::Conv2d(l) => {
                let s = at.conv(l)?;
                let window = s.kh * s.kw;
                let tensors = Tensors {
                    weight: vec![s.oc, s.group_inputs(), s.kh, s.kw],
                    mask: at.mask(l, &s)?,
                    bias: l.bias,
                    fan_in: s.taps(),
                    fan_out: s.oc * window / s.groups,
                    uses: s.oh * s.ow,
                    ..none
                };
                (Geometry::Conv2d(s), Shape::Image([s.oc, s.oh, s.ow]), tensors)
            }
            Layer::Dense(l) => {
                let s = at.dense(l.units)?;
                let (weight, fan_in, fan_out) = (vec![s.outputs, s.inputs], s.inputs, s.outputs);
                let tensors = Tensors { weight, bias: l.bias, fan_in, fan_out, uses: 1, ..none };
                (Geometry::Dense(s), Shape::Flat(s.outputs), tensors)
            }
            Layer::Rbf(l) => {
                let s = at.dense(l.units)?;
                let buffers = vec![("codes", vec![s.outputs, s.inputs])];
                (Geometry::Rbf(s), Shape::Flat(s.outputs), Tensors { buffers, ..none })
            }
            Layer::AvgPool(l) => at.pool(l).map(|s| (Geometry::AvgPool(s), image(&s), none))?,
            Layer::MaxPool(l) => at.pool(l).map(|s| (Geometry::MaxPool(s), image(&s), none))?,
            Layer::GlobalAvgPool => {
                let [_, h, w] = at.image()?;
                let s = at.pool(&Pool { window: [h, w], stride: [h, w], padding: [0, 0] })?;
                (Geometry::AvgPool(s), image(&s), none)
            }
            Layer::Subsample(l) => {
                let s = at.pool(l)?;
                let window = s.kh * s.kw;
                let tensors =
                    Tensors { weight: vec![s.c], bias: true, fan_in: window, fan_out: 1, uses: s.oh * s.ow, ..none };
                (Geometry::Subsample(s), image(&s), tensors)
            }
            Layer::BatchNorm(l) => {
                let (channels, positions) = match at.input {
                    Shape::Image([c, h, w]) => (c, h * w),
                    Shape::Flat(n) => (n, 1),
                };
                let s = NormShape { channels, positions, eps: l.eps, momentum: l.momentum };
                let buffers = vec![("running_mean", vec![channels]), ("running_var", vec![channels])];
                (Geometry::BatchNorm(s), at.input, Tensors { weight: vec![channels], bias: true, buffers, ..none })
            }
            Layer::Dropout(l) => (Geometry::Dropout(l.rate), at.input, none),
            Layer::Flatten => (Geometry::Flatten, Shape::Flat(at.input.len()), none),
            Layer::Activation(a) => (Geometry::Activation(*a), at.input, none),
            // `sequence` has taken these apart.
            Layer::Residual(_) => (Geometry::Add, at.input, none),
        };
        self.push(at, source, None, geometry, output, tensors)
    }

    /// Counts what a layer gives, and the border that its padding asks for around what it takes, which others may take too.
    fn count(&mut self, at: &At, source: usize, geometry: &Geometry, output: Shape) -> Result<(), SpecError> {
        if let Geometry::Conv2d(s) = geometry {
            let with = |border: [usize; 2]| [s.ic, s.ih + 2 * border[0], s.iw + 2 * border[1]];
            let border = &mut self.borders[source];
            let before: usize = with(*border).iter().product();
            *border = [border[0].max(s.padding[0]), border[1].max(s.padding[1])];
            self.activations += at.limited("padded input", &with(*border), LIMIT)? - before;
        }
        self.borders.push([0, 0]);
        self.activations += output.len();
        let n = self.activations;
        if n > LIMIT_ACTIVATIONS {
            let gigabytes = n as f64 * 16.0 * size_of::<f32>() as f64 / 1e9;
            let what = format!(
                "all activations so far are {n} values a sample, which take {gigabytes:.1} GB of memory for 16 samples"
            );
            let (layer, kind) = (at.name.clone(), at.kind);
            return Err(SpecError::TooLarge { layer, kind, what, limit: LIMIT_ACTIVATIONS });
        }
        Ok(())
    }

    fn push(
        &mut self,
        at: At,
        source: usize,
        other: Option<usize>,
        geometry: Geometry,
        output: Shape,
        t: Tensors,
    ) -> Result<usize, SpecError> {
        self.count(&at, source, &geometry, output)?;
        let (offset, slab) = (&mut self.parameters, &mut self.buffers);
        let mut take = |suffix: &str, shape: Vec<usize>, role: Role, mask: Option<Vec<bool>>| {
            let len = shape.iter().product::<usize>();
            *offset += len;
            let (name, range) = (format!("{}.{suffix}", at.name), *offset - len..*offset);
            ParameterInfo { name, shape, range, fan_in: t.fan_in, fan_out: t.fan_out, role, mask }
        };
        let scales = matches!(geometry, Geometry::BatchNorm(_) | Geometry::Subsample(_));
        let role = if scales { Role::Scale } else { Role::Weight };
        let first = t.weight.first().copied();
        let weight = first.map(|_| take("weight", t.weight, role, t.mask));
        let bias = first.filter(|_| t.bias).map(|n| take("bias", vec![n], Role::Bias, None));
        let buffers = t.buffers.into_iter().map(|(suffix, shape)| {
            let len = shape.iter().product::<usize>();
            *slab += len;
            BufferInfo { name: format!("{}.{suffix}", at.name), shape, range: *slab - len..*slab }
        });
        let buffers = buffers.collect();
        at.limited("all parameters so far", &[self.parameters.max(self.buffers)], LIMIT)?;
        let multiply_adds = weight.as_ref().map_or(0, |w| w.count() as u64 * t.uses as u64);
        let At { name, kind, input } = at;
        self.layers.push(LayerInfo {
            name,
            source,
            other,
            kind,
            input,
            output,
            geometry,
            weight,
            bias,
            buffers,
            multiply_adds,
        });
        if self.layers.len() > LIMIT_LAYERS {
            let (layer, what) = (self.layers[LIMIT_LAYERS].name.clone(), format!("{} layers", self.layers.len()));
            return Err(SpecError::TooLarge { layer, kind, what, limit: LIMIT_LAYERS });
        }
        Ok(self.layers.len())
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
        let product = self.input.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        if product.is_none_or(|n| n > LIMIT) {
            return Err(SpecError::Input { input: self.input, limit: LIMIT });
        }
        let activations = self.input.iter().product();
        let mut builder = Builder { layers: Vec::new(), parameters: 0, buffers: 0, activations, borders: vec![[0, 0]] };
        let end = builder.sequence(self.input, &self.layers, "", 0)?;
        match builder.shape(self.input, end) {
            Shape::Flat(outputs) => {
                let Builder { layers, parameters, buffers, .. } = builder;
                Ok(Network { input: self.input, layers, parameters, buffers, outputs })
            }
            image => Err(SpecError::NotFlat(image)),
        }
    }
}
