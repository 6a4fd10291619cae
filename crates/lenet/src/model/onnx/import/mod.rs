//! A model from an ONNX file.
//!
//! The graph is read once, in order (`operators.rs`): each node becomes a constant, sizes, or a datum, which is the value
//! of a layer, of an elementwise function, or of a part of something larger. Then the way is walked back from the
//! logits to the image (`assemble.rs`): elementwise nodes become the activation that they compute together, whatever
//! their pattern (`function.rs`), sums of two ways become residual blocks.

mod assemble;
mod function;
mod graph;
mod norms;
mod operators;
mod options;
mod parts;

pub(in crate::model) use function::is_function;
pub(in crate::model) use graph::{Importer, Value, int, refuse};
pub(in crate::model) use operators::only;
pub use options::ImportOptions;

use super::read::{self, File, Graph, Node};
use super::{OnnxError, kind};
use crate::json::Json;
use crate::model::{Model, Training};
use crate::spec::{Layer, Shape, Spec};
use graph::{Datum, ROOM, Source, TRIALS, output};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};

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
