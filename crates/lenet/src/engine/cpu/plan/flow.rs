//! Where gradients go: what follows from the order of a network's layers alone.

use super::block::Block;
use crate::engine::cpu::cores::{Kind, Scaling};

/// Where a stage leaves the gradient of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gradient {
    /// In the value's own place: this is the last stage to need the value. What others left is added.
    Value,
    /// In a buffer of its own.
    Extra(usize),
    /// In its z, where whoever needs it finds it: a sum passes its gradient on as it is.
    Stays,
}

/// A gradient, or a part of it, that does not lie in the value's own place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Extra(usize),
    /// The z of a stage.
    Z(usize),
}

/// Where gradients go.
pub(crate) struct Flow {
    /// Whether something before a value learns.
    pub needed: Vec<bool>,
    /// For each block.
    pub dx: Vec<Option<Gradient>>,
    pub elsewhere: Vec<Option<usize>>,
    pub fetched: Vec<Option<usize>>,
    /// For each block.
    pub summed_by: Vec<Option<usize>>,
    pub parts: Vec<Vec<Part>>,
    /// The value of each extra gradient.
    pub extras: Vec<usize>,
}

impl Flow {
    pub fn new(blocks: &[Block]) -> Self {
        let values = blocks.len() + 1;
        let mut needed = vec![false; values];
        let mut consumers = vec![Vec::new(); values];
        for (i, b) in blocks.iter().enumerate() {
            let learns = b.layer.weight.is_some() || b.norm.is_some();
            needed[i + 1] = learns || needed[b.source] || b.other.is_some_and(|v| needed[v]);
            consumers[b.source].push(i);
            b.other.into_iter().for_each(|v| consumers[v].push(i));
        }
        let (mut parts, mut extras) = (vec![Vec::new(); values], Vec::new());
        let (mut dx, mut elsewhere) = (vec![None; blocks.len()], vec![None; values]);
        let (mut fetched, mut summed_by) = (vec![None; values], vec![None; blocks.len()]);
        let is_sum = |i: usize| blocks[i].kind == Kind::Add;
        for v in (0..values).filter(|&v| needed[v]) {
            for (k, &i) in consumers[v].iter().enumerate() {
                match (k, is_sum(i)) {
                    // A block's body is before its sum: only the end of a way has a sum as its first consumer.
                    (0, true) => {
                        let from = v.checked_sub(1).map(|k| &blocks[k]);
                        let is_plain = |b: &Block| b.activation.is_none() && b.pool.is_none();
                        match from.filter(|b| b.norm.is_some()) {
                            // The way back through a normalisation leaves other gradients where it finds these.
                            Some(b) if !is_plain(b) => fetched[v] = Some(i),
                            _ => elsewhere[v] = Some(i),
                        }
                        let is_batch_norm = |b: &Block| match b.norm {
                            Some((_, Scaling::Batch(_))) => true,
                            Some((_, Scaling::Learnt { .. })) | None => false,
                        };
                        if consumers[v].len() == 1 && from.is_some_and(|b| is_batch_norm(b) && is_plain(b)) {
                            summed_by[v - 1] = Some(i);
                        }
                    }
                    (0, false) => dx[i] = Some(Gradient::Value),
                    (_, true) => parts[v].push(Part::Z(i)),
                    (_, false) => {
                        dx[i] = Some(Gradient::Extra(extras.len()));
                        parts[v].push(Part::Extra(extras.len()));
                        extras.push(v);
                    }
                }
                if is_sum(i) {
                    dx[i] = Some(Gradient::Stays);
                }
            }
        }
        Flow { needed, dx, elsewhere, fetched, summed_by, parts, extras }
    }
}
