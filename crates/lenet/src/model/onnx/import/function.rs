//! Elementwise nodes, recognised by what they compute: exporters write one function in many patterns.

use super::super::read::{Attribute, Node};
use super::graph::{Importer, Operand, Source, attribute, float};
use crate::kernel::op::activation::naive;
use crate::model::activation::candidates;
use crate::spec::{Activation, Approximate, Shape};
use std::collections::HashMap;

/// Most data between a function's value and its argument, and most dominators that are tried as its argument.
const SPAN: usize = 128;
const TRIES: usize = 16;

/// Whether an operator works on each value by itself.
pub fn is_function(op: &str) -> bool {
    evaluate(op, &[0.5, 0.5, 0.5], &Node::default()).is_some()
}

/// What some elementwise nodes compute together.
#[derive(Clone, Debug, PartialEq)]
pub enum Function {
    Identity,
    Activation(Activation),
    /// Factor and addend, one a channel.
    Affine(Vec<f64>, Vec<f64>),
}

/// Arguments: dense around 0, where functions bend, and far out.
fn arguments() -> impl Iterator<Item = f64> {
    (-60..=60).map(|i| f64::from(i) * 0.1037).chain((-30..=30).map(|i| f64::from(i) * 1.013))
}

/// The datum at or behind `from` that a function's value is one of the known functions of, and which. Activations of the
/// nearest such datum come first: one that begins with a factor would else be taken apart. Affine functions go as far
/// back as they can.
pub fn recognize(importer: &Importer, value: usize, from: usize) -> Option<(usize, Function)> {
    let mut arguments = Vec::new();
    let mut argument = value;
    while argument != from && arguments.len() < TRIES && value - argument <= SPAN {
        argument = importer.data[argument].dominator;
        arguments.push(argument);
    }
    let known = |argument: &usize| Some((*argument, uniform(importer, value, *argument)?));
    let factors = |argument: &usize| Some((*argument, affine(importer, value, *argument)?));
    arguments.iter().find_map(known).or_else(|| arguments.iter().rev().find_map(factors))
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * b.abs().max(1.0)
}

/// Whether a constant with one number a channel lies between.
fn is_by_channel(importer: &Importer, value: usize, argument: usize) -> bool {
    importer.data[argument + 1..=value].iter().any(|d| match &d.source {
        Source::Function { operands, .. } => operands.iter().any(|o| matches!(o, Operand::Channels(_))),
        _ => false,
    })
}

/// The identity or an activation.
fn uniform(importer: &Importer, value: usize, argument: usize) -> Option<Function> {
    if is_by_channel(importer, value, argument) {
        return None;
    }
    let x: Vec<f64> = arguments().chain([-1.0]).collect();
    let y = values(importer, value, argument, 0, &x)?;
    let is = |f: &dyn Fn(f64) -> f64| x.iter().zip(&y).all(|(&x, &y)| close(y, f(x)));
    if is(&|x| x) {
        return Some(Function::Identity);
    }
    candidates(y[y.len() - 1]).into_iter().find(|a| is(&|x| naive(*a, x).0)).map(Function::Activation)
}

/// A factor and an addend in every channel.
fn affine(importer: &Importer, value: usize, argument: usize) -> Option<Function> {
    let channels = match importer.data[value].shape {
        Shape::Image([c, _, _]) => c,
        Shape::Flat(n) => n,
    };
    let x: Vec<f64> = arguments().chain([0.0, 1.0]).collect();
    let (mut factors, mut addends) = (Vec::new(), Vec::new());
    let different = if is_by_channel(importer, value, argument) { channels } else { 1 };
    for channel in 0..different {
        let y = values(importer, value, argument, channel, &x)?;
        let addend = y[y.len() - 2];
        let factor = y[y.len() - 1] - addend;
        let finite = (factor as f32).is_finite() && (addend as f32).is_finite();
        if !finite || !x.iter().zip(&y).all(|(x, y)| close(*y, factor * x + addend)) {
            return None;
        }
        factors.push(factor);
        addends.push(addend);
    }
    factors.resize(channels, factors[0]);
    addends.resize(channels, addends[0]);
    Some(Function::Affine(factors, addends))
}

