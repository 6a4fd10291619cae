//! The graph as it is read: what each name stands for, and what every datum depends on.

use crate::model::onnx::OnnxError;
use crate::model::onnx::read::{Attribute, Node, Tensor};
use crate::spec::{Layer, Shape, Spec};
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

/// A constant of the graph.
#[derive(Clone, Debug)]
pub(in crate::model) struct Constant {
    pub(in crate::model) dims: Vec<usize>,
    pub(in crate::model) values: Rc<[f32]>,
}

impl Constant {
    /// One value a channel, if the constant is such that it meets the channels of a value of this shape.
    pub(in crate::model) fn channels(&self, shape: Shape) -> Option<Vec<f32>> {
        let (channels, behind) = match shape {
            Shape::Image([c, _, _]) => (c, 2),
            Shape::Flat(n) => (n, 0),
        };
        let at = self.dims.len().checked_sub(behind + 1)?;
        let rest = self.dims.iter().enumerate().all(|(i, &d)| i == at || d == 1);
        (rest && self.dims[at] == channels && self.dims.len() <= behind + 2).then(|| self.values.to_vec())
    }
}

/// An operand of an elementwise function.
#[derive(Clone, Debug)]
pub(in crate::model) enum Operand {
    /// Another value.
    Datum(usize),
    /// The same everywhere.
    Number(f64),
    /// One number a channel.
    Channels(Vec<f32>),
}

impl Operand {
    pub(in crate::model) fn len(&self) -> usize {
        if let Operand::Channels(all) = self { all.len() } else { 0 }
    }
}

/// How a datum comes about.
#[derive(Clone, Debug)]
pub(in crate::model) enum Source<'a> {
    /// The image.
    Input,
    /// A layer of this program.
    Layer { layer: Layer, parameters: Vec<f32>, buffers: Vec<f32>, from: usize },
    /// A node that works on each value by itself.
    Function { node: &'a Node<'a>, operands: Vec<Operand> },
    /// A part of what only together is a layer.
    Part(Part),
}

impl Source<'_> {
    /// Number of values that are kept for it.
    pub(in crate::model) fn len(&self) -> usize {
        match self {
            Source::Input => 0,
            Source::Layer { parameters, buffers, .. } => parameters.len() + buffers.len(),
            Source::Function { operands, .. } => operands.iter().map(Operand::len).sum(),
            Source::Part(part) => part.codes().len(),
        }
    }
}

/// A value that depends on the image.
#[derive(Clone, Debug)]
pub(in crate::model) struct Datum<'a> {
    /// Of one image.
    pub(in crate::model) shape: Shape,
    pub(in crate::model) source: Source<'a>,
    /// The node, as messages call it.
    pub(in crate::model) node: String,
    /// The last datum before this one that every way from the image goes through; of the image itself.
    pub(in crate::model) dominator: usize,
    /// Number of dominators.
    pub(in crate::model) depth: usize,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(in crate::model) enum Value<'a> {
    Tensor(&'a Tensor<'a>),
    Constant(Constant),
    /// Sizes that the graph computes with; `None` is the batch's.
    Sizes(Vec<Option<i64>>),
    Datum(usize),
}

pub(in crate::model) struct Importer<'a> {
    pub(in crate::model) values: HashMap<&'a str, Value<'a>>,
    pub(in crate::model) data: Vec<Datum<'a>>,
    /// The batch's size, where the file fixes it.
    pub(in crate::model) batch: Option<i64>,
    /// Whether images went in beside their mirror images, and the datum that is the mean of both.
    pub(in crate::model) mirrored: bool,
    pub(in crate::model) mean: Option<usize>,
    /// How many more values may be kept. A file can use one constant in thousands of nodes.
    pub(in crate::model) room: usize,
    /// How many more elementwise operations may be tried to find out what functions are.
    pub(in crate::model) trials: Cell<usize>,
}

