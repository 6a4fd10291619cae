//! From data to layers: the way back from the logits to the image.

use super::super::OnnxError;
use super::function::{Function, recognize};
use super::graph::{Importer, Operand, Source, UNKNOWN};
use crate::spec::{Activation, BatchNorm, Layer, Residual};
use std::collections::HashSet;

/// Residual blocks within residual blocks, at most; recipes allow as many.
const DEPTH: usize = 4;

/// Layers with their values, first to last.
#[derive(Default)]
pub struct Steps {
    pub layers: Vec<Layer>,
    pub parameters: Vec<f32>,
    pub buffers: Vec<f32>,
    /// What the graph does to the image before the first layer: factor and addend, one a channel.
    pub affine: Option<(Vec<f64>, Vec<f64>)>,
}

/// A layer with its values; of a block, those of its body, then of its shortcut.
struct Step {
    layer: Layer,
    parameters: Vec<f32>,
    buffers: Vec<f32>,
}

struct Walk<'w, 'a> {
    importer: &'w Importer<'a>,
    /// What became a layer already.
    used: HashSet<usize>,
    affine: Option<(Vec<f64>, Vec<f64>)>,
}

pub fn steps(importer: &Importer, end: usize) -> Result<Steps, OnnxError> {
    importer.whole(end)?;
    let mut walk = Walk { importer, used: HashSet::new(), affine: None };
    let all = walk.sequence(0, end, 0)?;
    let mut steps = Steps { affine: walk.affine, ..Steps::default() };
    for step in all {
        steps.layers.push(step.layer);
        steps.parameters.extend(step.parameters);
        steps.buffers.extend(step.buffers);
    }
    Ok(steps)
}

impl Walk<'_, '_> {
    /// The layers from one datum to another that it dominates.
    fn sequence(&mut self, from: usize, to: usize, depth: usize) -> Result<Vec<Step>, OnnxError> {
        let (mut all, mut at) = (Vec::new(), to);
        while at != from {
            let datum = &self.importer.data[at];
            let refuse = |what: &str| OnnxError::Node { node: datum.node.clone(), what: what.into() };
            if !self.used.insert(at) {
                return Err(refuse(
                    "its value goes two ways that meet again in a form that residual blocks do not have",
                ));
            }
            match &datum.source {
                Source::Layer { layer, parameters, buffers, from } => {
                    let (parameters, buffers) = (parameters.clone(), buffers.clone());
                    all.push(Step { layer: layer.clone(), parameters, buffers });
                    at = *from;
                }
                Source::Function { node, operands } => {
                    if let Some((argument, function)) = recognize(self.importer, at, from) {
                        all.extend(self.function(function, argument, depth));
                        at = argument;
                    } else if let ("Add", [Operand::Datum(a), Operand::Datum(b)]) = (node.op, &operands[..]) {
                        if depth == DEPTH {
                            return Err(refuse(&format!("more than {DEPTH} residual blocks in each other")));
                        }
                        all.push(self.block(datum.dominator, *a, *b, depth)?);
                        at = datum.dominator;
                    } else {
                        return Err(refuse(&activations()));
                    }
                }
                Source::Part(_) | Source::Input => return Err(refuse(UNKNOWN)),
            }
        }
        all.reverse();
        Ok(all)
    }

    /// The sum of two ways from one datum; the longer way is the body.
    fn block(&mut self, from: usize, a: usize, b: usize, depth: usize) -> Result<Step, OnnxError> {
        let (mut body, mut shortcut) = (self.sequence(from, a, depth + 1)?, self.sequence(from, b, depth + 1)?);
        if shortcut.len() > body.len() {
            std::mem::swap(&mut body, &mut shortcut);
        }
        let both = || body.iter().chain(&shortcut);
        let parameters = both().flat_map(|s| s.parameters.iter().copied()).collect();
        let buffers = both().flat_map(|s| s.buffers.iter().copied()).collect();
        let layers = |steps: &[Step]| steps.iter().map(|s| s.layer.clone()).collect();
        let layer = Layer::Residual(Residual { body: layers(&body), shortcut: layers(&shortcut) });
        Ok(Step { layer, parameters, buffers })
    }

    fn function(&mut self, function: Function, argument: usize, depth: usize) -> Option<Step> {
        match function {
            Function::Identity => None,
            Function::Activation(a) => {
                Some(Step { layer: Layer::Activation(a), parameters: Vec::new(), buffers: Vec::new() })
            }
            Function::Affine(factors, addends) if argument == 0 && depth == 0 => {
                self.affine = Some((factors, addends));
                None
            }
            // A normalisation by the mean 0 and the variance 1.
            Function::Affine(factors, addends) => {
                let (norm, n) = (BatchNorm::default(), factors.len());
                let parameters = factors.into_iter().chain(addends).map(|v| v as f32).collect();
                let buffers = [vec![0.0; n], vec![1.0 - norm.eps; n]].concat();
                Some(Step { layer: Layer::BatchNorm(norm), parameters, buffers })
            }
        }
    }
}

fn activations() -> String {
    let names = Activation::ALL.map(Activation::name).join(", ");
    format!("with the elementwise nodes before it, it computes none of the activations known here ({names})")
}
