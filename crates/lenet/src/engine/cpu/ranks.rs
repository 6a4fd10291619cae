//! How several processes share the chunks of a batch, and one model comes of it, bit for bit that of a single process.
//!
//! Each rank takes chunks that follow one another and sums those of whole subtrees of the chunk tree. These sums go to all
//! ranks, which finish the tree and update alike. What depends on the whole batch besides (scores, statistics of
//! normalisations) is gathered chunk by chunk and summed as a single process does.

use super::cores::DenseRows;
use super::plan::{From, Program, To};
use super::tasks::{TASK, Team, lock, take};
use crate::kernel::op::loss::ChunkScore;
use crate::kernel::sums::sum_tree;
use crate::kernel::{AlignedVec, CHUNK};
use std::ops::Range;
use std::sync::Mutex;

/// Processes that each run an engine of the same network, with the same parameters, on the same batches.
///
/// Every rank calls the same methods in the same order; each returns when all ranks have called it.
pub trait Ranks: Send {
    /// The number of this one, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn ranks(&self) -> usize;

    /// Gathers values of all ranks at every one, in the order of the ranks: `counts[r]` values of rank `r`, those of this
    /// one being `own`. Some of them are other numbers' bits, which arrive as they are.
    fn gather(&self, own: &[f32], counts: &[usize], all: &mut [f32]);
}

/// The other ranks, and what they exchange.
pub(super) struct Peers {
    ranks: Box<dyn Ranks>,
    /// What this rank tells, then what all do: partials, one a node, and scores `[chunk][SCORE]` behind them.
    own: AlignedVec,
    all: AlignedVec,
}

impl Peers {
    pub fn new(ranks: Box<dyn Ranks>) -> Self {
        Peers { ranks, own: AlignedVec::default(), all: AlignedVec::default() }
    }

    /// In the order of the chunks, what each rank knows of its own: `width` values a chunk.
    pub fn gather(&self, own: &[f32], chunks: usize, width: usize) -> Vec<f32> {
        let mut all = vec![0.0; chunks * width];
        self.ranks.gather(own, &self.counts(chunks, width), &mut all);
        all
    }

    /// Scores of all chunks, from those of this rank's.
    pub fn scores(&self, own: &[Mutex<ChunkScore>], chunks: usize) -> Vec<Mutex<ChunkScore>> {
        let own: Vec<f32> = own.iter().flat_map(|s| write_score(&lock(s))).collect();
        self.gather(&own, chunks, SCORE).as_chunks().0.iter().map(|s| Mutex::new(read_score(s))).collect()
    }

    /// The logits of all samples, from those of this rank's.
    pub fn logits(&self, own: &[f32], samples: usize, all: &mut [f32]) {
        let outputs = all.len() / samples.max(1);
        let of = |chunks: &Range<usize>| (chunks.end * CHUNK).min(samples) - (chunks.start * CHUNK).min(samples);
        let counts: Vec<usize> = self.shares(samples.div_ceil(CHUNK)).iter().map(|s| of(s) * outputs).collect();
        self.ranks.gather(own, &counts, all);
    }

    pub fn share(&self, chunks: usize) -> Range<usize> {
        self.shares(chunks)[self.ranks.rank()].clone()
    }

    fn shares(&self, chunks: usize) -> Vec<Range<usize>> {
        shares(chunks, self.ranks.ranks())
    }

    fn counts(&self, chunks: usize, width: usize) -> Vec<usize> {
        self.shares(chunks).iter().map(|s| s.len() * width).collect()
    }

    /// Sums the gradients of this rank's chunks, and those of all ranks, and leaves the whole batch's in [`Peers::sum`]. The
    /// scores of this rank's chunks, which travel along, become those of all.
    pub fn exchange(
        &mut self,
        team: &Team,
        program: &Program,
        left: (Vec<&mut [f32]>, Vec<&Vec<DenseRows>>),
        n_chunks: usize,
        scores: &[Mutex<ChunkScore>],
    ) -> Vec<Mutex<ChunkScore>> {
        let (rank, len) = (self.ranks.rank(), program.slab.partial_len);
        let shares = self.shares(n_chunks);
        let all_nodes: Vec<Vec<Range<usize>>> = shares.iter().map(|s| nodes(s, n_chunks)).collect();
        let counts: Vec<usize> = all_nodes.iter().zip(&shares).map(|(n, s)| n.len() * len + s.len() * SCORE).collect();
        let (told, total) = (counts[rank], counts.iter().sum());
        if self.own.len() < told || self.all.len() < total {
            (self.own, self.all) = (AlignedVec::zeros(told), AlignedVec::zeros(total));
        }
        let rest = sum_nodes(team, program, left, &all_nodes[rank], &mut self.own);
        for (score, words) in scores.iter().zip(rest.as_chunks_mut().0) {
            *words = write_score(&lock(score));
        }
        let Peers { ranks, own, all } = self;
        ranks.gather(&own[..told], &counts, &mut all[..total]);
        let (mut rest, mut sums, mut all_scores) = (&mut all[..total], Vec::new(), Vec::new());
        for (nodes, share) in all_nodes.iter().zip(&shares) {
            sums.extend(nodes.iter().map(|_| take(&mut rest, len)));
            let words = take(&mut rest, share.len() * SCORE);
            all_scores.extend(words.as_chunks().0.iter().map(|s| Mutex::new(read_score(s))));
        }
        finish_tree(team, &finish(&all_nodes.concat(), n_chunks), sums, len);
        all_scores
    }

    /// The partial of all chunks.
    pub fn sum(&mut self, program: &Program) -> &mut [f32] {
        &mut self.all[..program.slab.partial_len]
    }
}