/// Values that may be kept beside one for each byte of the file: four times what that can hold.
pub(in crate::model) const ROOM: usize = 1 << 20;

/// Elementwise operations that are tried at most: a few seconds' worth, where networks take some thousands.
pub(in crate::model) const TRIALS: usize = 1 << 25;

/// How messages call a node.
pub(in crate::model) fn title(node: &Node) -> String {
    let name = if node.name.is_empty() { node.outputs.first().copied().unwrap_or_default() } else { node.name };
    let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    format!("'{shown}' ({})", node.op)
}

pub(in crate::model) fn refuse(node: &Node, what: impl Into<String>) -> OnnxError {
    OnnxError::Node { node: title(node), what: what.into() }
}

/// A part of a layer, or of what surrounds the layers.
#[derive(Clone, Debug)]
pub(in crate::model) enum Part {
    /// Distances to codes: a row for every code, its difference from the code, the square of that, the sum.
    Row {
        from: usize,
    },
    Difference {
        from: usize,
        codes: Vec<f32>,
        units: usize,
    },
    Square {
        from: usize,
        codes: Vec<f32>,
        units: usize,
    },
    Distance {
        from: usize,
        codes: Vec<f32>,
        units: usize,
    },
    /// The mirror images of the input.
    Mirror,
    /// Logits of images and of mirror images apart.
    Halves {
        from: usize,
    },
}

impl Part {
    /// The codes that it holds.
    pub(in crate::model) fn codes(&self) -> &[f32] {
        match self {
            Part::Difference { codes, .. } | Part::Square { codes, .. } | Part::Distance { codes, .. } => codes,
            Part::Row { .. } | Part::Mirror | Part::Halves { .. } => &[],
        }
    }
}

impl<'a> Importer<'a> {
    /// Adds a datum that depends on others; returns its number.
    pub(in crate::model) fn add(
        &mut self,
        node: &Node,
        shape: Shape,
        source: Source<'a>,
        from: &[usize],
    ) -> Result<usize, OnnxError> {
        self.keep(node, source.len())?;
        let dominator = from.iter().copied().reduce(|a, b| self.common(a, b)).unwrap_or(0);
        let depth = self.data[dominator].depth + 1;
        self.data.push(Datum { shape, source, node: title(node), dominator, depth });
        Ok(self.data.len() - 1)
    }

    /// Takes room for so many values.
    pub(in crate::model) fn keep(&mut self, node: &Node, values: usize) -> Result<(), OnnxError> {
        let left = self.room.checked_sub(values);
        self.room = left.ok_or_else(|| refuse(node, "the layers up to it use more values than the file has"))?;
        Ok(())
    }

    /// The last datum that every way to both goes through.
    pub(in crate::model) fn common(&self, mut a: usize, mut b: usize) -> usize {
        while a != b {
            let deeper = if self.data[a].depth >= self.data[b].depth { &mut a } else { &mut b };
            *deeper = self.data[*deeper].dominator;
        }
        a
    }

    /// Adds a layer behind a datum, if it fits there.
    pub(in crate::model) fn layer(
        &mut self,
        node: &Node,
        from: usize,
        layer: Layer,
        parameters: Vec<f32>,
        buffers: Vec<f32>,
    ) -> Result<usize, OnnxError> {
        let shape = output(self.data[from].shape, &layer).map_err(|e| refuse(node, e))?;
        self.add(node, shape, Source::Layer { layer, parameters, buffers, from }, &[from])
    }

