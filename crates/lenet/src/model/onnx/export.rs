//! A model as an ONNX file.

use super::kind::{FLOAT, INT64, UINT8};
use crate::model::{Model, activation};
use crate::protobuf::Message;
use crate::spec::{Activation, LayerInfo, ParameterInfo, PoolShape};
use serde_json::json;

/// The operator set, and the version of the format that came with it.
const OPSET: i64 = 18;
const IR_VERSION: i64 = 8;

const INPUT: &str = "image";
const OUTPUT: &str = "logits";

/// An attribute of a node.
pub(in crate::model) enum Attribute<'a> {
    Int(i64),
    Float(f32),
    Ints(&'a [usize]),
}

pub(in crate::model) struct Builder<'a> {
    pub(in crate::model) model: &'a Model,
    nodes: Vec<Message>,
    initializers: Vec<Message>,
}

pub fn file(model: &Model, raw_input: bool) -> Vec<u8> {
    let mut b = Builder { model, nodes: Vec::new(), initializers: Vec::new() };
    let logits = b.graph(raw_input);
    if logits != OUTPUT {
        b.node(OUTPUT, "Identity", &[&logits], &[]);
    }
    let [c, h, w] = model.network.input;
    let input = value_info(INPUT, if raw_input { UINT8 } else { FLOAT }, &[c, h, w]);
    let output = value_info(OUTPUT, FLOAT, &[model.network.outputs]);
    let graph = b.nodes.iter().fold(Message::default(), |g, node| g.message(1, node)).bytes(2, "lenet");
    let graph = b.initializers.iter().fold(graph, |g, tensor| g.message(5, tensor));
    let graph = graph.message(11, &input).message(12, &output);
    let file = Message::default()
        .int(1, IR_VERSION)
        .bytes(2, "lenet")
        .bytes(3, env!("CARGO_PKG_VERSION"))
        .message(7, &graph)
        .message(8, &Message::default().bytes(1, "").int(2, OPSET));
    let pairs = metadata(model, raw_input);
    pairs.iter().fold(file, |f, (key, value)| f.message(14, &Message::default().bytes(1, key).bytes(2, value))).0
}

fn metadata(model: &Model, raw_input: bool) -> Vec<(&'static str, String)> {
    let n = &model.normalization;
    let takes = match raw_input {
        true => "uint8, 0 to 255",
        false => "float32, (byte / 255 - mean) / std a channel",
    };
    vec![
        ("classes", json!(model.classes).to_string()),
        ("input", takes.to_string()),
        ("mean", json!(n.mean).to_string()),
        ("std", json!(n.std).to_string()),
        ("flip_test", model.flip_test.to_string()),
        ("training", model.training.write().to_string()),
    ]
}

/// A named value with an open batch axis.
fn value_info(name: &str, kind: u64, sizes: &[usize]) -> Message {
    let batch = Message::default().message(1, &Message::default().bytes(2, "batch"));
    let dim = |shape: Message, &n: &usize| shape.message(1, &Message::default().int(1, n as i64));
    let shape = sizes.iter().fold(batch, dim);
    let tensor = Message::default().int(1, kind as i64).message(2, &shape);
    Message::default().bytes(1, name).message(2, &Message::default().message(1, &tensor))
}

fn attribute(name: &str, value: &Attribute) -> Message {
    let m = Message::default().bytes(1, name);
    match value {
        Attribute::Float(f) => m.float(2, *f).int(20, 1),
        Attribute::Int(i) => m.int(3, *i).int(20, 2),
        Attribute::Ints(list) => list.iter().fold(m, |m, &i| m.int(8, i as i64)).int(20, 7),
    }
}

impl<'a> Builder<'a> {
    /// Adds a node whose output and name are `name`.
    pub(in crate::model) fn node(
        &mut self,
        name: &str,
        op: &str,
        inputs: &[&str],
        attributes: &[(&str, Attribute)],
    ) -> String {
        let node = inputs.iter().fold(Message::default(), |n, input| n.bytes(1, input));
        let node = node.bytes(2, name).bytes(3, name).bytes(4, op);
        let node = attributes.iter().fold(node, |n, (key, value)| n.message(5, &attribute(key, value)));
        self.nodes.push(node);
        name.to_string()
    }

    fn constant(&mut self, name: &str, dims: &[usize], kind: u64, raw: &[u8]) -> String {
        let tensor = dims.iter().fold(Message::default(), |t, &d| t.int(1, d as i64));
        self.initializers.push(tensor.int(2, kind as i64).bytes(8, name).bytes(9, raw));
        name.to_string()
    }

