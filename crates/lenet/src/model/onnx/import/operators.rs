//! What each operator of the format is here.

use super::super::OnnxError;
use super::super::read::{Attribute, Node};
use super::graph::{Constant, Importer, Operand, Source, Value, attribute, float, int, refuse};
use crate::spec::{BatchNorm, Conv2d, Dense, Layer, Pool, Shape};

/// Most inputs of an elementwise function.
const OPERANDS: usize = 4;

impl<'a> Importer<'a> {
    /// Reads one node.
    pub fn node(&mut self, node: &'a Node<'a>) -> Result<(), OnnxError> {
        if !node.domain.is_empty() && node.domain != "ai.onnx" {
            return Err(refuse(node, format!("operators of the domain '{}' are not known", node.domain)));
        }
        if node.outputs.iter().skip(1).any(|o| !o.is_empty()) && !matches!(node.op, "Dropout" | "BatchNormalization") {
            return Err(refuse(node, "more than one output is not known of any operator"));
        }
        let value = match self.sizes_of(node)? {
            Some(value) => value,
            None => match self.part(node)? {
                Some(value) => value,
                None => self.operator(node)?,
            },
        };
        self.values.insert(node.outputs.first().copied().unwrap_or_default(), value);
        Ok(())
    }

    pub(in crate::model) fn rank(&self, id: usize) -> usize {
        if let Shape::Image(_) = self.data[id].shape { 4 } else { 2 }
    }

