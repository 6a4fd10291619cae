//! The lines of Python that rebuild a model in PyTorch.

use crate::model::Model;
use crate::model::activation::form;
use crate::spec::{Activation, Layer, Shape, Spec};
use std::fmt::Write;

/// Classes for layers that PyTorch does not have: the layer's type, and the text.
const CLASSES: [(&str, &str); 3] = [
    (
        "residual",
        "class Residual(nn.Module):
    def __init__(self, body, shortcut):
        super().__init__()
        self.body, self.shortcut = body, shortcut

    def forward(self, x):
        return self.body(x) + self.shortcut(x)
",
    ),
    (
        "subsample",
        "class Subsample(nn.Module):
    def __init__(self, channels, *window):
        super().__init__()
        self.average = nn.AvgPool2d(*window, divisor_override=1)
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return self.average(x) * self.weight[:, None, None] + self.bias[:, None, None]
",
    ),
    (
        "rbf",
        "class Rbf(nn.Module):
    def __init__(self, inputs, units):
        super().__init__()
        self.register_buffer(\"codes\", torch.zeros(units, inputs))

    def forward(self, x):
        return -((x[:, None] - self.codes) ** 2).sum(2)
",
    ),
];

/// A program that loads `model.safetensors` into exactly this network.
pub fn program(model: &Model) -> String {
    let mut text = String::from("import torch\nfrom safetensors.torch import load_file\nfrom torch import nn\n\n");
    let activations = Activation::ALL.into_iter().filter_map(|a| Some((a.name(), form(a).class?)));
    for (kind, class) in activations.chain(CLASSES) {
        if uses(&model.spec.layers, kind) {
            text += &format!("\n{class}\n");
        }
    }
    let mut layers = Lines { shapes: shapes(&model.spec), text: String::new() };
    layers.sequence(&model.spec.layers, "", 1);
    let _ = write!(text, "model = nn.Sequential(\n{})\n", layers.text);
    if model.network.tensors().any(|t| t.mask.is_some()) {
        text += "# Weights that a table of connections leaves out are 0.\n";
    }
    text += "model.load_state_dict(load_file(\"model.safetensors\"), strict=True)\nmodel.eval()\n";
    if model.flip_test {
        text += "# For images x, lenet answers with the mean over image and mirror image: (model(x) + model(x.flip(3))) / 2\n";
    }
    text
}

fn uses(layers: &[Layer], kind: &str) -> bool {
    layers.iter().any(|l| match l {
        Layer::Residual(r) => kind == "residual" || uses(&r.body, kind) || uses(&r.shortcut, kind),
        other => other.kind() == kind,
    })
}

/// The names and input shapes of all layers.
fn shapes(spec: &Spec) -> Vec<(String, Shape)> {
    let layers = spec.infer().map(|n| n.layers).unwrap_or_default();
    layers.into_iter().map(|l| (l.name, l.input)).collect()
}

struct Lines {
    shapes: Vec<(String, Shape)>,
    text: String,
}

impl Lines {
    fn sequence(&mut self, layers: &[Layer], prefix: &str, depth: usize) {
        let indent = "    ".repeat(depth);
        for (i, layer) in layers.iter().enumerate() {
            let name = format!("{prefix}{i}");
            let Layer::Residual(r) = layer else {
                let line = self.layer(layer, &name);
                let _ = writeln!(self.text, "{indent}{line},");
                continue;
            };
            let _ = writeln!(self.text, "{indent}Residual(");
            for (way, layers) in [("body", &r.body), ("shortcut", &r.shortcut)] {
                let _ = writeln!(self.text, "{indent}    nn.Sequential(");
                self.sequence(layers, &format!("{name}.{way}."), depth + 2);
                let _ = writeln!(self.text, "{indent}    ),");
            }
            let _ = writeln!(self.text, "{indent}),");
        }
    }

    /// The constructor of a layer that is no block.
    fn layer(&self, layer: &Layer, name: &str) -> String {
        let shape = self.shapes.iter().find(|(n, _)| n == name).map_or(Shape::Flat(0), |(_, shape)| *shape);
        let (channels, dimensions) = match shape {
            Shape::Image([c, _, _]) => (c, 2),
            Shape::Flat(n) => (n, 1),
        };
        let pool = |p: &crate::spec::Pool| format!("{}, {}, {}", pair(p.window), pair(p.stride), pair(p.padding));
        match layer {
            Layer::Conv2d(l) => {
                let mut args = format!("{channels}, {}, {}", l.channels, pair(l.window));
                for (key, value, usual) in [("stride", l.stride, [1, 1]), ("padding", l.padding, [0, 0])] {
                    if value != usual {
                        let _ = write!(args, ", {key}={}", pair(value));
                    }
                }
                if l.groups != 1 {
                    let _ = write!(args, ", groups={}", l.groups);
                }
                args += bias(l.bias);
                format!("nn.Conv2d({args})")
            }
            Layer::Dense(l) => format!("nn.Linear({channels}, {}{})", l.units, bias(l.bias)),
            Layer::AvgPool(l) => format!("nn.AvgPool2d({})", pool(l)),
            Layer::MaxPool(l) => format!("nn.MaxPool2d({})", pool(l)),
            Layer::Subsample(l) => format!("Subsample({channels}, {})", pool(l)),
            Layer::GlobalAvgPool => "nn.AdaptiveAvgPool2d(1)".into(),
            Layer::Flatten => "nn.Flatten()".into(),
            Layer::BatchNorm(l) => {
                format!("nn.BatchNorm{dimensions}d({channels}, eps={:?}, momentum={:?})", l.eps, l.momentum)
            }
            Layer::Dropout(l) => format!("nn.Dropout({:?})", l.rate),
            Layer::Rbf(l) => format!("Rbf({channels}, {})", l.units),
            Layer::Activation(a) => form(*a).torch,
            Layer::Residual(_) => String::new(),
        }
    }
}

fn bias(bias: bool) -> &'static str {
    if bias { "" } else { ", bias=False" }
}

fn pair([rows, columns]: [usize; 2]) -> String {
    if rows == columns { rows.to_string() } else { format!("({rows}, {columns})") }
}
