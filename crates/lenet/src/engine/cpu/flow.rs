//! What follows from the order of a network's layers alone: which of them a stage covers, where gradients go, and where
//! chunks wait.

use super::program::Stage;
use crate::kernel::pool::PoolKind;
use crate::spec::{Activation, Geometry, LayerInfo, Network, PoolShape, Shape};
use std::ops::Range;

/// Layers that one stage covers, before layouts are known.
pub(super) struct Block<'a> {
    pub layer: &'a LayerInfo,
    /// Values of blocks: 0 is the input, then what each block gives.
    pub source: usize,
    pub other: Option<usize>,
    pub norm: Option<&'a LayerInfo>,
    pub activation: Option<Activation>,
    pub pool: Option<(PoolKind, PoolShape)>,
}

pub(super) fn pooling(layer: &LayerInfo) -> Option<(PoolKind, PoolShape)> {
    match layer.geometry {
        Geometry::AvgPool(s) => Some((PoolKind::Average, s)),
        Geometry::MaxPool(s) => Some((PoolKind::Maximum, s)),
        _ => None,
    }
}

/// Groups layers into stages: a layer takes the normalisation, activation and (if it `fuses`) pooling behind it, as long
/// as nobody else needs the values between.
pub(super) fn blocks(network: &Network, fuses: fn(&PoolShape) -> bool) -> Vec<Block<'_>> {
    let layers = &network.layers;
    let mut consumers = vec![0usize; layers.len() + 1];
    layers.iter().for_each(|l| [Some(l.source), l.other].into_iter().flatten().for_each(|v| consumers[v] += 1));
    let mut blocks: Vec<Block> = Vec::new();
    // The block value that holds each layer's value.
    let mut value = vec![0; layers.len() + 1];
    let mut i = 0;
    while i < layers.len() {
        let layer = &layers[i];
        let source = value[layer.source];
        if layer.geometry == Geometry::Flatten && consumers[layer.source] == 1 {
            // The same floats in the same order.
            value[i + 1] = source;
            i += 1;
            continue;
        }
        let other = layer.other.map(|v| value[v]);
        let mut block = Block { layer, source, other, norm: None, activation: None, pool: None };
        let next =
            |i: usize| layers.get(i + 1).filter(|n| n.source == i + 1 && n.other.is_none() && consumers[i + 1] == 1);
        let weights = matches!(layer.geometry, Geometry::Conv2d(_) | Geometry::Dense(_));
        let starts =
            weights || matches!(layer.geometry, Geometry::Add | Geometry::Subsample(_) | Geometry::BatchNorm(_));
        if starts {
            let learnt = matches!(layer.geometry, Geometry::Subsample(_) | Geometry::BatchNorm(_));
            if learnt {
                block.norm = Some(layer);
            } else if let Some(norm) = next(i).filter(|n| matches!(n.geometry, Geometry::BatchNorm(_))) {
                block.norm = Some(norm);
                i += 1;
            }
            if let Some(Geometry::Activation(a)) = next(i).map(|n| n.geometry) {
                block.activation = Some(a);
                i += 1;
            }
            if !matches!(layer.geometry, Geometry::Dense(_))
                && let Some(pool) = next(i).and_then(pooling).filter(|(_, s)| fuses(s))
            {
                block.pool = Some(pool);
                i += 1;
            }
        }
        blocks.push(block);
        i += 1;
        value[i] = blocks.len();
    }
    blocks
}

/// `[c, h, w]` of a shape; features are channels.
pub(super) fn chw(shape: Shape) -> [usize; 3] {
    match shape {
        Shape::Image(chw) => chw,
        Shape::Flat(n) => [n, 1, 1],
    }
}

impl Block<'_> {
    /// Border that the stage needs around its input.
    pub fn border(&self) -> [usize; 2] {
        match self.layer.geometry {
            Geometry::Conv2d(s) => s.padding,
            _ => [0, 0],
        }
    }

    /// Shape of the z of the stage.
    pub fn z(&self) -> [usize; 3] {
        match self.layer.geometry {
            Geometry::Flatten => chw(self.layer.input),
            _ => chw(self.layer.output),
        }
    }

    /// Shape of what the stage gives.
    pub fn y(&self) -> [usize; 3] {
        self.pool.map_or(self.z(), |(_, s)| [s.c, s.oh, s.ow])
    }
}

/// Where a stage leaves the gradient of its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gradient {
    /// In the value's own place: this is the last stage to need the value. What others left is added.
    Value,
    /// In a buffer of its own.
    Extra(usize),
    /// In its z, where whoever needs it finds it: a sum passes its gradient on as it is.
    Stays,
}

/// A gradient, or a part of it, that does not lie in the value's own place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Extra(usize),
    /// The z of a stage.
    Z(usize),
}

/// Where gradients go.
pub(super) struct Flow {
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
        let is_sum = |i: usize| blocks[i].layer.geometry == Geometry::Add;
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
                        let is_batch_norm =
                            |b: &Block| b.norm.is_some_and(|n| matches!(n.geometry, Geometry::BatchNorm(_)));
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

/// Stages that a chunk goes through in one piece.
pub(super) struct Round {
    pub stages: Range<usize>,
    /// Those among them that wait for the whole batch: their values are made in the next round.
    pub stops: Vec<usize>,
}

/// As few rounds as the order of the stages allows: one ends where a value is needed that waits.
pub(super) fn rounds(stages: &[Stage]) -> Vec<Round> {
    let (mut rounds, mut begin, mut stops) = (Vec::new(), 0, Vec::new());
    // Values that some stop of this round has to give.
    let mut waits = vec![false; stages.len() + 1];
    for (i, stage) in stages.iter().enumerate() {
        if stage.sources().any(|v| waits[v]) {
            rounds.push(Round { stages: begin..i, stops: std::mem::take(&mut stops) });
            (begin, waits) = (i, vec![false; stages.len() + 1]);
        }
        if stage.waits() {
            stops.push(i);
            waits[i + 1] = true;
        }
    }
    if !stops.is_empty() {
        rounds.push(Round { stages: begin..stages.len(), stops });
        begin = stages.len();
    }
    rounds.push(Round { stages: begin..stages.len(), stops: Vec::new() });
    rounds
}

#[cfg(test)]
mod tests {
    use crate::kernel::Path;
    use crate::kernel::tile::Tiles;
    use crate::spec::{BatchNorm, Conv2d, Dense, Layer, Residual, Spec};

    #[test]
    fn body_and_shortcut_stop_together_and_their_sum_normalises_both() {
        let conv = |channels| Layer::Conv2d(Conv2d { channels, ..Conv2d::default() });
        let norm = || Layer::BatchNorm(BatchNorm::default());
        let (body, shortcut) = (vec![conv(3), norm(), conv(3), norm()], vec![conv(3), norm()]);
        let end = [Layer::Flatten, Layer::Dense(Dense { units: 2, bias: true })];
        let layers = [conv(2), norm(), Layer::Residual(Residual { body, shortcut })].into_iter().chain(end).collect();
        let spec = Spec { input: [2, 4, 4], layers };
        let network = spec.infer().expect("a network");
        let program = super::super::program::Program::new(&network, Tiles::of(Path::PORTABLE));
        let stops: Vec<_> = program.rounds.iter().map(|r| (r.stages.clone(), &r.stops[..])).collect();
        assert_eq!(stops, [(0..1, &[0][..]), (1..2, &[1]), (2..4, &[2, 3]), (4..6, &[])]);
        let summed: Vec<_> = program.stages.iter().map(|s| s.summed_by).collect();
        assert_eq!(summed, [None, None, Some(4), Some(4), None, None]);
    }
}
