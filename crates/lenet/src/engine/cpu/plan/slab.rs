//! How the gradients of a batch's chunks become the slab of its gradient, cut into what tasks sum.
//!
//! One process sums from all its chunks into the slab. A rank sums from the chunks of each subtree into a *partial*: the sum
//! of the chunks' own gradients, then what is summed from rows. What comes of the partials of all ranks is summed into
//! the slab as if it were a single chunk's.

use super::stage::Stage;
use crate::engine::cpu::cores::{Core, DenseRows, Place};
use crate::engine::cpu::tasks::Cutter;
use crate::kernel::Path;
use crate::kernel::sums::sum_tree;
use crate::spec::DenseShape;
use std::ops::Range;

/// The plan.
pub(crate) struct Slab {
    /// In the order of the slab; what is summed on the way of the chunks lies between.
    pieces: Vec<Piece>,
    /// Floats of the gradient that each chunk computes by itself.
    pub own_len: usize,
    /// Floats of a partial.
    pub partial_len: usize,
    /// Shapes of the stages that leave rows.
    pub rows: Vec<DenseShape>,
}

struct Piece {
    sum: Sum,
    /// Place in the slab.
    slab: Range<usize>,
    /// Place in the chunks' own gradients, or behind them in a partial.
    place: Range<usize>,
}

/// How a piece is summed.
#[derive(Clone, Copy)]
enum Sum {
    /// From the chunks' own gradients; the weights of a stage are finished by its core.
    Own { weights_of: Option<usize> },
    /// From the rows that a stage has left: a group of its outputs.
    Rows { stage: usize, group: usize },
}

/// What is summed.
pub(crate) enum From<'a> {
    /// Chunks' own gradients, and the rows that they have left.
    Chunks(Vec<&'a mut [f32]>, &'a [&'a Vec<DenseRows>]),
    Partial(&'a mut [f32]),
}

/// Where sums go.
pub(crate) enum To<'a> {
    Slab(&'a mut [f32]),
    Partial(&'a mut [f32]),
}

/// A piece to be summed.
pub(crate) struct Task<'a> {
    sum: Sum,
    parts: Vec<&'a mut [f32]>,
    rows: &'a [&'a Vec<DenseRows>],
    /// Whether the gradient is to be finished.
    finishes: bool,
    /// Where the sum goes, and its place in the slab.
    pub to: &'a mut [f32],
    pub at: usize,
}

impl Slab {
    pub fn new(stages: &[Stage], own_len: usize) -> Self {
        let mut slab = Slab { pieces: Vec::new(), own_len, partial_len: own_len, rows: Vec::new() };
        for (stage, s) in stages.iter().enumerate() {
            if let Some((core, place)) = s.core().and_then(|core| Some((core, core.place()?))) {
                slab.add_rows(stage, core, place);
                slab.add_own(&place.weight, &place.own_weight, Some(stage));
                slab.add_bias(place);
            }
            if let Some(norm) = s.norm() {
                slab.add_own(&norm.place.weight, &norm.place.own_weight, None);
                slab.add_bias(&norm.place);
            }
        }
        slab
    }

    fn add_own(&mut self, slab: &Range<usize>, own: &Option<Range<usize>>, weights_of: Option<usize>) {
        let piece =
            |place: &Range<usize>| Piece { sum: Sum::Own { weights_of }, slab: slab.clone(), place: place.clone() };
        self.pieces.extend(own.as_ref().map(piece));
    }

    fn add_bias(&mut self, place: &Place) {
        place.bias.iter().for_each(|bias| self.add_own(bias, &place.own_bias, None));
    }

    fn add_rows(&mut self, stage: usize, core: &dyn Core, place: &Place) {
        let Some(sums) = core.row_sums() else { return };
        self.rows.push(sums.shape);
        let mut start = place.weight.start;
        for group in 0..sums.groups() {
            let (len, at) = (sums.len(group), self.partial_len - self.own_len);
            let (slab, place) = (start..start + len, at..at + len);
            self.pieces.push(Piece { sum: Sum::Rows { stage, group }, slab, place });
            start += len;
            self.partial_len += len;
        }
    }

    /// What sums all pieces, those of the last layers first.
    pub fn tasks<'a>(&self, from: From<'a>, to: To<'a>) -> Vec<Task<'a>> {
        // Own gradients, and what a partial has behind them.
        let halves = |partial: &'a mut [f32]| {
            let (own, behind) = partial.split_at_mut(self.own_len);
            [Cutter::new(own), Cutter::new(behind)]
        };
        let (mut parts, rows) = match from {
            From::Chunks(own, rows) => ([own.into_iter().map(Cutter::new).collect(), Vec::new()], rows),
            From::Partial(partial) => (halves(partial).map(|half| vec![half]), &[][..]),
        };
        let (mut slab, mut partial) = match to {
            To::Slab(slab) => (Some(Cutter::new(slab)), None),
            To::Partial(partial) => (None, Some(halves(partial))),
        };
        let finishes = slab.is_some();
        let task = |piece: &Piece| {
            let Piece { sum, place, .. } = piece;
            let half = match sum {
                Sum::Own { .. } => 0,
                Sum::Rows { .. } => 1,
            };
            let parts = parts[half].iter_mut().map(|part| part.cut(place)).collect();
            let in_partial = partial.as_mut().map(|halves| halves[half].cut(place));
            let to = in_partial.or_else(|| Some(slab.as_mut()?.cut(&piece.slab))).unwrap_or_default();
            Task { sum: *sum, parts, rows, finishes, to, at: piece.slab.start }
        };
        let mut tasks: Vec<Task> = self.pieces.iter().map(task).collect();
        tasks.reverse();
        tasks
    }
}

impl Task<'_> {
    /// Sums the piece.
    pub fn run(&mut self, path: Path, stages: &[Stage]) {
        let core = |stage: usize| stages[stage].core();
        match (self.sum, self.parts.first()) {
            (Sum::Own { weights_of }, _) => {
                sum_tree(path, &mut self.parts);
                match weights_of.filter(|_| self.finishes).and_then(core) {
                    Some(core) => core.finish(self.parts[0], self.to),
                    None => self.to.copy_from_slice(self.parts[0]),
                }
            }
            (Sum::Rows { .. }, Some(sum)) => self.to.copy_from_slice(sum),
            (Sum::Rows { stage, group }, None) => {
                let sums = core(stage).and_then(|core| core.row_sums());
                sums.into_iter().for_each(|sums| sums.run(group, self.rows, self.to));
            }
        }
    }
}