/// The values in one channel for these arguments, if nothing but elementwise nodes leads from `argument` to `value`.
fn values(importer: &Importer, value: usize, argument: usize, channel: usize, x: &[f64]) -> Option<Vec<f64>> {
    let cost = (value - argument) * x.len();
    importer.trials.set(importer.trials.get().checked_sub(cost)?);
    let mut known: HashMap<usize, Vec<f64>> = HashMap::from([(argument, x.to_vec())]);
    for id in argument + 1..=value {
        let Source::Function { node, operands } = &importer.data[id].source else { continue };
        let depends = |o: &Operand| !matches!(o, Operand::Datum(d) if !known.contains_key(d));
        if !operands.iter().all(depends) {
            continue;
        }
        let at = |i: usize| {
            let all: Option<Vec<f64>> = operands
                .iter()
                .map(|o| match o {
                    Operand::Datum(d) => known.get(d).map(|v| v[i]),
                    Operand::Number(n) => Some(*n),
                    Operand::Channels(c) => c.get(channel).map(|&c| f64::from(c)),
                })
                .collect();
            evaluate(node.op, &all?, node)
        };
        let y: Option<Vec<f64>> = (0..x.len()).map(at).collect();
        known.insert(id, y?);
    }
    known.remove(&value)
}

/// One elementwise operator; `None` if it is not known or has too few operands.
fn evaluate(op: &str, operands: &[f64], node: &Node) -> Option<f64> {
    let (x, second) = (*operands.first()?, operands.get(1).copied());
    let sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
    let alpha = |default| float(node, "alpha", default);
    Some(match op {
        "Add" => x + second?,
        "Sub" => x - second?,
        "Mul" => x * second?,
        "Div" => x / second?,
        "Pow" => libm::pow(x, second?),
        "Max" => operands.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        "Min" => operands.iter().copied().fold(f64::INFINITY, f64::min),
        "Neg" => -x,
        "Abs" => x.abs(),
        "Greater" => f64::from(x > second?),
        "Less" => f64::from(x < second?),
        "Where" => {
            if x != 0.0 {
                second?
            } else {
                *operands.get(2)?
            }
        }
        "Sqrt" => libm::sqrt(x),
        "Exp" => libm::exp(x),
        "Log" => libm::log(x),
        "Erf" => libm::erf(x),
        "Tanh" => libm::tanh(x),
        "Sigmoid" => sigmoid(x),
        "Relu" => x.max(0.0),
        "LeakyRelu" => {
            if x > 0.0 {
                x
            } else {
                alpha(0.01) * x
            }
        }
        "PRelu" => {
            if x > 0.0 {
                x
            } else {
                second? * x
            }
        }
        "Elu" => {
            if x > 0.0 {
                x
            } else {
                alpha(1.0) * libm::expm1(x)
            }
        }
        "Softplus" => x.max(0.0) + libm::log1p(libm::exp(-x.abs())),
        "HardSigmoid" => (alpha(0.2) * x + float(node, "beta", 0.5)).clamp(0.0, 1.0),
        "HardSwish" => x * ((x + 3.0) / 6.0).clamp(0.0, 1.0),
        "Swish" => x * sigmoid(alpha(1.0) * x),
        "Clip" => {
            let low = second.unwrap_or_else(|| float(node, "min", f32::MIN));
            let high = operands.get(2).copied().unwrap_or_else(|| float(node, "max", f32::MAX));
            x.max(low).min(high)
        }
        "Gelu" => {
            let approximate = match attribute(node, "approximate") {
                None | Some(Attribute::Text(b"none")) => Approximate::None,
                Some(Attribute::Text(b"tanh")) => Approximate::Tanh,
                Some(_) => return None,
            };
            naive(Activation::Gelu { approximate }, x).0
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Operator sets from 20 on have GELU in both forms.
    #[test]
    fn gelu_has_two_forms_and_no_third() {
        let gelu = |form: Option<&'static str>, x: f64| {
            let attributes = form.map(|f| ("approximate", Attribute::Text(f.as_bytes()))).into_iter().collect();
            evaluate("Gelu", &[x], &Node { op: "Gelu", attributes, ..Node::default() })
        };
        // x / 2 · (1 + erf(x / √2)), and x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))).
        for (x, exact, tanh) in [(1.0, 0.841_344_746, 0.841_191_991), (-2.0, -0.045_500_264, -0.045_402_306)] {
            for (form, want) in [(None, exact), (Some("none"), exact), (Some("tanh"), tanh)] {
                assert!((gelu(form, x).unwrap() - want).abs() < 1e-8, "{form:?} {x}");
            }
            assert_eq!(gelu(Some("sigmoid"), x), None);
        }
    }
}
