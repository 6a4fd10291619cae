//! Whether a layer fits the place where it stands.

use super::Geometry;
use crate::spec::shape::{Role, Shape};
use std::fmt;
use std::ops::RangeInclusive;

/// Why a spec is no network. What is wrong with a layer names it by place and type.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "__exhaustive"), non_exhaustive)]
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
        /// What is wrong.
        reason: Box<Misfit>,
    },
    /// The layer is larger than this program works with.
    TooLarge {
        /// Place of the layer.
        layer: String,
        /// Type of the layer.
        kind: &'static str,
        /// What is too large.
        what: &'static str,
        /// Its size, as factors.
        size: Vec<usize>,
        /// The largest possible.
        limit: usize,
    },
    /// All activations together, up to this layer, are larger than this program works with.
    TooManyValues {
        /// Place of the layer.
        layer: String,
        /// Type of the layer.
        kind: &'static str,
        /// Values of one sample's activations, borders for padding included.
        values: usize,
        /// The most that are possible.
        limit: usize,
    },
    /// There are more layers than this program works with.
    TooManyLayers {
        /// Place of the first one beyond the limit.
        layer: String,
        /// Type of that layer.
        kind: &'static str,
        /// The most that are possible.
        limit: usize,
    },
    /// The last layer leaves an image where class scores are needed.
    NotFlat(Shape),
}

/// Why a layer cannot take the shape that reaches it. Pairs are rows and columns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "__exhaustive"), non_exhaustive)]
#[allow(missing_docs)]
pub enum Misfit {
    /// It needs an image, and features come in.
    NeedsImage,
    /// It needs features, and an image comes in.
    NeedsFlat,
    /// The window is larger than the input with its padding.
    Window { window: [usize; 2], padded: [usize; 2] },
    /// Some windows would lie on nothing but padding.
    Padding { padding: [usize; 2], window: [usize; 2] },
    /// The channels cannot be divided into so many groups.
    Groups { groups: usize, inputs: usize, outputs: usize },
    /// Connections need a list for each output channel, and one group.
    Connections { lists: usize, outputs: usize, groups: usize },
    /// Connections name an input channel that there is not.
    NoChannel { channel: usize, inputs: usize },
    /// Connections leave an output channel without any input.
    Unconnected,
    /// A setting is none of those that it can be.
    Setting { key: &'static str, must_be: &'static str },
    /// A residual block's body has no layers.
    NoBody,
    /// The two ways of a residual block give different shapes.
    Sum { body: Shape, shortcut: Shape },
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
            SpecError::TooLarge { layer, kind, what, size, limit } => {
                let size = size.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
                write!(f, "layer {layer} ({kind}) is too large: {what} {size}, at most {limit} is possible")
            }
            SpecError::TooManyValues { layer, kind, values, limit } => {
                let gigabytes = *values as f64 * 16.0 * size_of::<f32>() as f64 / 1e9;
                write!(
                    f,
                    "layer {layer} ({kind}) is too large: all activations so far are {values} values a sample, which take \
                     {gigabytes:.1} GB of memory for 16 samples, at most {limit} is possible"
                )
            }
            SpecError::TooManyLayers { layer, kind, limit } => {
                let layers = limit + 1;
                write!(f, "layer {layer} ({kind}) is too large: {layers} layers, at most {limit} is possible")
            }
            SpecError::NotFlat(shape) => write!(
                f,
                "the network ends with {shape} where one score a class is needed: end with flatten and a dense layer"
            ),
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pair = |sides: &[usize; 2]| pair(*sides);
        match self {
            Misfit::NeedsImage => f.write_str("it needs channels, rows and columns: put it before flatten"),
            Misfit::NeedsFlat => f.write_str("it needs a flat input: put flatten before it"),
            Misfit::Window { window, padded } => {
                write!(f, "the window {} is larger than the padded input {}", pair(window), pair(padded))
            }
            Misfit::Padding { padding, window } => {
                write!(f, "padding {} is more than half of the window {}", pair(padding), pair(window))
            }
            Misfit::Groups { groups, inputs, outputs } => {
                write!(f, "{groups} groups divide not both {inputs} input and {outputs} output channels")
            }
            Misfit::Connections { lists, outputs, groups } => {
                write!(f, "connections need {outputs} lists and one group, not {lists} and {groups}")
            }
            Misfit::NoChannel { channel, inputs } => write!(f, "connections name input channel {channel} of {inputs}"),
            Misfit::Unconnected => f.write_str("connections leave an output channel without any input"),
            Misfit::Setting { key, must_be } => write!(f, "{key} must be {must_be}"),
            Misfit::NoBody => f.write_str("its body has no layers"),
            Misfit::Sum { body, shortcut } => write!(
                f,
                "the body gives {body} and the shortcut {shortcut}, which cannot be added: \
                 give the shortcut a 1×1 conv2d of the body's channels and stride"
            ),
        }
    }
}

impl std::error::Error for SpecError {}

impl SpecError {
    /// Position of the layer of the spec that is wrong, if it is one layer.
    pub fn layer(&self) -> Option<usize> {
        match self {
            SpecError::Zero { layer, .. }
            | SpecError::DoesNotFit { layer, .. }
            | SpecError::TooLarge { layer, .. }
            | SpecError::TooManyValues { layer, .. }
            | SpecError::TooManyLayers { layer, .. } => layer.split('.').next().and_then(|first| first.parse().ok()),
            SpecError::NoLayers | SpecError::EmptyInput(_) | SpecError::Input { .. } | SpecError::NotFlat(_) => None,
        }
    }
}

