//! A model from an ONNX file.
//!
//! The graph is read once, in order (`operators.rs`): each node becomes a constant, sizes, or a datum, which is the value
//! of a layer, of an elementwise function, or of a part of something larger. Then the way is walked back from the
//! logits to the image (`assemble.rs`): elementwise nodes become the activation that they compute together, whatever
//! their pattern (`function.rs`), sums of two ways become residual blocks.

mod assemble;
mod function;
mod norms;
mod operators;
mod parts;

use super::read::{self, Attribute, File, Graph, Node, Tensor};
use super::{OnnxError, kind};
use crate::json::Json;
use crate::model::{Model, Training};
use crate::spec::Normalization;
use crate::spec::{Layer, Shape, Spec};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// What an ONNX file may leave open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportOptions {
    /// Names of the classes; the file's unless given, and their numbers if that has none.
    pub classes: Option<Vec<String>>,
    /// How bytes become what the graph takes, if it takes floats; the file's unless given, and bytes / 255 if that says
    /// nothing.
    pub normalization: Option<Normalization>,
    /// Name of the model, for its card.
    pub name: String,
}

/// A constant of the graph.
#[derive(Clone, Debug)]
struct Constant {
    dims: Vec<usize>,
    values: Rc<[f32]>,
}

impl Constant {
    /// One value a channel, if the constant is such that it meets the channels of a value of this shape.
    fn channels(&self, shape: Shape) -> Option<Vec<f32>> {
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
enum Operand {
    /// Another value.
    Datum(usize),
    /// The same everywhere.
    Number(f64),
    /// One number a channel.
    Channels(Vec<f32>),
}

impl Operand {
    fn len(&self) -> usize {
        if let Operand::Channels(all) = self { all.len() } else { 0 }
    }
}

/// How a datum comes about.
#[derive(Clone, Debug)]
enum Source<'a> {
    /// The image.
    Input,
    /// A layer of this program.
    Layer { layer: Layer, parameters: Vec<f32>, buffers: Vec<f32>, from: usize },
    /// A node that works on each value by itself.
    Function { node: &'a Node<'a>, operands: Vec<Operand> },
    /// A part of what only together is a layer; what it is of, lies in `parts.rs`.
    Part(parts::Part),
}

impl Source<'_> {
    /// Number of values that are kept for it.
    fn len(&self) -> usize {
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
struct Datum<'a> {
    /// Of one image.
    shape: Shape,
    source: Source<'a>,
    /// The node, as messages call it.
    node: String,
    /// The last datum before this one that every way from the image goes through; of the image itself.
    dominator: usize,
    /// Number of dominators.
    depth: usize,
}

/// What a name stands for.
#[derive(Clone, Debug)]
enum Value<'a> {
    Tensor(&'a Tensor<'a>),
    Constant(Constant),
    /// Sizes that the graph computes with; `None` is the batch's.
    Sizes(Vec<Option<i64>>),
    Datum(usize),
}

struct Importer<'a> {
    values: HashMap<&'a str, Value<'a>>,
    data: Vec<Datum<'a>>,
    /// The batch's size, where the file fixes it.
    batch: Option<i64>,
    /// Whether images went in beside their mirror images, and the datum that is the mean of both.
    mirrored: bool,
    mean: Option<usize>,
    /// How many more values may be kept. A file can use one constant in thousands of nodes.
    room: usize,
    /// How many more elementwise operations may be tried to find out what functions are.
    trials: Cell<usize>,
}

/// Values that may be kept beside one for each byte of the file: four times what that can hold.
const ROOM: usize = 1 << 20;

/// Elementwise operations that are tried at most: a few seconds' worth, where networks take some thousands.
const TRIALS: usize = 1 << 25;

/// How messages call a node.
fn title(node: &Node) -> String {
    let name = if node.name.is_empty() { node.outputs.first().copied().unwrap_or_default() } else { node.name };
    let shown: String = name.chars().filter(|c| !c.is_control()).take(80).collect();
    format!("'{shown}' ({})", node.op)
}

fn refuse(node: &Node, what: impl Into<String>) -> OnnxError {
    OnnxError::Node { node: title(node), what: what.into() }
}

pub fn model(bytes: &[u8], options: &ImportOptions) -> Result<Model, OnnxError> {
    let file = read::file(bytes)?;
    let (input, bytes_in) = input(&file)?;
    let given = file.graph.inputs.iter().find(|i| !is_initializer(&file.graph, i.name));
    let mut importer = Importer {
        values: file.graph.initializers.iter().map(|t| (t.name, Value::Tensor(t))).collect(),
        data: Vec::new(),
        batch: given.and_then(|i| i.dims[0]),
        mirrored: false,
        mean: None,
        room: bytes.len().saturating_add(ROOM),
        trials: Cell::new(TRIALS),
    };
    importer.data.push(Datum {
        shape: Shape::Image(input),
        source: Source::Input,
        node: "the image".to_string(),
        dominator: 0,
        depth: 0,
    });
    importer.values.insert(given.map_or("", |i| i.name), Value::Datum(0));
    let output = match file.graph.outputs[..] {
        [name] => name,
        ref all => {
            return Err(OnnxError::Graph(format!("its graph has {} outputs, one is needed: the logits", all.len())));
        }
    };
    for node in reachable(&file.graph, output) {
        importer.node(node)?;
    }
    let Some(Value::Datum(end)) = importer.values.get(output) else {
        return Err(OnnxError::Graph(format!("its output '{output}' does not depend on its input")));
    };
    finish(&importer, *end, input, bytes_in, &file, options)
}