/// The partials of a rank's nodes, one after the other, and what room is left behind them.
fn sum_nodes<'a>(
    team: &Team,
    program: &Program,
    (mut own, rows): (Vec<&mut [f32]>, Vec<&Vec<DenseRows>>),
    nodes: &[Range<usize>],
    told: &'a mut [f32],
) -> &'a mut [f32] {
    let (mut rest, mut rows, mut tasks) = (told, &rows[..], Vec::new());
    for node in nodes {
        let chunks = own.drain(..node.len()).collect();
        let from = From::Chunks(chunks, rows.split_off(..node.len()).unwrap_or_default());
        tasks.extend(program.slab.tasks(from, To::Partial(take(&mut rest, program.slab.partial_len))));
    }
    team.each(tasks, |task| task.run(team.path, &program.stages));
    rest
}

/// Does what is left of the tree, block by block.
fn finish_tree(team: &Team, adds: &[(usize, usize)], mut sums: Vec<&mut [f32]>, len: usize) {
    let block = |at: usize| sums.iter_mut().map(|node| take(node, TASK.min(len - at))).collect::<Vec<_>>();
    let blocks: Vec<_> = (0..len).step_by(TASK).map(block).collect();
    team.each(blocks, |nodes| {
        for &(to, from) in adds {
            let (before, after) = nodes.split_at_mut(from);
            sum_tree(team.path, &mut [&mut *before[to], &mut *after[0]]);
        }
    });
}

/// Floats that carry a score's bits.
const SCORE: usize = 3;

fn write_score(score: &ChunkScore) -> [f32; SCORE] {
    let loss = score.loss.to_bits();
    [loss as u32, (loss >> 32) as u32, score.correct as u32].map(f32::from_bits)
}

fn read_score(words: &[f32; SCORE]) -> ChunkScore {
    let [low, high, correct] = words.map(f32::to_bits);
    ChunkScore { loss: f64::from_bits(u64::from(low) | u64::from(high) << 32), correct: correct as usize }
}

/// Which chunks each rank takes: none more than it must, and of all such ways the one with the largest subtrees.
fn shares(chunks: usize, ranks: usize) -> Vec<Range<usize>> {
    let most = |block: usize| chunks.div_ceil(block).div_ceil(ranks) * block;
    let blocks =
        std::iter::successors(Some(1), |b| Some(2 * b)).take_while(|&b| most(b) == most(1) && b <= chunks.max(1));
    let block = blocks.last().unwrap_or(1);
    let n = chunks.div_ceil(block);
    (0..ranks).map(|r| (r * n / ranks * block).min(chunks)..((r + 1) * n / ranks * block).min(chunks)).collect()
}

/// The largest subtrees of the tree over so many chunks that a range consists of.
fn nodes(range: &Range<usize>, chunks: usize) -> Vec<Range<usize>> {
    let (mut at, mut found) = (range.start, Vec::new());
    while at < range.end {
        let mut size = 1;
        while at.is_multiple_of(2 * size) && (at + 2 * size).min(chunks) <= range.end && at + size < range.end {
            size *= 2;
        }
        let end = (at + size).min(range.end);
        found.push(at..end);
        at = end;
    }
    found
}

/// The additions (to, from) that finish the tree over so many chunks, by the numbers of the nodes; the sum ends in node 0.
fn finish(nodes: &[Range<usize>], chunks: usize) -> Vec<(usize, usize)> {
    /// The node that ends up with the sum of `size` chunks from `at` on.
    fn sum(nodes: &[Range<usize>], chunks: usize, at: usize, size: usize, adds: &mut Vec<(usize, usize)>) -> usize {
        let node = nodes.partition_point(|n| n.start < at);
        let middle = at + size / 2;
        if size > 1 && nodes.get(node).is_some_and(|n| n.end < (at + size).min(chunks)) {
            let left = sum(nodes, chunks, at, size / 2, adds);
            if middle >= chunks {
                return left;
            }
            let right = sum(nodes, chunks, middle, size / 2, adds);
            adds.push((left, right));
            return left;
        }
        node
    }
    let mut adds = Vec::new();
    sum(nodes, chunks, 0, chunks.next_power_of_two(), &mut adds);
    adds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Path;

    /// Any way to cut any batch gives the sum of the tree over all chunks.
    #[test]
    fn shares_and_nodes_keep_the_tree() {
        for chunks in 1..=70usize {
            let values: Vec<f32> = (0..chunks).map(|i| 1e3f32.powi(i as i32 % 5 - 2) / (i as f32 + 0.7)).collect();
            let tree = |v: &[f32]| {
                let mut v: Vec<[f32; 1]> = v.iter().map(|&v| [v]).collect();
                sum_tree(Path::PORTABLE, &mut v.iter_mut().map(|v| &mut v[..]).collect::<Vec<_>>());
                v[0][0]
            };
            for ranks in 1..=9 {
                let shares = shares(chunks, ranks);
                assert_eq!(shares.iter().cloned().flatten().collect::<Vec<_>>(), (0..chunks).collect::<Vec<_>>());
                assert!(shares.iter().all(|s| s.len() <= chunks.div_ceil(ranks)), "{chunks} {ranks} {shares:?}");
                let nodes: Vec<Range<usize>> = shares.iter().flat_map(|s| nodes(s, chunks)).collect();
                let mut sums: Vec<f32> = nodes.iter().map(|n| tree(&values[n.clone()])).collect();
                for (to, from) in finish(&nodes, chunks) {
                    sums[to] += sums[from];
                }
                assert_eq!(sums[0].to_bits(), tree(&values).to_bits(), "{chunks} {ranks} {nodes:?}");
            }
        }
        assert_eq!(shares(16, 2), [0..8, 8..16]);
        assert_eq!(shares(16, 3), [0..4, 4..10, 10..16]);
    }
}
