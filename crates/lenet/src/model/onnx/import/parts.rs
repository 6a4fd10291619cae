//! What takes several nodes: sizes that the graph computes, distances to codes, mirror images.

use super::super::OnnxError;
use super::super::read::Node;
use super::graph::{Importer, Operand, Part, Source, Value, attribute, int, refuse};
use crate::spec::{Layer, Pool, Rbf, Shape};

impl<'a> Importer<'a> {
    /// Sizes that are computed with, if that is what the node does.
    pub fn sizes_of(&mut self, node: &Node) -> Result<Option<Value<'a>>, OnnxError> {
        let sizes = match (node.op, node.inputs.first().and_then(|n| self.values.get(n))) {
            ("Shape", Some(Value::Datum(id))) => {
                let all = match self.data[*id].shape {
                    Shape::Image(chw) => chw.to_vec(),
                    Shape::Flat(n) => vec![n],
                };
                let all: Vec<_> =
                    [self.batch].into_iter().chain(all.into_iter().map(|n| i64::try_from(n).ok())).collect();
                let place = |name, default: usize| {
                    let i = int(node, name, default as i64);
                    (if i < 0 { i.saturating_add(all.len() as i64) } else { i }).clamp(0, all.len() as i64) as usize
                };
                let (start, end) = (place("start", 0), place("end", all.len()));
                all.get(start..end).unwrap_or(&[]).to_vec()
            }
            ("Gather", Some(Value::Sizes(all))) => {
                let at = |i: &i64| usize::try_from(if *i < 0 { i.saturating_add(all.len() as i64) } else { *i }).ok();
                let picked: Option<Vec<_>> = self.ints(node, 1)?.iter().map(|i| all.get(at(i)?).copied()).collect();
                picked.ok_or_else(|| refuse(node, "it asks for a dimension that is not there"))?
            }
            ("Unsqueeze" | "Squeeze" | "Cast" | "Identity" | "Reshape", Some(Value::Sizes(all))) => all.clone(),
            ("Concat", Some(Value::Sizes(_) | Value::Tensor(_))) => {
                let mut joined = Vec::new();
                for i in 0..node.inputs.len() {
                    joined.extend(self.sizes(node, i)?);
                }
                joined
            }
            _ => return Ok(None),
        };
        match sizes.len() {
            0..=64 => Ok(Some(Value::Sizes(sizes))),
            n => Err(refuse(node, format!("it makes a list of {n} sizes"))),
        }
    }

    /// The part that a node is, or the layer that it completes.
    pub fn part(&mut self, node: &Node) -> Result<Option<Value<'a>>, OnnxError> {
        let Some(Value::Datum(x)) = node.inputs.first().and_then(|n| self.values.get(n)) else { return Ok(None) };
        let x = *x;
        let shape = self.data[x].shape;
        let made = match (node.op, &self.data[x].source, shape) {
            ("Unsqueeze", Source::Layer { .. } | Source::Function { .. }, Shape::Flat(_)) => {
                (self.axes(node)?.as_deref() == Some(&[1])).then_some((Part::Row { from: x }, shape))
            }
            ("Sub", Source::Part(Part::Row { from }), Shape::Flat(n)) => {
                let (from, c) = (*from, self.constant(node, 1)?);
                let dims = if let [1, rest @ ..] = &c.dims[..]
                    && rest.len() == 2
                {
                    rest
                } else {
                    &c.dims[..]
                };
                match *dims {
                    [units, inputs] if inputs == n => {
                        Some((Part::Difference { from, codes: c.values.to_vec(), units }, shape))
                    }
                    _ => None,
                }
            }
            ("Mul" | "Pow", Source::Part(Part::Difference { from, codes, units }), _) => {
                let squared = match node.op {
                    "Mul" => node.inputs.get(1) == node.inputs.first(),
                    _ => self.constant(node, 1)?.values[..] == [2.0],
                };
                squared.then(|| (Part::Square { from: *from, codes: codes.clone(), units: *units }, shape))
            }
            ("ReduceSum", Source::Part(Part::Square { from, codes, units }), _) => {
                let features = matches!(self.axes(node)?.as_deref(), Some([2] | [-1])) && int(node, "keepdims", 1) == 0;
                features
                    .then(|| (Part::Distance { from: *from, codes: codes.clone(), units: *units }, Shape::Flat(*units)))
            }
            ("Neg", Source::Part(Part::Distance { from, codes, units }), _) => {
                let (from, codes, units) = (*from, codes.clone(), *units);
                let id = self.layer(node, from, Layer::Rbf(Rbf { units }), Vec::new(), codes)?;
                return Ok(Some(Value::Datum(id)));
            }
            ("Slice", _, Shape::Image(_)) => self.is_mirror(node)?.then_some((Part::Mirror, shape)),
            ("Concat", _, Shape::Image(_)) => {
                let second = node.inputs.get(1).and_then(|n| self.values.get(n));
                let mirror = matches!(second, Some(Value::Datum(m))
                    if matches!(self.data[*m].source, Source::Part(Part::Mirror)) && self.data[*m].dominator == x);
                if !mirror || node.inputs.len() != 2 || int(node, "axis", -1) != 0 || self.mirrored {
                    return Ok(None);
                }
                // From here on a batch holds both; nothing else changes.
                self.mirrored = true;
                return Ok(Some(Value::Datum(x)));
            }
            ("Reshape", _, Shape::Flat(n)) if self.mirrored => {
                let halves = [Some(2), Some(-1), i64::try_from(n).ok()];
                (self.sizes(node, 1)? == halves).then_some((Part::Halves { from: x }, shape))
            }
            ("ReduceMean", Source::Part(Part::Halves { from }), _) => {
                if self.axes(node)?.as_deref() != Some(&[0]) || int(node, "keepdims", 1) != 0 {
                    return Ok(None);
                }
                let from = *from;
                self.mean = Some(from);
                return Ok(Some(Value::Datum(from)));
            }
            _ => None,
        };
        let Some((part, shape)) = made else { return Ok(None) };
        self.add(node, shape, Source::Part(part), &[x]).map(|id| Some(Value::Datum(id)))
    }

    /// Whether a slice turns the order of the columns around.
    fn is_mirror(&self, node: &Node) -> Result<bool, OnnxError> {
        if attribute(node, "starts").is_some() || node.inputs.len() != 5 {
            return Ok(false);
        }
        let [start, end, axis, step] = [1, 2, 3, 4].map(|i| self.ints(node, i));
        let columns = matches!(axis?[..], [3] | [-1]);
        Ok(start? == [-1] && end?.iter().all(|e| *e < -(1 << 31)) && columns && step? == [-1])
    }

    /// LeNet-5's subsampling: an average, times one number a channel, plus one a channel.
    pub fn subsample(&mut self, node: &Node, operands: &[Operand]) -> Result<Option<usize>, OnnxError> {
        let ([Operand::Datum(x), Operand::Channels(c)] | [Operand::Channels(c), Operand::Datum(x)]) = operands else {
            return Ok(None);
        };
        let (mut at, mut gain) = (*x, 1.0);
        // A sum over the window is written as its average times its size.
        if let Source::Function { node, operands } = &self.data[at].source
            && let ("Mul", [Operand::Datum(x), Operand::Number(n)] | [Operand::Number(n), Operand::Datum(x)]) =
                (node.op, &operands[..])
        {
            (at, gain) = (*x, *n);
        }
        let Source::Layer { layer, parameters, from, .. } = &self.data[at].source else { return Ok(None) };
        let from = *from;
        match (node.op, layer) {
            ("Mul", Layer::AvgPool(pool)) => {
                let size = (pool.window[0] * pool.window[1]) as f64;
                let weights = c.iter().map(|w| (f64::from(*w) * gain / size) as f32);
                let parameters = weights.chain(c.iter().map(|_| 0.0)).collect();
                let layer = Layer::Subsample(Pool { ..pool.clone() });
                self.layer(node, from, layer, parameters, Vec::new()).map(Some)
            }
            ("Add", Layer::Subsample(pool)) if at == *x && parameters[c.len()..].iter().all(|b| *b == 0.0) => {
                let (layer, parameters) = (Layer::Subsample(pool.clone()), [&parameters[..c.len()], c].concat());
                self.layer(node, from, layer, parameters, Vec::new()).map(Some)
            }
            _ => Ok(None),
        }
    }
}