/// Puts the layers together, and what belongs to them.
fn finish(
    importer: &Importer,
    end: usize,
    input: [usize; 3],
    bytes_in: bool,
    file: &File,
    options: &ImportOptions,
) -> Result<Model, OnnxError> {
    if importer.mirrored && importer.mean != Some(end) {
        let what = "it takes mirror images beside the images, but does not end with the means of both";
        return Err(OnnxError::Graph(what.into()));
    }
    let steps = assemble::steps(importer, end)?;
    let spec = Spec { input, layers: steps.layers };
    let network = spec.infer()?;
    if (steps.parameters.len(), steps.buffers.len()) != (network.parameters, network.buffers) {
        return Err(OnnxError::Graph("its constants are not as many as the layers' parameters".into()));
    }
    let normalization = norms::normalization(file, options, bytes_in, input[0], &steps.affine)?;
    let metadata = |key| file.metadata.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
    let named = || metadata("classes").and_then(|text| serde_json::from_str(text).ok());
    let numbered = || (0..network.outputs).map(|i| i.to_string()).collect();
    let classes: Vec<String> = options.classes.clone().or_else(named).unwrap_or_else(numbered);
    if classes.len() != network.outputs {
        let (names, outputs) = (classes.len(), network.outputs);
        return Err(OnnxError::Graph(format!("it has {outputs} outputs for {names} names of classes")));
    }
    let known = metadata("training").and_then(|text| Training::read(&Json::parse(text.as_bytes()).ok()?).ok());
    let training = known.unwrap_or_else(|| Training { recipe: options.name.clone(), ..Training::default() });
    Ok(Model {
        spec,
        network,
        normalization,
        flip_test: importer.mirrored,
        classes,
        training,
        parameters: steps.parameters,
        buffers: steps.buffers,
    })
}

fn is_initializer(graph: &Graph, name: &str) -> bool {
    graph.initializers.iter().any(|t| t.name == name)
}

/// Channels, rows and columns of the graph's one input, and whether it takes bytes.
fn input(file: &File) -> Result<([usize; 3], bool), OnnxError> {
    let error = |what: String| Err(OnnxError::Graph(what));
    if !(7..=26).contains(&file.opset) {
        return error(format!("it uses version {} of the operators, 7 to 26 are known", file.opset));
    }
    // Old files list their initialisers among the inputs.
    let initialised: HashSet<&str> = file.graph.initializers.iter().map(|t| t.name).collect();
    let inputs: Vec<_> = file.graph.inputs.iter().filter(|i| !initialised.contains(i.name)).collect();
    let [input] = inputs[..] else {
        return error(format!("its graph has {} inputs, one is needed: the images", inputs.len()));
    };
    if input.kind != kind::FLOAT && input.kind != kind::UINT8 {
        let (name, kind) = (input.name, input.kind);
        return error(format!("its input '{name}' has the element type {kind}: float (1) or uint8 (2) is needed"));
    }
    let sizes: Vec<usize> = input.dims.iter().skip(1).filter_map(|d| usize::try_from((*d)?).ok()).collect();
    match (sizes[..].try_into(), input.dims.len()) {
        (Ok(sizes), 4) => {
            // Sizes are multiplied from here on: only what `infer` accepts can be.
            output(Shape::Image(sizes), &Layer::Flatten).map_err(OnnxError::Graph)?;
            Ok((sizes, input.kind == kind::UINT8))
        }
        _ => {
            let dims: Vec<_> = input.dims.iter().map(|d| d.map_or("?".to_string(), |d| d.to_string())).collect();
            let dims = dims.join(", ");
            error(format!(
                "its input has the shape [{dims}]: [batch, channels, rows, columns] is needed, the last three fixed"
            ))
        }
    }
}

/// The nodes that the output depends on, in the order of the file.
fn reachable<'a>(graph: &'a Graph<'a>, output: &'a str) -> impl Iterator<Item = &'a Node<'a>> {
    let makers: HashMap<&str, usize> =
        graph.nodes.iter().enumerate().flat_map(|(i, n)| n.outputs.iter().map(move |o| (*o, i))).collect();
    let mut needed = HashSet::new();
    let mut open = vec![output];
    while let Some(name) = open.pop() {
        if let Some(&i) = makers.get(name)
            && needed.insert(i)
        {
            open.extend(graph.nodes[i].inputs.iter().filter(|n| !n.is_empty()));
        }
    }
    graph.nodes.iter().enumerate().filter(move |(i, _)| needed.contains(i)).map(|(_, n)| n)
}

