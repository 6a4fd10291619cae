//! What the chunks of a batch do together: forward and backward, in as many rounds as the network's normalisations ask for.

use super::chunk::{Context, Workspace};
use super::cores::{DenseRows, Left, Norm, Samples};
use super::norms::Norms;
use super::plan::{From, Program, To};
use super::ranks::Peers;
use super::tasks::{Team, lock, open};
use crate::engine::{Batch, TrainStep};
use crate::kernel::op::loss::ChunkScore;
use crate::kernel::sums::first_not_finite;
use crate::kernel::{AlignedVec, CHUNK, NoMemory};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Which chunk a worker takes: the one that it left last, as long as there is one, since what it wrote last is nearest. Who
/// works changes no bit.
struct Deck {
    /// (worker, chunk), those left last at the end.
    waiting: Mutex<Vec<(usize, usize)>>,
    left: Mutex<Vec<(usize, usize)>>,
}

impl Deck {
    fn new(chunks: usize) -> Self {
        // None has been anybody's.
        Deck { waiting: Mutex::new((0..chunks).map(|k| (usize::MAX, k)).collect()), left: Mutex::default() }
    }

    /// The worker's own chunk that was left last, or the one that another worker would come to last.
    fn take(&self, worker: usize) -> Option<usize> {
        let mut waiting = lock(&self.waiting);
        let own = waiting.iter().rposition(|&(w, _)| w == worker);
        (!waiting.is_empty()).then(|| waiting.remove(own.unwrap_or(0)).1)
    }

    fn put(&self, worker: usize, chunk: usize) {
        lock(&self.left).push((worker, chunk));
    }

    /// All chunks wait again.
    fn turn(&mut self) {
        std::mem::swap(&mut self.waiting, &mut self.left);
    }
}

/// A step of training, as its chunks see it.
pub(super) struct Step<'a> {
    pub team: &'a Team,
    pub batch: &'a Batch<'a>,
    pub how: &'a TrainStep<'a>,
    /// Of the gradients.
    pub scale: f32,
}

/// The buffers of the chunks.
pub(super) struct Chunks {
    /// Of each thread.
    pub workspaces: Vec<Mutex<Workspace>>,
    /// Of each chunk, where networks wait for the whole batch.
    kept: Vec<Mutex<Workspace>>,
    /// What each chunk has left: its own gradient, and its samples as rows.
    own: Vec<Mutex<AlignedVec>>,
    rows: Vec<Mutex<Vec<DenseRows>>>,
}

impl Chunks {
    pub fn new(program: &Program, threads: usize) -> Result<Self, NoMemory> {
        let workspaces =
            (0..threads).map(|_| Ok(Mutex::new(Workspace::of_a_thread(program)?))).collect::<Result<_, _>>()?;
        Ok(Chunks { workspaces, kept: Vec::new(), own: Vec::new(), rows: Vec::new() })
    }

    /// Makes room for what so many chunks keep and leave.
    fn reserve(&mut self, program: &Program, n: usize) -> Result<(), NoMemory> {
        if self.own.len() < n {
            let more = std::iter::repeat_n(program.slab.own_len, n - self.own.len());
            self.own.extend(AlignedVec::zeros_together(more)?.into_iter().map(Mutex::new));
        }
        while self.rows.len() < n {
            let rows = program.slab.rows.iter().map(DenseRows::new).collect::<Result<_, _>>()?;
            self.rows.push(Mutex::new(rows));
        }
        while program.rounds.len() > 1 && self.kept.len() < n {
            self.kept.push(Mutex::new(Workspace::new(program)?));
        }
        Ok(())
    }

    /// What so many chunks have left.
    pub fn left(&mut self, chunks: usize) -> (Vec<&mut [f32]>, Vec<&Vec<DenseRows>>) {
        let own = open(&mut self.own[..chunks]).map(|own| &mut own[..]).collect();
        (own, open(&mut self.rows[..chunks]).map(|rows| &*rows).collect())
    }

