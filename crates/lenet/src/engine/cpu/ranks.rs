//! How several processes share the chunks of a batch, and one model comes of it, bit for bit that of a single process.
//!
//! Each rank takes chunks that follow one another and sums those of whole subtrees of the chunk tree. These sums go to all
//! ranks, which finish the tree and update alike. What depends on the whole batch besides (scores, statistics of
//! normalisations) is gathered chunk by chunk and summed as a single process does.

use super::chunk::DenseRows;
use super::program::{Core, DenseCore, Program, Work};
use super::{CpuEngine, UPDATE, lock, take};
use crate::kernel::elementwise::sum_tree;
use crate::kernel::loss::ChunkScore;
use crate::kernel::{AlignedVec, CHUNK};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

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
    /// What this rank tells, then what all do: sums `[node][partial_len]`, and scores `[chunk][SCORE]` behind them.
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

    /// The sum of all chunks' gradients, as [`partial_len`] says.
    pub fn sum(&mut self, program: &Program) -> &mut [f32] {
        &mut self.all[..partial_len(program)]
    }
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

fn dense(program: &Program) -> impl Iterator<Item = &DenseCore> {
    program.stages.iter().filter_map(|s| match &s.work {
        Work::Core { core: Core::Dense(core), .. } => Some(&**core),
        _ => None,
    })
}

/// Floats of the gradient of some chunks before it is finished: their own gradients' sum, then the dense weights'.
fn partial_len(program: &Program) -> usize {
    program.own_len + dense(program).map(|d| d.shape.outputs * d.shape.inputs).sum::<usize>()
}

/// What a task of [`CpuEngine::exchange`] sums.
enum Task<'a> {
    Own { chunks: Vec<&'a mut [f32]>, sum: &'a mut [f32] },
    Dense { core: &'a DenseCore, group: usize, chunks: Range<usize>, dw: &'a mut [f32] },
}

impl CpuEngine {
    /// The chunks of a batch that this rank takes.
    pub(super) fn share(&self, chunks: usize) -> Range<usize> {
        self.peers.as_ref().map_or(0..chunks, |p| p.share(chunks))
    }

    /// Sums the gradients of this rank's chunks, those of all ranks, and leaves the whole batch's in [`Peers::sum`]. The
    /// scores of this rank's chunks, which travel along, become those of all.
    pub(super) fn exchange(&mut self, n_chunks: usize, scores: Vec<Mutex<ChunkScore>>) -> Vec<Mutex<ChunkScore>> {
        let Some(Peers { ranks, own: partial, all }) = &mut self.peers else { return scores };
        let shares = shares(n_chunks, ranks.ranks());
        let all_nodes: Vec<Vec<Range<usize>>> = shares.iter().map(|s| nodes(s, n_chunks)).collect();
        let (share, mine) = (&shares[ranks.rank()], &all_nodes[ranks.rank()]);
        let len = partial_len(&self.program);
        let counts: Vec<usize> = all_nodes.iter().zip(&shares).map(|(n, s)| n.len() * len + s.len() * SCORE).collect();
        let (told, total) = (counts[ranks.rank()], counts.iter().sum());
        if partial.len() < told || all.len() < total {
            (*partial, *all) = (AlignedVec::zeros(told), AlignedVec::zeros(total));
        }
        let chunks = self.own[..share.len()].iter_mut();
        let mut own: Vec<&mut [f32]> =
            chunks.map(|m| &mut m.get_mut().unwrap_or_else(PoisonError::into_inner)[..]).collect();
        let rows = self.rows[..share.len()].iter_mut();
        let rows: Vec<&Vec<DenseRows>> = rows.map(|m| &*m.get_mut().unwrap_or_else(PoisonError::into_inner)).collect();
        let (mut rest, mut tasks) = (&mut partial[..], Vec::new());
        for node in mine {
            let mut chunks: Vec<&mut [f32]> = own.drain(..node.len()).collect();
            for at in (0..self.program.own_len).step_by(UPDATE) {
                let n = UPDATE.min(self.program.own_len - at);
                let sum = take(&mut rest, n);
                tasks.push(Task::Own { chunks: chunks.iter_mut().map(|c| take(c, n)).collect(), sum });
            }
            let chunks = node.start - share.start..node.end - share.start;
            for core in dense(&self.program) {
                for group in 0..core.weight.groups() {
                    let dw = take(&mut rest, core.weight.outputs(group).len() * core.shape.inputs);
                    tasks.push(Task::Dense { core, group, chunks: chunks.clone(), dw });
                }
            }
        }
        for (score, words) in scores.iter().zip(rest.as_chunks_mut().0) {
            *words = write_score(&lock(score));
        }
        let (tasks, path): (Vec<_>, _) = (tasks.into_iter().rev().map(Mutex::new).collect(), self.path);
        self.pool.run(tasks.len(), &|_, t| match &mut *lock(&tasks[t]) {
            Task::Own { chunks, sum } => {
                sum_tree(path, chunks);
                sum.copy_from_slice(chunks[0]);
            }
            Task::Dense { core, group, chunks, dw } => {
                let rows: Vec<_> = rows[chunks.clone()].iter().map(|r| r[core.number].view()).collect();
                core.weight.run(*group, &rows, dw);
            }
        });
        drop(tasks);
        ranks.gather(&partial[..told], &counts, &mut all[..total]);
        let (mut rest, mut sums, mut all_scores) = (&mut all[..total], Vec::new(), Vec::new());
        for (nodes, share) in all_nodes.iter().zip(&shares) {
            sums.extend(nodes.iter().map(|_| take(&mut rest, len)));
            let words = take(&mut rest, share.len() * SCORE);
            all_scores.extend(words.as_chunks().0.iter().map(|s| Mutex::new(read_score(s))));
        }
        // The rest of the tree, block by block.
        let adds = finish(&all_nodes.concat(), n_chunks);
        let mut blocks = Vec::new();
        for at in (0..len).step_by(UPDATE) {
            let n = UPDATE.min(len - at);
            blocks.push(Mutex::new(sums.iter_mut().map(|node| take(node, n)).collect::<Vec<_>>()));
        }
        self.pool.run(blocks.len(), &|_, t| {
            let nodes = &mut *lock(&blocks[t]);
            for &(to, from) in &adds {
                let (before, after) = nodes.split_at_mut(from);
                sum_tree(path, &mut [&mut *before[to], &mut *after[0]]);
            }
        });
        all_scores
    }
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