/// Most values in one sample's activation, and most parameters in one layer: far beyond what a small classifier needs,
/// small enough that every product of sizes stays far from overflow and every buffer from the machine's memory.
pub(in crate::spec) const LIMIT: usize = if usize::BITS < 64 { 1 << 24 } else { 1 << 26 };

/// Largest window, stride or padding.
pub(in crate::spec) const LIMIT_WINDOW: usize = 1 << 12;

/// Sizes: channels, units, rows and columns of an input.
pub(in crate::spec) const SIZES: RangeInclusive<u64> = 1..=LIMIT as u64;
/// Rows and columns of a window, or of its step.
pub(in crate::spec) const WINDOWS: RangeInclusive<u64> = 1..=LIMIT_WINDOW as u64;
/// Rows and columns of padding.
pub(in crate::spec) const PADDINGS: RangeInclusive<u64> = 0..=LIMIT_WINDOW as u64;

/// The place of a layer, and the shape that reaches it.
pub(in crate::spec) struct At {
    pub name: String,
    pub kind: &'static str,
    pub input: Shape,
}

impl At {
    pub fn misfit(&self, reason: Misfit) -> SpecError {
        SpecError::DoesNotFit { layer: self.name.clone(), kind: self.kind, input: self.input, reason: reason.into() }
    }

    /// Channels, rows and columns of the input.
    pub fn image(&self) -> Result<[usize; 3], SpecError> {
        match self.input {
            Shape::Image(chw) => Ok(chw),
            Shape::Flat(_) => Err(self.misfit(Misfit::NeedsImage)),
        }
    }

    pub fn positive(&self, field: &'static str, size: usize) -> Result<(), SpecError> {
        if size == 0 {
            return Err(SpecError::Zero { layer: self.name.clone(), kind: self.kind, field });
        }
        Ok(())
    }

    /// Refuses a product that is larger than a limit, or than any number.
    pub fn limited(&self, what: &'static str, size: &[usize], limit: usize) -> Result<(), SpecError> {
        let product = size.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
        if product.is_some_and(|n| n <= limit) {
            return Ok(());
        }
        Err(SpecError::TooLarge { layer: self.name.clone(), kind: self.kind, what, size: size.into(), limit })
    }

    /// The rows and columns that a window spans, whose own are so far apart.
    pub fn spread(&self, window: [usize; 2], dilation: [usize; 2]) -> Result<[usize; 2], SpecError> {
        for (field, pair) in [("window", window), ("dilation", dilation)] {
            self.positive(field, pair[0].min(pair[1]))?;
            self.limited(field, &[pair[0].max(pair[1])], LIMIT_WINDOW)?;
        }
        Ok([0, 1].map(|i| (window[i] - 1) * dilation[i] + 1))
    }

    /// Output rows and columns of a sliding window.
    pub fn slide(
        &self,
        [ih, iw]: [usize; 2],
        window: [usize; 2],
        stride: [usize; 2],
        padding: [usize; 2],
    ) -> Result<[usize; 2], SpecError> {
        for (field, pair) in [("window", window), ("stride", stride)] {
            self.positive(field, pair[0].min(pair[1]))?;
        }
        for (field, pair) in [("window", window), ("stride", stride), ("padding", padding)] {
            self.limited(field, &[pair[0].max(pair[1])], LIMIT_WINDOW)?;
        }
        let padded = [ih + 2 * padding[0], iw + 2 * padding[1]];
        if window[0] > padded[0] || window[1] > padded[1] {
            return Err(self.misfit(Misfit::Window { window, padded }));
        }
        Ok([(padded[0] - window[0]) / stride[0] + 1, (padded[1] - window[1]) / stride[1] + 1])
    }
}

/// Rows and columns in words.
pub(in crate::spec) fn pair([rows, columns]: [usize; 2]) -> String {
    format!("{rows}×{columns}")
}

/// A setting of rows and columns in words, unless it is as usual.
pub(in crate::spec) fn setting(name: &str, sides: [usize; 2], usual: [usize; 2]) -> String {
    match sides {
        same if same == usual => String::new(),
        [rows, columns] if rows == columns => format!("{name} {rows}"),
        other => format!("{name} {}", pair(other)),
    }
}

/// What a layer is at its place: what it computes, what it gives, and its tensors.
pub(in crate::spec) struct Placed {
    pub geometry: Geometry,
    pub output: Shape,
    /// Shape of the weight; empty for none.
    pub weight: Vec<usize>,
    /// What the weight is for.
    pub role: Role,
    /// Where a weight starts that is not drawn: a scale.
    pub start: f32,
    /// Which weights exist, where some do not.
    pub mask: Option<Vec<bool>>,
    /// Whether there is a bias, one for each of the weight's first dimension.
    pub bias: bool,
    pub fan_in: usize,
    pub fan_out: usize,
    /// How often each weight is used for one sample.
    pub uses: usize,
    /// Names and shapes of the buffers.
    pub buffers: Vec<(&'static str, Vec<usize>)>,
    /// Its settings in words, without those that are as usual.
    pub settings: Vec<String>,
}

impl Placed {
    /// Without any tensor.
    pub fn new(geometry: Geometry, output: Shape) -> Self {
        Placed {
            geometry,
            output,
            weight: Vec::new(),
            role: Role::Weight,
            start: 1.0,
            mask: None,
            bias: false,
            fan_in: 0,
            fan_out: 0,
            uses: 0,
            buffers: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// The same, with settings in words; without a word for what is empty.
    pub fn said<const N: usize>(mut self, words: [String; N]) -> Self {
        self.settings.extend(words.into_iter().filter(|word| !word.is_empty()));
        self
    }
}