    pub(in crate::model) fn value(&self, node: &Node, i: usize) -> Result<&Value<'a>, OnnxError> {
        let name = node.inputs.get(i).copied().filter(|n| !n.is_empty());
        let name = name.ok_or_else(|| refuse(node, format!("it has no input {i}")))?;
        self.values.get(name).ok_or_else(|| refuse(node, format!("nothing before it gives its input '{name}'")))
    }

    /// An input that depends on the image and is whole.
    pub(in crate::model) fn datum(&self, node: &Node, i: usize) -> Result<usize, OnnxError> {
        match self.value(node, i)? {
            Value::Datum(id) => self.whole(*id).map(|()| *id),
            _ => Err(refuse(node, format!("its input {i} must depend on the image"))),
        }
    }

    /// Refuses a datum that is a part of what was not completed.
    pub(in crate::model) fn whole(&self, id: usize) -> Result<(), OnnxError> {
        let datum = &self.data[id];
        match datum.source {
            Source::Part(_) => Err(OnnxError::Node { node: datum.node.clone(), what: UNKNOWN.into() }),
            _ => Ok(()),
        }
    }

    /// A constant input.
    pub(in crate::model) fn constant(&self, node: &Node, i: usize) -> Result<Constant, OnnxError> {
        match self.value(node, i)? {
            Value::Tensor(t) => Ok(Constant { dims: t.dims.clone(), values: t.floats()?.into() }),
            Value::Constant(c) => Ok(c.clone()),
            _ => Err(refuse(node, format!("its input {i} must be a constant"))),
        }
    }

    pub(in crate::model) fn given(&self, node: &Node, i: usize) -> bool {
        node.inputs.get(i).is_some_and(|n| !n.is_empty())
    }

    /// A short list of integers: sizes, axes, pads.
    pub(in crate::model) fn sizes(&self, node: &Node, i: usize) -> Result<Vec<Option<i64>>, OnnxError> {
        match self.value(node, i)? {
            Value::Tensor(t) => Ok(t.ints()?.into_iter().map(Some).collect()),
            Value::Sizes(sizes) => Ok(sizes.clone()),
            _ => Err(refuse(node, format!("its input {i} must be a list of sizes"))),
        }
    }

    /// As [`Importer::sizes`], all of them known.
    pub(in crate::model) fn ints(&self, node: &Node, i: usize) -> Result<Vec<i64>, OnnxError> {
        let all: Option<Vec<i64>> = self.sizes(node, i)?.into_iter().collect();
        all.ok_or_else(|| refuse(node, format!("its input {i} must not depend on the batch")))
    }

    /// The axes of an operator: an attribute in older operator sets, an input in newer ones.
    pub(in crate::model) fn axes(&self, node: &Node) -> Result<Option<Vec<i64>>, OnnxError> {
        match attribute(node, "axes") {
            Some(Attribute::Ints(axes)) => Ok(Some(axes.clone())),
            None if self.given(node, 1) => self.ints(node, 1).map(Some),
            _ => Ok(None),
        }
    }
}

pub(in crate::model) const UNKNOWN: &str =
    "this use of it is none that a layer computes (see the documentation of what can be imported)";

/// The shape behind a layer; [`Spec::infer`] alone knows shapes.
pub(in crate::model) fn output(input: Shape, layer: &Layer) -> Result<Shape, String> {
    let (input, layers, at) = match input {
        Shape::Image(input) => (input, vec![layer.clone(), Layer::Flatten], 0),
        Shape::Flat(n) => ([n, 1, 1], vec![Layer::Flatten, layer.clone(), Layer::Flatten], 1),
    };
    Spec { input, layers }.infer().map(|n| n.layers[at].output).map_err(|e| e.to_string())
}

pub(in crate::model) fn attribute<'n>(node: &'n Node, name: &str) -> Option<&'n Attribute<'n>> {
    node.attributes.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// An integer attribute, or its default.
pub(in crate::model) fn int(node: &Node, name: &str, default: i64) -> i64 {
    match attribute(node, name) {
        Some(Attribute::Int(i)) => *i,
        _ => default,
    }
}

/// A float attribute, or its default.
pub(in crate::model) fn float(node: &Node, name: &str, default: f32) -> f64 {
    match attribute(node, name) {
        Some(Attribute::Float(f)) => f64::from(*f),
        _ => f64::from(default),
    }
}
