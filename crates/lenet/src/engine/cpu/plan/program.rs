//! From a network to a program: stages, layouts, plans.

use super::block::{Block, blocks, borders};
use super::flow::{Flow, Part};
use super::rounds::{Round, rounds};
use super::slab::Slab;
use super::stage::{Stage, Work};
use crate::engine::cpu::cores::{self, Ask, Made, Norm, Planner};
use crate::kernel::Path;
use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::plan::frame::{Frame, chw};
use crate::spec::Network;

/// A network, planned for one path.
pub(crate) struct Program {
    pub stages: Vec<Stage>,
    /// Layouts of the values: the input, then what each stage gives.
    pub frames: Vec<Frame>,
    /// Gradients of values, where they lie elsewhere than in the values' own places: the stage whose z they are.
    pub elsewhere: Vec<Option<usize>>,
    /// Gradients of values that have to be copied into their own places first: the stage whose z they are.
    pub fetched: Vec<Option<usize>>,
    /// What to add to the gradients in the values' own places.
    pub parts: Vec<Vec<Part>>,
    /// Layouts of the extra gradients.
    pub extras: Vec<Frame>,
    /// What is done between two stops; the last one has no stops.
    pub rounds: Vec<Round>,
    /// How the gradients of a batch's chunks are summed.
    pub slab: Slab,
    /// The first stage that learns.
    pub learning: usize,
}

impl Program {
    pub fn new(network: &Network, path: Path) -> Self {
        let blocks = blocks(network, Epilogue::fits);
        let borders = borders(&blocks);
        let shapes = std::iter::once(network.input).chain(blocks.iter().map(Block::y));
        let framed = |(shape, &[rows, cols]): (_, &[usize; 2])| Frame::chunk(shape).with_border(rows, cols);
        let frames: Vec<Frame> = shapes.zip(&borders).map(framed).collect();
        let flow = Flow::new(&blocks);
        let compares = cores::compares(network);
        let mut planner = Planner { path, compares, own_len: 0, row_sums: 0, norms: 0 };
        let mut stages = Vec::with_capacity(blocks.len());
        for (i, block) in blocks.iter().enumerate() {
            let x = framed((chw(block.layer.input), &borders[block.source]));
            let y = frames[i + 1];
            let dy = if flow.elsewhere[i + 1].is_some() { Frame::chunk(block.y()) } else { y };
            let work = work(&mut planner, block, [x, y, dy], flow.needed[block.source]);
            let (dx, summed_by) = (flow.dx[i], flow.summed_by[i]);
            stages.push(Stage { source: block.source, other: block.other, work, y, dx, summed_by });
        }
        let learning = stages.iter().position(|s| s.places().next().is_some()).unwrap_or(0);
        let extras = flow.extras.iter().map(|&v| frames[v]).collect();
        let Flow { elsewhere, fetched, parts, .. } = flow;
        let (rounds, slab) = (rounds(&stages), Slab::new(&stages, planner.own_len));
        Program { stages, frames, elsewhere, fetched, parts, extras, rounds, slab, learning }
    }
}

fn work(planner: &mut Planner, block: &Block, [x, y, dy]: [Frame; 3], needed: bool) -> Work {
    let (window, stride) = block.pool.map_or(([1, 1], [1, 1]), |(_, s)| ([s.kh, s.kw], s.stride));
    let ask = Ask { layer: block.layer, x, y, dy, z: block.z(), rows: stride[0], needed };
    match cores::plan(planner, &ask) {
        Made::Core(core, z) => {
            let norm = block.norm.map(|(layer, scaling)| Norm::plan(planner, layer, scaling));
            let (activation, pool) = (block.activation, block.pool.map(|p| p.0));
            Work::Core { core, norm, epilogue: Epilogue { activation, pool, window, stride, z, y, dy } }
        }
        Made::Plain(plain) => Work::Plain(plain),
    }
}
