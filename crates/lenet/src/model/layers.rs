//! What each layer is elsewhere: a line of PyTorch, nodes of an ONNX graph, and back from such nodes.
//!
//! A new layer has an arm in each of the three.

use super::activation::form;
use crate::spec::{Layer, Pool, Shape};
use std::fmt::Write;

/// PyTorch's constructor of a layer that is no block, for an input of this shape.
pub(super) fn constructor(layer: &Layer, input: Shape) -> String {
    let (channels, dimensions) = match input {
        Shape::Image([c, _, _]) => (c, 2),
        Shape::Flat(n) => (n, 1),
    };
    let pool = |p: &Pool| format!("{}, {}, {}", pair(p.window), pair(p.stride), pair(p.padding));
    match layer {
        Layer::Conv2d(l) => {
            let mut args = format!("{channels}, {}, {}", l.channels, pair(l.window));
            let pairs =
                [("stride", l.stride, [1, 1]), ("padding", l.padding, [0, 0]), ("dilation", l.dilation, [1, 1])];
            for (key, value, usual) in pairs {
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
        Layer::Prelu(_) => format!("nn.PReLU({channels})"),
        Layer::Dropout(l) => format!("nn.Dropout({:?})", l.rate),
        Layer::Rbf(l) => format!("Rbf({channels}, {})", l.units),
        Layer::Activation(a) => form(*a).torch,
        Layer::Residual(_) => String::new(),
    }
}

fn bias(bias: bool) -> &'static str {
    if bias { "" } else { ", bias=False" }
}

fn pair([rows, columns]: [usize; 2]) -> String {
    if rows == columns { rows.to_string() } else { format!("({rows}, {columns})") }
}

#[cfg(feature = "onnx")]
mod onnx {
    use crate::model::onnx::OnnxError;
    use crate::model::onnx::export::{Attribute, Builder, texts};
    use crate::model::onnx::import::{Importer, Value, int, is_function, only, refuse};
    use crate::model::onnx::read::Node;
    use crate::spec::{Geometry, Layer, LayerInfo, Prelu, Shape};

    /// What refusals of whole operators add.
    const KNOWN: &str = "known are Conv, Gemm, MatMul, BatchNormalization, PRelu, MaxPool, AveragePool, GlobalAveragePool, \
                         ReduceMean, Flatten, Reshape, Squeeze, Dropout, Identity, Add, and elementwise functions";

    impl Builder<'_> {
        /// Adds a layer's nodes; returns the name of its value, `name` unless it does nothing.
        pub fn layer(&mut self, layer: &LayerInfo, name: &str, values: &[String]) -> String {
            let x = values[layer.source].as_str();
            let mut inputs = vec![x.to_string()];
            match &layer.geometry {
                Geometry::Conv2d(s) => {
                    inputs.extend(layer.weight.iter().chain(&layer.bias).map(|p| self.parameter(p)));
                    let [py, px] = s.padding;
                    let (window, pads) = ([s.kh, s.kw], [py, px, py, px]);
                    let mut attributes = vec![
                        ("group", Attribute::Int(s.groups as i64)),
                        ("kernel_shape", Attribute::Ints(&window)),
                        ("pads", Attribute::Ints(&pads)),
                        ("strides", Attribute::Ints(&s.stride)),
                    ];
                    if s.dilation != [1, 1] {
                        attributes.push(("dilations", Attribute::Ints(&s.dilation)));
                    }
                    self.node(name, "Conv", &texts(&inputs), &attributes)
                }
                Geometry::Dense(_) => {
                    inputs.extend(layer.weight.iter().chain(&layer.bias).map(|p| self.parameter(p)));
                    self.node(name, "Gemm", &texts(&inputs), &[("transB", Attribute::Int(1))])
                }
                Geometry::BatchNorm(s) => {
                    inputs.extend(layer.weight.iter().chain(&layer.bias).map(|p| self.parameter(p)));
                    for b in &layer.buffers {
                        inputs.push(self.floats(&b.name, &b.shape, &self.model.buffers[b.range.clone()]));
                    }
                    let attributes =
                        [("epsilon", Attribute::Float(s.eps)), ("momentum", Attribute::Float(1.0 - s.momentum))];
                    self.node(name, "BatchNormalization", &texts(&inputs), &attributes)
                }
                Geometry::Prelu(s) => {
                    // Slopes meet channels from behind.
                    let dims = if let Shape::Image(_) = layer.output { &[s.channels, 1, 1][..] } else { &[s.channels] };
                    let slopes = layer.weight.iter();
                    inputs.extend(slopes.map(|p| self.floats(&p.name, dims, &self.model.parameters[p.range.clone()])));
                    self.node(name, "PRelu", &texts(&inputs), &[])
                }
                Geometry::MaxPool(s) => self.pool(name, "MaxPool", x, s),
                Geometry::AvgPool(s) => self.pool(name, "AveragePool", x, s),
                Geometry::Subsample(s) => self.subsample(layer, name, x, s),
                Geometry::Flatten => self.node(name, "Flatten", &[x], &[]),
                Geometry::Activation(a) => self.activation(*a, name, x),
                Geometry::Dropout(_) => x.to_string(),
                Geometry::Add => {
                    let other = values[layer.other.unwrap_or(layer.source)].as_str();
                    self.node(name, "Add", &[x, other], &[])
                }
                Geometry::Rbf(_) => self.rbf(layer, name, x),
            }
        }
    }

    impl<'a> Importer<'a> {
        /// What an operator of the format is here.
        pub fn operator(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
            let id = match node.op {
                "Constant" => return self.constant_node(node),
                "Transpose" => return self.transposed(node),
                "Identity" | "Dropout" | "Cast" => return self.alias(node),
                "Conv" => self.conv(node)?,
                "Gemm" => self.gemm(node)?,
                "MatMul" => self.matmul(node)?,
                "BatchNormalization" => self.batch_norm(node)?,
                "PRelu" => self.prelu(node)?,
                "MaxPool" | "AveragePool" => self.pool(node)?,
                "GlobalAveragePool" => {
                    let x = self.datum(node, 0)?;
                    self.layer(node, x, Layer::GlobalAvgPool, Vec::new(), Vec::new())?
                }
                "ReduceMean" => self.mean(node)?,
                "Flatten" => {
                    only(node, &["axis"])?;
                    let (x, axis) = (self.datum(node, 0)?, int(node, "axis", 1));
                    if axis != 1 && axis != 1 - self.rank(x) as i64 {
                        return Err(refuse(node, format!("axis is {axis}, only 1 keeps the batch")));
                    }
                    self.flat(node, x)?
                }
                "Reshape" => self.reshape(node)?,
                "Squeeze" => self.squeeze(node)?,
                "Softmax" | "LogSoftmax" => {
                    return Err(refuse(node, "save the network without it: probabilities follow from the logits here"));
                }
                op if is_function(op) => self.function(node)?,
                _ => return Err(refuse(node, format!("this operator is not known ({KNOWN})"))),
            };
            Ok(Value::Datum(id))
        }

        /// One slope a channel, or one for all.
        fn prelu(&mut self, node: &Node) -> Result<usize, OnnxError> {
            let (x, c) = (self.datum(node, 0)?, self.constant(node, 1)?);
            let shape = self.data[x].shape;
            let channels = match shape {
                Shape::Image([c, _, _]) => c,
                Shape::Flat(n) => n,
            };
            if channels > self.room {
                return Err(refuse(node, "it has more slopes than the file has values"));
            }
            let slopes = match (c.channels(shape), &c.values[..]) {
                (Some(slopes), _) => slopes,
                (None, &[slope]) => vec![slope; channels],
                (None, _) => {
                    let dims = c.dims;
                    return Err(refuse(node, format!("slopes of the shape {dims:?} do not go with {shape}")));
                }
            };
            self.layer(node, x, Prelu::default().into(), slopes, Vec::new())
        }
    }
}
