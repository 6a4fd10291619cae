//! Which layers a stage covers, before layouts are known.

use crate::engine::cpu::cores::{Kind, Scaling, kind};
use crate::kernel::op::activation;
use crate::kernel::op::pool::PoolKind;
use crate::kernel::plan::frame::chw;
use crate::spec::{Activation, LayerInfo, Network, PoolShape};

/// Layers that one stage covers.
pub(crate) struct Block<'a> {
    pub layer: &'a LayerInfo,
    pub kind: Kind,
    /// Values of blocks: 0 is the input, then what each block gives.
    pub source: usize,
    pub other: Option<usize>,
    pub norm: Option<(&'a LayerInfo, Scaling)>,
    pub activation: Option<Activation>,
    pub pool: Option<(PoolKind, PoolShape)>,
}

/// Groups layers into stages: a layer takes the normalisation, activation and (if it `fuses`) pooling behind it, as long
/// as nobody else needs the values between.
pub(crate) fn blocks(network: &Network, fuses: fn(&PoolShape) -> bool) -> Vec<Block<'_>> {
    let layers = &network.layers;
    let mut consumers = vec![0usize; layers.len() + 1];
    layers.iter().for_each(|l| [Some(l.source), l.other].into_iter().flatten().for_each(|v| consumers[v] += 1));
    // What alone takes the value of a layer.
    let next = |i: usize| {
        let alone = |n: &&LayerInfo| n.source == i + 1 && n.other.is_none() && consumers[i + 1] == 1;
        layers.get(i + 1).filter(alone).map(|n| (n, kind(&n.geometry)))
    };
    let mut blocks: Vec<Block> = Vec::new();
    // The block value that holds each layer's value.
    let mut value = vec![0; layers.len() + 1];
    let mut i = 0;
    while i < layers.len() {
        let (layer, kind) = (&layers[i], kind(&layers[i].geometry));
        let source = value[layer.source];
        if kind == Kind::Flatten && consumers[layer.source] == 1 {
            // The same floats in the same order.
            value[i + 1] = source;
            i += 1;
            continue;
        }
        let other = layer.other.map(|v| value[v]);
        let mut block = Block { layer, kind, source, other, norm: None, activation: None, pool: None };
        block.begin(fuses);
        if kind.makes_preactivations() {
            while let Some((layer, kind)) = next(i)
                && block.takes(layer, kind, fuses)
            {
                i += 1;
            }
        }
        blocks.push(block);
        i += 1;
        value[i] = blocks.len();
    }
    blocks
}

impl<'a> Block<'a> {
    /// Takes what its first layer is itself, if that is something that follows others elsewhere.
    fn begin(&mut self, fuses: fn(&PoolShape) -> bool) {
        self.norm = self.kind.scaling().map(|scaling| (self.layer, scaling));
        match self.kind {
            Kind::Activation(a) => self.activation = Some(a),
            Kind::Pool(kind, s) if fuses(&s) => self.pool = Some((kind, s)),
            Kind::Pool(..) | Kind::Flatten | Kind::Dropout | Kind::Alone => {}
            Kind::Conv(_) | Kind::Dense(_) | Kind::Add | Kind::Subsample(_) | Kind::BatchNorm(_) => {}
        }
    }

    /// Takes the next layer, if it is one of those that follow, in their order.
    fn takes(&mut self, layer: &'a LayerInfo, kind: Kind, fuses: fn(&PoolShape) -> bool) -> bool {
        match kind {
            Kind::BatchNorm(shape) if self.norm.is_none() && self.activation.is_none() && self.pool.is_none() => {
                self.norm = Some((layer, Scaling::Batch(shape)));
                true
            }
            Kind::Activation(a) if self.activation.is_none() && self.pool.is_none() => {
                self.activation = Some(a);
                true
            }
            Kind::Pool(kind, s) if self.pool.is_none() && fuses(&s) && self.pools(kind) => {
                self.pool = Some((kind, s));
                true
            }
            Kind::BatchNorm(_) | Kind::Activation(_) | Kind::Pool(..) => false,
            Kind::Conv(_) | Kind::Dense(_) | Kind::Add | Kind::Subsample(_) => false,
            Kind::Flatten | Kind::Dropout | Kind::Alone => false,
        }
    }

    /// Whether a pooling can be fused: behind a normalisation maxima are taken before the activation.
    fn pools(&self, kind: PoolKind) -> bool {
        let peaks_at_an_end = |a| activation::facts(a).course.peaks_at_an_end();
        match kind {
            PoolKind::Average => true,
            PoolKind::Maximum => self.norm.is_none() || self.activation.is_none_or(peaks_at_an_end),
        }
    }

    /// Shape of the z of the stage.
    pub fn z(&self) -> [usize; 3] {
        match self.kind {
            Kind::Flatten => chw(self.layer.input),
            Kind::Pool(..) if self.pool.is_some() => chw(self.layer.input),
            Kind::Pool(..) | Kind::Activation(_) | Kind::Dropout | Kind::Alone => chw(self.layer.output),
            Kind::Conv(_) | Kind::Dense(_) | Kind::Add => chw(self.layer.output),
            Kind::Subsample(_) | Kind::BatchNorm(_) => chw(self.layer.output),
        }
    }

    /// Shape of what the stage gives.
    pub fn y(&self) -> [usize; 3] {
        self.pool.map_or(self.z(), |(_, s)| [s.c, s.oh, s.ow])
    }
}

/// Borders that the values need, by those who take them.
pub(crate) fn borders(blocks: &[Block]) -> Vec<[usize; 2]> {
    let mut borders = vec![[0, 0]; blocks.len() + 1];
    for block in blocks {
        let (border, needed) = (&mut borders[block.source], block.kind.border());
        *border = [border[0].max(needed[0]), border[1].max(needed[1])];
    }
    borders
}