    pub(in crate::model) fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, dims, FLOAT, &raw)
    }

    fn ints(&mut self, name: &str, values: &[i64]) -> String {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, &[values.len()], INT64, &raw)
    }

    /// A parameter under its own name.
    pub(in crate::model) fn parameter(&mut self, p: &ParameterInfo) -> String {
        self.floats(&p.name, &p.shape, &self.model.parameters[p.range.clone()])
    }

    fn graph(&mut self, raw_input: bool) -> String {
        let mut image = INPUT.to_string();
        if raw_input {
            image = self.normalization(image);
        }
        if self.model.flip_test {
            image = self.with_mirror(image);
        }
        let network = &self.model.network;
        let mut values = vec![image];
        for (i, layer) in network.layers.iter().enumerate() {
            let last = i + 1 == network.layers.len() && !self.model.flip_test;
            let name = if last { OUTPUT } else { &layer.name };
            let value = self.layer(layer, name, &values);
            values.push(value);
        }
        let logits = values.pop().unwrap_or_default();
        if self.model.flip_test { self.mean_of_halves(logits) } else { logits }
    }

    /// Bytes to inputs, with the roundings of [`crate::spec::Normalization::tables`].
    fn normalization(&mut self, image: String) -> String {
        let n = &self.model.normalization;
        let dims = [1, n.mean.len(), 1, 1];
        let white = self.floats("input.white", &[], &[255.0]);
        let mean = self.floats("input.mean", &dims, &n.mean);
        let std = self.floats("input.std", &dims, &n.std);
        let x = self.node("input.cast", "Cast", &[&image], &[("to", Attribute::Int(FLOAT as i64))]);
        let x = self.node("input.unit", "Div", &[&x, &white], &[]);
        let x = self.node("input.centred", "Sub", &[&x, &mean], &[]);
        self.node("input.normalized", "Div", &[&x, &std], &[])
    }

    /// The images, and behind them their mirror images.
    fn with_mirror(&mut self, image: String) -> String {
        let last = self.ints("mirror.start", &[-1]);
        let end = self.ints("mirror.end", &[i64::MIN]);
        let columns = self.ints("mirror.axis", &[3]);
        let mirror = self.node("mirror", "Slice", &[&image, &last, &end, &columns, &last], &[]);
        self.node("both", "Concat", &[&image, &mirror], &[("axis", Attribute::Int(0))])
    }

    fn mean_of_halves(&mut self, logits: String) -> String {
        let halves = self.ints("halves.shape", &[2, -1, self.model.network.outputs as i64]);
        let axis = self.ints("halves.axis", &[0]);
        let pair = self.node("halves", "Reshape", &[&logits, &halves], &[]);
        self.node(OUTPUT, "ReduceMean", &[&pair, &axis], &[("keepdims", Attribute::Int(0))])
    }

    /// A window; zeros of the padding count in averages.
    pub(in crate::model) fn pool(&mut self, name: &str, op: &str, x: &str, s: &PoolShape) -> String {
        let [py, px] = s.padding;
        let (window, pads) = ([s.kh, s.kw], [py, px, py, px]);
        let mut attributes = vec![
            ("kernel_shape", Attribute::Ints(&window)),
            ("pads", Attribute::Ints(&pads)),
            ("strides", Attribute::Ints(&s.stride)),
        ];
        if op == "AveragePool" {
            attributes.push(("count_include_pad", Attribute::Int(1)));
        }
        self.node(name, op, &[x], &attributes)
    }

    /// The average times (weight times window) plus bias.
    pub(in crate::model) fn subsample(&mut self, layer: &LayerInfo, name: &str, x: &str, s: &PoolShape) -> String {
        let window = (s.kh * s.kw) as f32;
        let mut y = self.pool(&format!("{name}.average"), "AveragePool", x, s);
        for (p, op) in layer.weight.iter().map(|w| (w, "Mul")).chain(layer.bias.iter().map(|b| (b, "Add"))) {
            let factor = if op == "Mul" { window } else { 1.0 };
            let values: Vec<f32> = self.model.parameters[p.range.clone()].iter().map(|v| v * factor).collect();
            let constant = self.floats(&p.name, &[s.c, 1, 1], &values);
            let out = if op == "Add" { name.to_string() } else { format!("{name}.scaled") };
            y = self.node(&out, op, &[&y, &constant], &[]);
        }
        y
    }

    pub(in crate::model) fn rbf(&mut self, layer: &LayerInfo, name: &str, x: &str) -> String {
        let Some(codes) = layer.buffers.first() else { return x.to_string() };
        let codes = self.floats(&codes.name, &codes.shape, &self.model.buffers[codes.range.clone()]);
        let one = self.ints(&format!("{name}.axis"), &[1]);
        let two = self.ints(&format!("{name}.features"), &[2]);
        let x = self.node(&format!("{name}.row"), "Unsqueeze", &[x, &one], &[]);
        let d = self.node(&format!("{name}.difference"), "Sub", &[&x, &codes], &[]);
        let d = self.node(&format!("{name}.square"), "Mul", &[&d, &d], &[]);
        let d = self.node(&format!("{name}.distance"), "ReduceSum", &[&d, &two], &[("keepdims", Attribute::Int(0))]);
        self.node(name, "Neg", &[&d], &[])
    }

    pub(in crate::model) fn activation(&mut self, activation: Activation, name: &str, x: &str) -> String {
        let form = activation::form(activation);
        let full = |part: &str| match part {
            "" => name.to_string(),
            activation::X => x.to_string(),
            _ => format!("{name}.{part}"),
        };
        for &(constant, value) in form.constants {
            self.floats(&full(constant), &[], &[value]);
        }
        let alpha: Vec<_> = form.alpha.map(|a| ("alpha", Attribute::Float(a))).into_iter().collect();
        for &(node, op, inputs) in form.nodes {
            let inputs: Vec<String> = inputs.iter().map(|input| full(input)).collect();
            self.node(&full(node), op, &texts(&inputs), if node.is_empty() { &alpha } else { &[] });
        }
        name.to_string()
    }
}

pub(in crate::model) fn texts(all: &[String]) -> Vec<&str> {
    all.iter().map(String::as_str).collect()
}
