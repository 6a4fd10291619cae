//! Plans: which tiles, over which outputs and positions, make up an operator.

use crate::kernel::plan::tile::{Tap, Tile, TileArgs, TileFn, Tiles};
use std::collections::HashMap;
use std::ops::Range;

/// Where packed weights come from: output `o`, row `a · inner + b` is `w[o · output + a · outer + b · step]`.
#[derive(Clone, Copy, Debug)]
pub struct Packing {
    /// Floats from one output to the next.
    pub output: usize,
    /// Floats from one outer index to the next.
    pub outer: usize,
    /// Length of the inner index.
    pub inner: usize,
    /// Floats from one inner index to the next.
    pub step: usize,
    /// Rows in all.
    pub rows: usize,
}

/// Positions one after another in input and output, all computed alike.
pub(crate) struct Segment {
    /// Floats from the row's start to the first position's input.
    pub x: usize,
    /// Floats from the row's start to the first position's output.
    pub y: usize,
    /// How many.
    pub positions: usize,
}

/// Rows that are computed alike, and what they compute.
pub(crate) trait RowClass {
    /// The segments that make up a row.
    fn segments(&self) -> Vec<Segment>;
    /// Number of taps for some positions of a segment together.
    fn n_taps(&self, segment: usize, positions: Range<usize>) -> usize;
    /// Taps for some positions of a segment together, relative to the first one's input, and what must be added to the
    /// input's offset (never making it negative).
    fn taps(&self, segment: usize, positions: Range<usize>) -> (isize, Vec<Tap>);
    /// Whether every position of a segment has the same taps, so that a vector need not hold whole positions.
    fn is_uniform(&self) -> bool;
}

struct Group {
    first: usize,
    outputs: usize,
}

struct Row {
    x: usize,
    y: usize,
    class: usize,
}

#[derive(Clone)]
struct Run {
    tile: TileFn,
    /// Vectors of the tile.
    vectors: usize,
    taps: Range<usize>,
    x: usize,
    y: usize,
    repeat: usize,
    x_step: usize,
    y_step: usize,
}

/// The same contraction several times, side by side: the groups of a convolution. Distances in floats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Copies {
    pub count: usize,
    /// Between inputs.
    pub x: usize,
    /// Between outputs.
    pub y: usize,
    /// Between weights.
    pub w: usize,
}

/// What packs some weights; those of a plan may run side by side.
pub type PackTask<'a> = Box<dyn FnMut() + Send + 'a>;

/// Floats that a task packs, about.
const PACKED: usize = 8192;

/// A planned contraction: which tiles to run for each row of outputs.
pub struct Contraction {
    groups: Vec<Group>,
    rows: Vec<Row>,
    /// By group, by class of rows.
    runs: Vec<Vec<Vec<Run>>>,
    taps: Vec<Tap>,
    packing: Packing,
    /// Outputs of a copy.
    outputs: usize,
    pitch: Pitch,
    copies: Copies,
    /// Floats that `x` and `y` must have.
    x_extent: usize,
    y_extent: usize,
}

/// Distances between positions and between outputs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pitch {
    /// Lanes of a position.
    pub lanes: usize,
    /// Floats between the inputs of neighbouring positions.
    pub x: usize,
    /// Floats between the outputs of neighbouring positions.
    pub y: usize,
    /// Floats between outputs.
    pub y_plane: usize,
}

impl Pitch {
    fn is_unit(&self) -> bool {
        self.x == self.lanes && self.y == self.lanes
    }
}

/// Splits `n` into sizes from `options` (size, cost) at the least cost; sizes larger first.
///
/// There must be an option of size 1.
pub(crate) fn partition(n: usize, options: &[(usize, f64)]) -> Vec<usize> {
    const EXACT: usize = 1024;
    let mut sizes = Vec::new();
    let mut rest = n;
    if rest > EXACT {
        // Far from the end only the best rate matters.
        let rate = |o: &&(usize, f64)| o.1 / o.0 as f64;
        if let Some(&(size, _)) = options.iter().min_by(|a, b| rate(a).total_cmp(&rate(b))) {
            let count = (rest - EXACT).div_ceil(size);
            sizes.resize(count, size);
            rest -= count * size;
        }
    }
    let mut best = vec![(0.0f64, 0usize); rest + 1];
    for i in 1..=rest {
        best[i] = options
            .iter()
            .filter(|(size, _)| *size <= i)
            .map(|&(size, cost)| (best[i - size].0 + cost, size))
            .min_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)))
            .expect("there is an option of size 1");
    }
    while rest > 0 {
        sizes.push(best[rest].1);
        rest -= best[rest].1;
    }
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes
}