impl<'a> Importer<'a> {
    /// Adds a datum that depends on others; returns its number.
    fn add(&mut self, node: &Node, shape: Shape, source: Source<'a>, from: &[usize]) -> Result<usize, OnnxError> {
        self.keep(node, source.len())?;
        let dominator = from.iter().copied().reduce(|a, b| self.common(a, b)).unwrap_or(0);
        let depth = self.data[dominator].depth + 1;
        self.data.push(Datum { shape, source, node: title(node), dominator, depth });
        Ok(self.data.len() - 1)
    }

    /// Takes room for so many values.
    fn keep(&mut self, node: &Node, values: usize) -> Result<(), OnnxError> {
        let left = self.room.checked_sub(values);
        self.room = left.ok_or_else(|| refuse(node, "the layers up to it use more values than the file has"))?;
        Ok(())
    }

    /// The last datum that every way to both goes through.
    fn common(&self, mut a: usize, mut b: usize) -> usize {
        while a != b {
            let deeper = if self.data[a].depth >= self.data[b].depth { &mut a } else { &mut b };
            *deeper = self.data[*deeper].dominator;
        }
        a
    }

    /// Adds a layer behind a datum, if it fits there.
    fn layer(
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

    fn value(&self, node: &Node, i: usize) -> Result<&Value<'a>, OnnxError> {
        let name = node.inputs.get(i).copied().filter(|n| !n.is_empty());
        let name = name.ok_or_else(|| refuse(node, format!("it has no input {i}")))?;
        self.values.get(name).ok_or_else(|| refuse(node, format!("nothing before it gives its input '{name}'")))
    }

    /// An input that depends on the image and is whole.
    fn datum(&self, node: &Node, i: usize) -> Result<usize, OnnxError> {
        match self.value(node, i)? {
            Value::Datum(id) => self.whole(*id).map(|()| *id),
            _ => Err(refuse(node, format!("its input {i} must depend on the image"))),
        }
    }

    /// Refuses a datum that is a part of what was not completed.
    fn whole(&self, id: usize) -> Result<(), OnnxError> {
        let datum = &self.data[id];
        match datum.source {
            Source::Part(_) => Err(OnnxError::Node { node: datum.node.clone(), what: UNKNOWN.into() }),
            _ => Ok(()),
        }
    }

    /// A constant input.
    fn constant(&self, node: &Node, i: usize) -> Result<Constant, OnnxError> {
        match self.value(node, i)? {
            Value::Tensor(t) => Ok(Constant { dims: t.dims.clone(), values: t.floats()?.into() }),
            Value::Constant(c) => Ok(c.clone()),
            _ => Err(refuse(node, format!("its input {i} must be a constant"))),
        }
    }

    fn given(&self, node: &Node, i: usize) -> bool {
        node.inputs.get(i).is_some_and(|n| !n.is_empty())
    }

    /// A short list of integers: sizes, axes, pads.
    fn sizes(&self, node: &Node, i: usize) -> Result<Vec<Option<i64>>, OnnxError> {
        match self.value(node, i)? {
            Value::Tensor(t) => Ok(t.ints()?.into_iter().map(Some).collect()),
            Value::Sizes(sizes) => Ok(sizes.clone()),
            _ => Err(refuse(node, format!("its input {i} must be a list of sizes"))),
        }
    }

    /// As [`Importer::sizes`], all of them known.
    fn ints(&self, node: &Node, i: usize) -> Result<Vec<i64>, OnnxError> {
        let all: Option<Vec<i64>> = self.sizes(node, i)?.into_iter().collect();
        all.ok_or_else(|| refuse(node, format!("its input {i} must not depend on the batch")))
    }

    /// The axes of an operator: an attribute in older operator sets, an input in newer ones.
    fn axes(&self, node: &Node) -> Result<Option<Vec<i64>>, OnnxError> {
        match attribute(node, "axes") {
            Some(Attribute::Ints(axes)) => Ok(Some(axes.clone())),
            None if self.given(node, 1) => self.ints(node, 1).map(Some),
            _ => Ok(None),
        }
    }
}

const UNKNOWN: &str = "this use of it is none that a layer computes (see the documentation of what can be imported)";

/// The shape behind a layer; [`Spec::infer`] alone knows shapes.
fn output(input: Shape, layer: &Layer) -> Result<Shape, String> {
    let (input, layers, at) = match input {
        Shape::Image(input) => (input, vec![layer.clone(), Layer::Flatten], 0),
        Shape::Flat(n) => ([n, 1, 1], vec![Layer::Flatten, layer.clone(), Layer::Flatten], 1),
    };
    Spec { input, layers }.infer().map(|n| n.layers[at].output).map_err(|e| e.to_string())
}

fn attribute<'n>(node: &'n Node, name: &str) -> Option<&'n Attribute<'n>> {
    node.attributes.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// An integer attribute, or its default.
fn int(node: &Node, name: &str, default: i64) -> i64 {
    match attribute(node, name) {
        Some(Attribute::Int(i)) => *i,
        _ => default,
    }
}

/// A float attribute, or its default.
fn float(node: &Node, name: &str, default: f32) -> f64 {
    match attribute(node, name) {
        Some(Attribute::Float(f)) => f64::from(*f),
        _ => f64::from(default),
    }
}