    pub(in crate::model) fn alias(&mut self, node: &Node) -> Result<Value<'a>, OnnxError> {
        if node.op == "Cast" && !matches!(int(node, "to", 0), 1 | 10 | 11 | 16) {
            return Err(refuse(node, "only casts to floating-point numbers are known"));
        }
        let training = match self.given(node, 2).then(|| self.value(node, 2)).transpose()? {
            Some(Value::Tensor(t)) => !t.is_zero(),
            Some(_) => true,
            None => false,
        };
        if node.op == "Dropout" && training {
            return Err(refuse(node, "training_mode is set: save the network in evaluation mode (model.eval())"));
        }
        Ok(self.value(node, 0)?.clone())
    }

    pub(in crate::model) fn constant_node(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, OnnxError> {
        let scalar = |v: f32| Value::Constant(Constant { dims: Vec::new(), values: [v].into() });
        match node.attributes.first() {
            Some(("value", Attribute::Tensor(t))) => Ok(Value::Tensor(t)),
            Some(("value_float", Attribute::Float(f))) if f.is_finite() => Ok(scalar(*f)),
            Some(("value_int", Attribute::Int(i))) => Ok(Value::Sizes(vec![Some(*i)])),
            Some(("value_ints", Attribute::Ints(all))) => Ok(Value::Sizes(all.iter().map(|i| Some(*i)).collect())),
            _ => Err(refuse(node, "this kind of constant is not known")),
        }
    }

    /// A matrix of constants, turned.
    pub(in crate::model) fn transposed(&mut self, node: &Node) -> Result<Value<'a>, OnnxError> {
        let c = self.constant(node, 0)?;
        let [rows, columns] = c.dims[..] else { return Err(refuse(node, "only constant matrices can be turned")) };
        if attribute(node, "perm").is_some_and(|p| !matches!(p, Attribute::Ints(p) if p[..] == [1, 0])) {
            return Err(refuse(node, "perm must be [1, 0]"));
        }
        self.keep(node, c.values.len())?;
        let values = turn(&c.values, rows, columns);
        Ok(Value::Constant(Constant { dims: vec![columns, rows], values: values.into() }))
    }

    pub(in crate::model) fn conv(&mut self, node: &Node) -> Result<usize, OnnxError> {
        only(node, &["auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"])?;
        let (x, w) = (self.datum(node, 0)?, self.constant(node, 1)?);
        let [oc, ic, kh, kw] = w.dims[..] else {
            return Err(refuse(
                node,
                format!("its weights have the shape {:?}: only 2-d convolutions are known", w.dims),
            ));
        };
        let groups = int(node, "group", 1);
        let groups = usize::try_from(groups).map_err(|_| refuse(node, format!("group is {groups}")))?;
        if let Shape::Image([c, _, _]) = self.data[x].shape
            && Some(c) != ic.checked_mul(groups)
        {
            return Err(refuse(node, format!("its weights take {ic} channels in {groups} groups, {c} come")));
        }
        if window(node, "kernel_shape")?.is_some_and(|k| k != [kh, kw]) {
            return Err(refuse(node, "kernel_shape is not that of its weights"));
        }
        let stride = window(node, "strides")?.unwrap_or([1, 1]);
        let (padding, dilation) = (padding(node)?, window(node, "dilations")?.unwrap_or([1, 1]));
        let (window, bias) = ([kh, kw], self.given(node, 2));
        let layer = Conv2d { channels: oc, window, stride, padding, dilation, groups, connections: None, bias };
        let mut parameters = w.values.to_vec();
        if bias {
            parameters.extend(self.vector(node, 2, oc)?);
        }
        self.layer(node, x, Layer::Conv2d(layer), parameters, Vec::new())
    }

    /// A constant of so many values.
    fn vector(&self, node: &Node, i: usize, n: usize) -> Result<Vec<f32>, OnnxError> {
        let c = self.constant(node, i)?;
        match c.values.len() == n {
            true => Ok(c.values.to_vec()),
            false => Err(refuse(node, format!("its input {i} has the shape {:?}, {n} values are needed", c.dims))),
        }
    }

    pub(in crate::model) fn gemm(&mut self, node: &Node) -> Result<usize, OnnxError> {
        only(node, &["alpha", "beta", "transA", "transB"])?;
        if (float(node, "alpha", 1.0), float(node, "beta", 1.0), int(node, "transA", 0)) != (1.0, 1.0, 0) {
            return Err(refuse(node, "alpha and beta must be 1, transA 0"));
        }
        let (x, w) = (self.datum(node, 0)?, self.constant(node, 1)?);
        let [a, b] = w.dims[..] else { return Err(refuse(node, "its weights are no matrix")) };
        let turned = int(node, "transB", 0) != 0;
        let (units, inputs) = if turned { (a, b) } else { (b, a) };
        self.feeds(node, x, inputs)?;
        let bias = self.given(node, 2);
        let mut parameters = if turned { w.values.to_vec() } else { turn(&w.values, a, b) };
        if bias {
            parameters.extend(self.vector(node, 2, units)?);
        }
        self.layer(node, x, Layer::Dense(Dense { units, bias }), parameters, Vec::new())
    }

    pub(in crate::model) fn matmul(&mut self, node: &Node) -> Result<usize, OnnxError> {
        let (x, w) = (self.datum(node, 0)?, self.constant(node, 1)?);
        let [inputs, units] = w.dims[..] else { return Err(refuse(node, "its second input is no matrix")) };
        self.feeds(node, x, inputs)?;
        self.layer(node, x, Layer::Dense(Dense { units, bias: false }), turn(&w.values, inputs, units), Vec::new())
    }

    fn feeds(&self, node: &Node, x: usize, inputs: usize) -> Result<(), OnnxError> {
        let shape = self.data[x].shape;
        match shape == Shape::Flat(inputs) {
            true => Ok(()),
            false => Err(refuse(node, format!("its weights take {inputs} features, {shape} come"))),
        }
    }

    pub(in crate::model) fn batch_norm(&mut self, node: &Node) -> Result<usize, OnnxError> {
        only(node, &["epsilon", "momentum", "training_mode", "spatial"])?;
        if int(node, "training_mode", 0) != 0 || int(node, "spatial", 1) != 1 {
            return Err(refuse(node, "training_mode must be 0: save the network in evaluation mode (model.eval())"));
        }
        let x = self.datum(node, 0)?;
        let channels = match self.data[x].shape {
            Shape::Image([c, _, _]) => c,
            Shape::Flat(n) => n,
        };
        let mut all = Vec::new();
        for i in 1..=4 {
            all.push(self.vector(node, i, channels)?);
        }
        let buffers = all.split_off(2).concat();
        let eps = float(node, "epsilon", 1e-5) as f32;
        if !(eps > 0.0 && eps.is_finite()) || buffers[channels..].iter().any(|v| *v < 0.0) {
            return Err(refuse(node, "epsilon must be above 0 and no variance below it"));
        }
        // The format counts what stays; 0.9 gives 0.1 and not its neighbour.
        let momentum = (((1.0 - float(node, "momentum", 0.9)) * 1e6).round() / 1e6).clamp(0.0, 1.0) as f32;
        self.layer(node, x, Layer::BatchNorm(BatchNorm { eps, momentum }), all.concat(), buffers)
    }

    pub(in crate::model) fn pool(&mut self, node: &Node) -> Result<usize, OnnxError> {
        let known = [
            "auto_pad",
            "ceil_mode",
            "count_include_pad",
            "dilations",
            "kernel_shape",
            "pads",
            "storage_order",
            "strides",
        ];
        only(node, &known)?;
        ones(node, "dilations")?;
        let x = self.datum(node, 0)?;
        let window = window(node, "kernel_shape")?.ok_or_else(|| refuse(node, "it has no kernel_shape"))?;
        let pool = Pool { window, stride: self::window(node, "strides")?.unwrap_or([1, 1]), padding: padding(node)? };
        if int(node, "ceil_mode", 0) != 0
            && let Shape::Image([_, h, w]) = self.data[x].shape
        {
            let size = [h, w];
            let over = |i: usize| {
                pool.padding[i]
                    .checked_mul(2)?
                    .checked_add(size[i])?
                    .checked_sub(pool.window[i])
                    .map(|n| n % pool.stride[i].max(1))
            };
            if (0..2).any(|i| over(i) != Some(0)) {
                return Err(refuse(node, "ceil_mode adds windows that stand out: only whole windows are known"));
            }
        }
        let layer = match node.op {
            "MaxPool" => Layer::MaxPool(pool),
            _ => {
                if pool.padding != [0, 0] && int(node, "count_include_pad", 0) != 1 {
                    return Err(refuse(node, "count_include_pad must be 1: averages are over whole windows here"));
                }
                Layer::AvgPool(pool)
            }
        };
        self.layer(node, x, layer, Vec::new(), Vec::new())
    }

    /// The mean over rows and columns.
    pub(in crate::model) fn mean(&mut self, node: &Node) -> Result<usize, OnnxError> {
        only(node, &["axes", "keepdims", "noop_with_empty_axes"])?;
        let x = self.datum(node, 0)?;
        let mut axes = self.axes(node)?.unwrap_or_default();
        axes.iter_mut().filter(|a| **a < 0).for_each(|a| *a = a.saturating_add(4));
        axes.sort_unstable();
        if axes != [2, 3] || self.rank(x) != 4 {
            return Err(refuse(node, "only means over rows and columns (axes 2 and 3) are known"));
        }
        let mean = self.layer(node, x, Layer::GlobalAvgPool, Vec::new(), Vec::new())?;
        if int(node, "keepdims", 1) != 0 { Ok(mean) } else { self.flat(node, mean) }
    }

    /// All features of an image in one row.
    pub(in crate::model) fn flat(&mut self, node: &Node, x: usize) -> Result<usize, OnnxError> {
        match self.data[x].shape {
            Shape::Flat(_) => Ok(x),
            Shape::Image(_) => self.layer(node, x, Layer::Flatten, Vec::new(), Vec::new()),
        }
    }

    pub(in crate::model) fn reshape(&mut self, node: &Node) -> Result<usize, OnnxError> {
        let x = self.datum(node, 0)?;
        let sizes = self.sizes(node, 1)?;
        let shape = self.data[x].shape;
        let given: Vec<String> = sizes.iter().map(|s| s.map_or("batch".into(), |s| s.to_string())).collect();
        // The batch keeps its size if that is said, or if all other sizes are.
        let kept = |first: Option<i64>| first.is_none() || first == Some(0) || (first.is_some() && first == self.batch);
        let fits = |size: Option<i64>, n: usize| size == i64::try_from(n).ok();
        let done = match (shape, &sizes[..]) {
            (_, [first, Some(-1)]) if kept(*first) => self.flat(node, x)?,
            (_, [first, n]) if (kept(*first) || *first == Some(-1)) && fits(*n, shape.len()) => self.flat(node, x)?,
            (Shape::Image(chw), [first, rest @ ..])
                if rest.len() == 3
                    && (kept(*first) || *first == Some(-1))
                    && rest.iter().zip(chw).all(|(s, n)| fits(*s, n)) =>
            {
                x
            }
            _ => {
                let given = given.join(", ");
                return Err(refuse(node, format!("from {shape} to [{given}]: only to one row of features is known")));
            }
        };
        Ok(done)
    }

    pub(in crate::model) fn squeeze(&mut self, node: &Node) -> Result<usize, OnnxError> {
        let x = self.datum(node, 0)?;
        let mut axes = self.axes(node)?.unwrap_or_default();
        axes.iter_mut().filter(|a| **a < 0).for_each(|a| *a = a.saturating_add(4));
        axes.sort_unstable();
        match self.data[x].shape {
            Shape::Image([_, 1, 1]) if axes == [2, 3] => self.flat(node, x),
            shape => {
                Err(refuse(node, format!("axes {axes:?} of {shape}: only single rows and columns (2 and 3) are known")))
            }
        }
    }

    /// A node that works on each value by itself.
    pub(in crate::model) fn function(&mut self, node: &'a Node<'a>) -> Result<usize, OnnxError> {
        if node.inputs.len() > OPERANDS {
            return Err(refuse(node, format!("more than {OPERANDS} inputs are not known of it")));
        }
        let mut operands = Vec::new();
        let (mut from, mut shape) = (Vec::new(), None);
        for (i, _) in node.inputs.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
            if let Value::Datum(id) = self.value(node, i)? {
                self.whole(*id)?;
                let own = self.data[*id].shape;
                if shape.is_some_and(|s| s != own) {
                    return Err(refuse(node, "its inputs have different shapes"));
                }
                shape = Some(own);
                from.push(*id);
            }
        }
        let Some(shape) = shape else { return Err(refuse(node, "none of its inputs depends on the image")) };
        for (i, _) in node.inputs.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
            operands.push(match self.value(node, i)? {
                Value::Datum(id) => Operand::Datum(*id),
                Value::Sizes(s) => match s[..] {
                    [Some(n)] => Operand::Number(n as f64),
                    _ => return Err(refuse(node, "sizes cannot be mixed with values")),
                },
                _ => {
                    let c = self.constant(node, i)?;
                    // Of one channel, too, a constant with a place for channels is one number a channel.
                    match (&c.values[..], c.channels(shape)) {
                        (_, Some(channels)) => Operand::Channels(channels),
                        ([one], _) => Operand::Number(f64::from(*one)),
                        _ => {
                            let dims = c.dims;
                            return Err(refuse(
                                node,
                                format!("a constant of the shape {dims:?} does not go with {shape}"),
                            ));
                        }
                    }
                }
            });
        }
        if let Some(id) = self.bias(node, &operands)? {
            return Ok(id);
        }
        if let Some(id) = self.subsample(node, &operands)? {
            return Ok(id);
        }
        self.add(node, shape, Source::Function { node, operands }, &from)
    }

    /// A sum with one number a channel behind a convolution or a dense layer without bias: the layer with it.
    fn bias(&mut self, node: &Node, operands: &[Operand]) -> Result<Option<usize>, OnnxError> {
        let ("Add", [Operand::Datum(x), Operand::Channels(b)] | [Operand::Channels(b), Operand::Datum(x)]) =
            (node.op, operands)
        else {
            return Ok(None);
        };
        let Source::Layer { layer, parameters, from, .. } = &self.data[*x].source else { return Ok(None) };
        let layer = match layer {
            Layer::Conv2d(l) if !l.bias => Layer::Conv2d(Conv2d { bias: true, ..l.clone() }),
            Layer::Dense(l) if !l.bias => Layer::Dense(Dense { bias: true, ..l.clone() }),
            _ => return Ok(None),
        };
        let (parameters, from) = ([&parameters[..], b].concat(), *from);
        self.layer(node, from, layer, parameters, Vec::new()).map(Some)
    }
}