/// As [`partition`], with the cost of all sizes; without an option of size 1 no sizes, at an infinite cost.
pub(crate) fn priced_partition(n: usize, options: &[(usize, f64)]) -> (Vec<usize>, f64) {
    if !options.iter().any(|o| o.0 == 1) {
        return (Vec::new(), f64::INFINITY);
    }
    let sizes = partition(n, options);
    let cost = sizes.iter().filter_map(|size| options.iter().find(|o| o.0 == *size)).map(|o| o.1).sum();
    (sizes, cost)
}

/// Cycles that a tile costs besides its taps.
fn overhead(o: usize, p: usize) -> f64 {
    12.0 + 1.5 * (o * p) as f64
}

struct Planner<'a> {
    tiles: &'static Tiles,
    classes: &'a [Box<dyn RowClass>],
    pitch: Pitch,
    vectors: usize,
    tap_lists: Vec<Tap>,
    known: HashMap<Vec<(u32, u32)>, Range<usize>>,
}

impl Planner<'_> {
    fn cost(&self, tile: &Tile, n_taps: usize) -> f64 {
        n_taps as f64 * self.tiles.machine.step(tile.o, tile.p) + overhead(tile.o, tile.p)
    }

    /// The best split of a segment for a group of `o` outputs: (tile, first vector, vectors), and its cost.
    fn split(&self, o: usize, class: &dyn RowClass, s: usize, segment: &Segment) -> (Vec<(&'static Tile, usize)>, f64) {
        let tiles: Vec<&'static Tile> = self.tiles.tiles.iter().filter(|t| t.o == o).collect();
        if class.is_uniform() && self.pitch.is_unit() {
            let n_taps = class.n_taps(s, 0..1);
            let options: Vec<_> = tiles.iter().map(|t| (t.p, self.cost(t, n_taps))).collect();
            let total = (segment.positions * self.pitch.lanes).div_ceil(self.tiles.lanes);
            let (sizes, cost) = priced_partition(total, &options);
            let find = |p: usize| *tiles.iter().find(|t| t.p == p).expect("a size is one of the options");
            return (sizes.into_iter().map(|p| (find(p), p)).collect(), cost);
        }
        // Whole positions only; the taps of a tile are those that any of its positions needs.
        let n = segment.positions;
        let mut best: Vec<(f64, Option<&'static Tile>)> = vec![(f64::INFINITY, None); n + 1];
        best[n] = (0.0, None);
        for i in (0..n).rev() {
            for tile in tiles.iter().filter(|t| t.p % self.vectors == 0 && t.p / self.vectors <= n - i) {
                let end = i + tile.p / self.vectors;
                let cost = best[end].0 + self.cost(tile, class.n_taps(s, i..end));
                if cost < best[i].0 {
                    best[i] = (cost, Some(tile));
                }
            }
        }
        let (mut chosen, mut i) = (Vec::new(), 0);
        while let (_, Some(tile)) = best[i] {
            chosen.push((tile, tile.p));
            i += tile.p / self.vectors;
        }
        (chosen, best[0].0)
    }

    fn share_taps(&mut self, taps: Vec<Tap>) -> Range<usize> {
        let key: Vec<(u32, u32)> = taps.iter().map(|t| (t.x, t.w)).collect();
        if let Some(range) = self.known.get(&key) {
            return range.clone();
        }
        let range = self.tap_lists.len()..self.tap_lists.len() + taps.len();
        self.tap_lists.extend(taps);
        self.known.insert(key, range.clone());
        range
    }

    fn runs(&mut self, o: usize, class: &dyn RowClass) -> Vec<Run> {
        let unit = self.pitch.is_unit();
        let mut runs: Vec<Run> = Vec::new();
        for (s, segment) in class.segments().iter().enumerate() {
            let (chosen, _) = self.split(o, class, s, segment);
            let mut vector = 0;
            for (tile, p) in chosen {
                let (x, y, positions) = if class.is_uniform() && unit {
                    let at = vector * self.tiles.lanes;
                    (segment.x + at, segment.y + at, 0..1)
                } else {
                    let i = vector / self.vectors;
                    let positions = i..i + p / self.vectors;
                    (segment.x + i * self.pitch.x, segment.y + i * self.pitch.y, positions)
                };
                vector += p;
                let (shift, taps) = class.taps(s, positions);
                let taps = self.share_taps(taps);
                let x = x.checked_add_signed(shift).expect("taps start within the border");
                let tile_fn = if unit { tile.unit } else { tile.pitched };
                // A tile like the one before, as far from it as that from its own predecessor, joins its run.
                if let Some(last) = runs.last_mut()
                    && last.vectors == p
                    && last.taps == taps
                    && x > last.x
                    && y > last.y
                {
                    let n = last.repeat;
                    let (dx, dy) = (x - last.x, y - last.y);
                    if n == 1 || (dx == last.x_step * n && dy == last.y_step * n) {
                        (last.x_step, last.y_step) = (dx / n, dy / n);
                        last.repeat += 1;
                        continue;
                    }
                }
                runs.push(Run { tile: tile_fn, vectors: p, taps, x, y, repeat: 1, x_step: 0, y_step: 0 });
            }
        }
        runs
    }
}

impl Contraction {
    /// Plans `outputs` outputs over rows: each `(x, y, class)` is a row's start in input and output.
    pub(crate) fn plan(
        tiles: &'static Tiles,
        outputs: usize,
        rows: Vec<(usize, usize, usize)>,
        classes: Vec<Box<dyn RowClass>>,
        pitch: Pitch,
        packing: Packing,
    ) -> Self {
        let vectors = (pitch.lanes / tiles.lanes).max(1);
        let mut planner =
            Planner { tiles, classes: &classes, pitch, vectors, tap_lists: Vec::new(), known: HashMap::new() };
        let mut uses = vec![0usize; classes.len()];
        rows.iter().for_each(|r| uses[r.2] += 1);
        let mut sizes: Vec<usize> = tiles.tiles.iter().map(|t| t.o).filter(|&o| o <= outputs).collect();
        sizes.sort_unstable();
        sizes.dedup();
        let options: Vec<(usize, f64)> = sizes
            .into_iter()
            .map(|o| {
                let class_cost = |c: &dyn RowClass| -> f64 {
                    c.segments().iter().enumerate().map(|(s, segment)| planner.split(o, c, s, segment).1).sum()
                };
                (o, planner.classes.iter().zip(&uses).map(|(c, &n)| n as f64 * class_cost(c.as_ref())).sum())
            })
            .filter(|(_, cost): &(usize, f64)| cost.is_finite())
            .collect();
        let mut groups = Vec::new();
        let mut runs: Vec<Vec<Vec<Run>>> = Vec::new();
        let mut first = 0;
        for o in partition(outputs, &options) {
            let same = groups.iter().position(|g: &Group| g.outputs == o);
            let group_runs = match same {
                Some(g) => runs[g].clone(),
                None => classes.iter().map(|c| planner.runs(o, c.as_ref())).collect(),
            };
            runs.push(group_runs);
            groups.push(Group { first, outputs: o });
            first += o;
        }
        let taps = planner.tap_lists;
        let rows = rows.into_iter().map(|(x, y, class)| Row { x, y, class }).collect();
        let copies = Copies { count: 1, x: 0, y: 0, w: 0 };
        let mut plan =
            Contraction { groups, rows, runs, taps, packing, outputs, pitch, copies, x_extent: 0, y_extent: 0 };
        plan.measure_extents(tiles);
        plan
    }

    /// The plan, run so many times side by side.
    pub(crate) fn copies(mut self, copies: Copies) -> Self {
        self.copies = copies;
        self.x_extent += (copies.count - 1) * copies.x;
        self.y_extent += (copies.count - 1) * copies.y;
        self
    }

    /// Finds the last float that any tile reads or writes.
    fn measure_extents(&mut self, tiles: &'static Tiles) {
        let width = |run: &Run, pitch: usize| {
            if self.pitch.is_unit() {
                run.vectors * tiles.lanes
            } else {
                (run.vectors / tiles.per_position() - 1) * pitch + self.pitch.lanes
            }
        };
        let (mut x_end, mut y_end) = (0, 0);
        for row in &self.rows {
            for (group, runs) in self.groups.iter().zip(&self.runs) {
                for run in &runs[row.class] {
                    let last = run.repeat - 1;
                    let tap = self.taps[run.taps.clone()].iter().map(|t| t.x as usize).max().unwrap_or(0);
                    x_end = x_end.max(row.x + run.x + last * run.x_step + tap + width(run, self.pitch.x));
                    let plane = (group.first + group.outputs - 1) * self.pitch.y_plane;
                    y_end = y_end.max(row.y + run.y + last * run.y_step + plane + width(run, self.pitch.y));
                }
            }
        }
        (self.x_extent, self.y_extent) = (x_end, y_end);
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Floats of the packed weights.
    pub fn packed_len(&self) -> usize {
        self.copies.count * self.outputs * self.packing.rows
    }

    /// Floats that the output buffer must have.
    pub fn y_extent(&self) -> usize {
        self.y_extent
    }

    /// Floats that the input buffer must have.
    pub fn x_extent(&self) -> usize {
        self.x_extent
    }

    /// Groups of outputs, each with its own block of packed weights: (first output, outputs).
    pub fn groups(&self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.copies.count)
            .flat_map(move |copy| self.groups.iter().map(move |g| (copy * self.outputs + g.first, g.outputs)))
    }

    /// What packs all weights, several small groups in one.
    pub fn pack_tasks<'a>(&'a self, w: &'a [f32], packed: &'a mut [f32]) -> Vec<PackTask<'a>> {
        let (mut rest, mut tasks) = (packed, Vec::<PackTask>::new());
        let mut groups = self.groups().map(|g| g.1).enumerate().peekable();
        while let Some(&(first, _)) = groups.peek() {
            let (mut len, mut end) = (0, first);
            while len < PACKED
                && let Some((g, outputs)) = groups.next()
            {
                len += outputs * self.packing.rows;
                end = g + 1;
            }
            let (block, tail) = std::mem::take(&mut rest).split_at_mut(len);
            rest = tail;
            tasks.push(Box::new(move || self.pack(w, first..end, block)));
        }
        tasks
    }

    /// Packs the weights of some groups, `packed` being these groups' blocks.
    pub fn pack(&self, w: &[f32], groups: Range<usize>, packed: &mut [f32]) {
        let Packing { output, outer, inner, step, rows } = self.packing;
        let mut blocks = packed;
        for i in groups {
            let (copy, group) = (i / self.groups.len(), &self.groups[i % self.groups.len()]);
            let (block, rest) = blocks.split_at_mut(group.outputs * rows);
            blocks = rest;
            let first = &w[copy * self.copies.w + group.first * output..];
            for (r, line) in block.chunks_exact_mut(group.outputs).enumerate() {
                let at = (r / inner) * outer + (r % inner) * step;
                for (o, value) in line.iter_mut().enumerate() {
                    *value = first[at + o * output];
                }
            }
        }
    }

    /// Runs some rows: `x` and `y` are whole buffers, `packed` all packed weights; a bias is added to each finished sum.
    pub fn run(&self, rows: Range<usize>, x: &[f32], packed: &[f32], bias: Option<&[f32]>, y: &mut [f32]) {
        let all = self.copies.count * self.outputs;
        assert!(bias.is_none_or(|b| b.len() >= all), "a bias for every output");
        assert!(x.len() >= self.x_extent && y.len() >= self.y_extent, "buffers as large as planned");
        assert!(packed.len() >= self.packed_len(), "all weights packed");
        let y = y.as_mut_ptr();
        for row in rows.flat_map(|r| (0..self.copies.count).map(move |copy| (r, copy))) {
            let (row, copy) = (&self.rows[row.0], row.1);
            let mut w = packed.as_ptr().wrapping_add(copy * self.outputs * self.packing.rows);
            for (group, runs) in self.groups.iter().zip(&self.runs) {
                let bias = bias.map_or(std::ptr::null(), |b| b[copy * self.outputs + group.first..].as_ptr());
                for run in &runs[row.class] {
                    let taps = &self.taps[run.taps.clone()];
                    // SAFETY: `measure_extents` took the maximum of exactly these addresses over all rows, groups and
                    // runs, `copies` added the last copy's distance, and the buffers are as long; packed weights have `packing.rows` rows of `outputs` a group
                    // and every tap names one of them; a bias has a value for every output. The plan was made for a
                    // path that was available.
                    unsafe {
                        (run.tile)(&TileArgs {
                            taps: taps.as_ptr(),
                            n_taps: taps.len(),
                            w,
                            w_stride: group.outputs,
                            bias,
                            x: x.as_ptr().add(copy * self.copies.x + row.x + run.x),
                            x_pitch: self.pitch.x,
                            y_pitch: self.pitch.y,
                            y: y.add(copy * self.copies.y + row.y + run.y + group.first * self.pitch.y_plane),
                            y_plane: self.pitch.y_plane,
                            repeat: run.repeat,
                            x_step: run.x_step,
                            y_step: run.y_step,
                        });
                    }
                }
                w = w.wrapping_add(group.outputs * self.packing.rows);
            }
        }
    }
}

/// Rows in which every position has the same taps.
pub(crate) struct Uniform {
    pub positions: usize,
    pub taps: Vec<Tap>,
}

impl RowClass for Uniform {
    fn segments(&self) -> Vec<Segment> {
        vec![Segment { x: 0, y: 0, positions: self.positions }]
    }
    fn n_taps(&self, _: usize, _: Range<usize>) -> usize {
        self.taps.len()
    }
    fn taps(&self, _: usize, _: Range<usize>) -> (isize, Vec<Tap>) {
        (0, self.taps.clone())
    }
    fn is_uniform(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_exactly_and_at_the_least_cost() {
        let options = [(1, 10.0), (4, 14.0), (6, 18.0)];
        assert_eq!(partition(10, &options), [6, 4]);
        assert_eq!(partition(12, &options), [6, 6]);
        assert_eq!(partition(5, &options), [4, 1]);
        for n in [0, 1, 7, 1023, 1024, 1025, 5000] {
            assert_eq!(partition(n, &options).iter().sum::<usize>(), n);
        }
    }
}