    /// Forward and backward of this process's chunks, and their scores. Gradients of normalisations go into the slab.
    pub fn rounds(
        &mut self,
        step: &Step,
        peers: Option<&Peers>,
        c: &Context,
        norms: &mut Norms,
        slab: &mut [f32],
    ) -> Result<Vec<Mutex<ChunkScore>>, NoMemory> {
        let all: Vec<&[u32]> = step.batch.indices.chunks(CHUNK).collect();
        let chunks = &all[peers.map_or(0..all.len(), |p| p.share(all.len()))];
        let scores: Vec<Mutex<ChunkScore>> = chunks.iter().map(|_| Mutex::default()).collect();
        let last = c.program.rounds.len() - 1;
        self.reserve(c.program, chunks.len())?;
        norms.start(c.program, c.parameters);
        let mut deck = Deck::new(chunks.len());
        for turn in 0..=2 * last {
            let context = Context { channels: norms.training(), train: Some(step.how), ..*c };
            step.team.pool.run(chunks.len(), &|worker, _| {
                let Some(k) = deck.take(worker) else { return };
                let samples = Samples { batch: step.batch, indices: chunks[k] };
                if let Some(score) = self.turn(step, &context, [worker, k, turn], samples) {
                    *lock(&scores[k]) = score;
                }
                deck.put(worker, k);
            });
            deck.turn();
            // What the round before, or the one that is gone back to, waits for.
            let Some(round) = (if turn < last { Some(turn) } else { (2 * last - turn).checked_sub(1) }) else { break };
            let stops = c.program.rounds[round].stops.iter();
            let stopped: Vec<&Norm> = stops.filter_map(|&i| c.program.stages[i].norm()).collect();
            self.join(peers, &all, &stopped, |norm, stops| {
                if turn < last {
                    norms.moments(norm, stops, c.parameters);
                } else {
                    norms.gradients(norm, stops, slab);
                }
            });
        }
        Ok(scores)
    }

    /// One chunk's part of a turn, `[worker, chunk, turn]`; its score behind the way forward.
    fn turn(&self, step: &Step, c: &Context, [worker, k, turn]: [usize; 3], s: Samples) -> Option<ChunkScore> {
        let last = c.program.rounds.len() - 1;
        let mut workspace = lock(if last > 0 { &self.kept[k] } else { &self.workspaces[worker] });
        let lend = |workspace: &mut Workspace| {
            if last > 0 {
                std::mem::swap(&mut workspace.room, &mut lock(&self.workspaces[worker]).room);
            }
        };
        lend(&mut workspace);
        if turn <= last {
            workspace.forward_round(c, s, turn);
        }
        let score = (turn == last).then(|| workspace.train_score(c, s, step.how, step.scale));
        if turn >= last {
            let (mut own, mut rows) = (lock(&self.own[k]), lock(&self.rows[k]));
            workspace.backward_round(c, s, 2 * last - turn, &mut Left { own: &mut own, rows: &mut rows });
        }
        lend(&mut workspace);
        score
    }

    /// Gives each of these normalisations what all chunks have where they stopped: (samples, values).
    fn join(
        &self,
        peers: Option<&Peers>,
        all: &[&[u32]],
        norms: &[&Norm],
        mut joined: impl FnMut(&Norm, &[(usize, &[f32])]),
    ) {
        let len = |norm: &Norm| 2 * norm.place.weight.len();
        let width: usize = norms.iter().map(|n| len(n)).sum();
        let share = peers.map_or(0..all.len(), |p| p.share(all.len()));
        let of_chunk = |k: usize| {
            let workspace = lock(&self.kept[k]);
            norms.iter().flat_map(|n| workspace.stops[n.number].to_vec()).collect::<Vec<f32>>()
        };
        let own: Vec<f32> = (0..share.len()).flat_map(of_chunk).collect();
        let gathered = peers.map(|peers| peers.gather(&own, all.len(), width)).unwrap_or(own);
        let mut at = 0;
        for norm in norms {
            let part = at..at + len(norm);
            at = part.end;
            let of_chunks = gathered.chunks_exact(width).map(|c| &c[part.clone()]);
            joined(norm, &all.iter().map(|c| c.len()).zip(of_chunks).collect::<Vec<_>>());
        }
    }
}

/// Sums the gradients of a batch into the slab.
///
/// Returns the position in the slab of the first value that is not finite.
pub(super) fn reduce(team: &Team, program: &Program, from: From, slab: &mut [f32]) -> Option<usize> {
    let bad = AtomicUsize::new(usize::MAX);
    team.each(program.slab.tasks(from, To::Slab(slab)), |task| {
        task.run(team.path, &program.stages);
        if let Some(i) = first_not_finite(task.to) {
            bad.fetch_min(task.at + i, Ordering::Relaxed);
        }
    });
    Some(bad.into_inner()).filter(|&i| i != usize::MAX)
}