fn turn(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| (0..rows).map(move |r| values[r * columns + c])).collect()
}

/// Refuses attributes that nothing here heeds.
pub(in crate::model) fn only(node: &Node, known: &[&str]) -> Result<(), OnnxError> {
    match node.attributes.iter().find(|(name, _)| !known.contains(name)) {
        Some((name, _)) => Err(refuse(node, format!("its attribute {name} is not known"))),
        None => Ok(()),
    }
}

fn ones(node: &Node, name: &str) -> Result<(), OnnxError> {
    match attribute(node, name) {
        Some(Attribute::Ints(all)) if all.iter().any(|d| *d != 1) => {
            Err(refuse(node, format!("{name} are {all:?}: only 1 is known")))
        }
        _ => Ok(()),
    }
}

/// Numbers as sizes, if all of them can be.
fn sizes(all: &[i64]) -> Option<Vec<usize>> {
    all.iter().map(|&n| usize::try_from(n).ok()).collect()
}

/// A pair of sizes.
fn window(node: &Node, name: &str) -> Result<Option<[usize; 2]>, OnnxError> {
    let Some(Attribute::Ints(all)) = attribute(node, name) else { return Ok(None) };
    match sizes(all).as_deref() {
        Some(&[rows, columns]) if rows > 0 && columns > 0 => Ok(Some([rows, columns])),
        _ => Err(refuse(node, format!("{name} is {all:?}: two sizes from 1 on are needed"))),
    }
}

fn padding(node: &Node) -> Result<[usize; 2], OnnxError> {
    let automatic = match attribute(node, "auto_pad") {
        Some(Attribute::Text(text)) => String::from_utf8_lossy(text).into_owned(),
        _ => "NOTSET".to_string(),
    };
    match (&automatic[..], attribute(node, "pads")) {
        ("VALID", _) | ("NOTSET", None) => Ok([0, 0]),
        ("NOTSET", Some(Attribute::Ints(p))) => match sizes(p).as_deref() {
            Some(&[top, left, bottom, right]) if top == bottom && left == right => Ok([top, left]),
            _ => Err(refuse(node, format!("pads are {p:?}: only the same before and behind is known"))),
        },
        (other, _) => Err(refuse(node, format!("auto_pad is {other}: pads must be written out"))),
    }
}
