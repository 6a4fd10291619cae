//! The lines of Python that rebuild a model in PyTorch.

use crate::model::Model;
use crate::model::activation::form;
use crate::model::layers::constructor;
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
                let shape = self.shapes.iter().find(|(n, _)| *n == name).map_or(Shape::Flat(0), |(_, shape)| *shape);
                let _ = writeln!(self.text, "{indent}{},", constructor(layer, shape));
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
}
