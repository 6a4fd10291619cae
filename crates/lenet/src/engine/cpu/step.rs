//! What the chunks of a batch do together: rounds, sums of gradients, packing of weights.

use super::chunk::{Context, DenseRows, Samples, Workspace};
use super::convolution::Convolution;
use super::program::{Core, Norm, Work};
use super::{CpuEngine, UPDATE, lock, take};
use crate::engine::{Batch, TrainStep};
use crate::kernel::contract::Contraction;
use crate::kernel::loss::ChunkScore;
use crate::kernel::winograd::Winograd;
use crate::kernel::winograd::square::Square;
use crate::kernel::{CHUNK, NoMemory, elementwise};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

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

impl CpuEngine {
    /// Sums the gradients of all chunks: dense weights from rows, all else from the chunks' own gradients.
    ///
    /// Returns the position in the slab of the first value that is not finite.
    pub(super) fn reduce(&mut self, n_chunks: usize) -> Option<usize> {
        // Where ranks have exchanged their sums, there is one gradient as of a single chunk, dense weights included.
        let summed = self.peers.as_mut().map(|p| p.sum(&self.program).split_at_mut(self.program.own_len));
        let (mut own, mut ready): (Vec<&mut [f32]>, Option<&mut [f32]>) = match summed {
            Some((own, dense)) => (vec![own], Some(dense)),
            None => {
                let own = self.own[..n_chunks].iter_mut();
                (own.map(|m| &mut m.get_mut().unwrap_or_else(PoisonError::into_inner)[..]).collect(), None)
            }
        };
        let rows: Vec<&Vec<DenseRows>> =
            self.rows[..n_chunks].iter_mut().map(|m| &*m.get_mut().unwrap_or_else(PoisonError::into_inner)).collect();
        // Cut the slab, and the chunks' own gradients, into what each task writes.
        enum Task<'a> {
            /// Of a convolution that makes gradients of its sums, or of what needs nothing more.
            Own {
                chunks: Vec<&'a mut [f32]>,
                sum: &'a mut [f32],
                at: usize,
                kernel: Option<&'a Convolution>,
            },
            Dense {
                stage: usize,
                group: usize,
                dw: &'a mut [f32],
                at: usize,
                ready: Option<&'a [f32]>,
            },
        }
        let mut tasks = Vec::new();
        let (mut rest, mut at, mut own_at) = (&mut self.gradients[..], 0, 0);
        for (stage_index, stage) in self.program.stages.iter().enumerate() {
            for place in stage.places() {
                let mut cut = |len: usize| {
                    at += len;
                    (take(&mut rest, len), at - len)
                };
                // Own gradients lie in the same order.
                let mut cut_own = |range: &Range<usize>| -> Vec<&mut [f32]> {
                    let gap = range.start - std::mem::replace(&mut own_at, range.end);
                    own.iter_mut().for_each(|own| _ = take(own, gap));
                    own.iter_mut().map(|own| take(own, range.len())).collect()
                };
                match (&stage.work, &place.own_weight) {
                    (Work::Core { core: Core::Dense(s), .. }, _) if std::ptr::eq(place, &s.place) => {
                        for group in 0..s.weight.groups() {
                            let (dw, at) = cut(s.weight.outputs(group).len() * s.shape.inputs);
                            let ready = ready.as_mut().map(|ready| &*take(ready, dw.len()));
                            tasks.push(Task::Dense { stage: stage_index, group, dw, at, ready });
                        }
                    }
                    (_, Some(own)) => {
                        let (sum, at) = cut(place.weight.len());
                        let kernel = match &stage.work {
                            Work::Core { core: Core::Conv(s), .. } if std::ptr::eq(place, &s.place) => Some(&s.kernel),
                            _ => None,
                        };
                        tasks.push(Task::Own { chunks: cut_own(own), sum, at, kernel });
                    }
                    // A normalisation's gradient was summed on the way.
                    (_, None) => drop(cut(place.weight.len())),
                }
                if let Some(bias) = &place.bias {
                    let (sum, at) = cut(bias.len());
                    if let Some(own) = &place.own_bias {
                        tasks.push(Task::Own { chunks: cut_own(own), sum, at, kernel: None });
                    }
                }
            }
        }
        let bad = AtomicUsize::new(usize::MAX);
        let check = |values: &[f32], at: usize| {
            if let Some(i) = elementwise::first_not_finite(values) {
                bad.fetch_min(at + i, Ordering::Relaxed);
            }
        };
        let tasks: Vec<Mutex<Task>> = tasks.into_iter().rev().map(Mutex::new).collect();
        let (program, path) = (&self.program, self.path);
        self.pool.run(tasks.len(), &|_, t| match &mut *lock(&tasks[t]) {
            Task::Own { chunks, sum, at, kernel } => {
                elementwise::sum_tree(path, chunks);
                match kernel {
                    Some(kernel) => kernel.finish(chunks[0], sum),
                    None => sum.copy_from_slice(chunks[0]),
                }
                check(sum, *at);
            }
            Task::Dense { dw, at, ready: Some(ready), .. } => {
                dw.copy_from_slice(ready);
                check(dw, *at);
            }
            Task::Dense { stage, group, dw, at, ready: None } => {
                if let Work::Core { core: Core::Dense(s), .. } = &program.stages[*stage].work {
                    let chunks: Vec<_> = rows.iter().map(|r| r[s.number].view()).collect();
                    s.weight.run(*group, &chunks, dw);
                    check(dw, *at);
                }
            }
        });
        Some(bad.into_inner()).filter(|&i| i != usize::MAX)
    }

    /// Forward and backward of this process's chunks, and their scores, in as many rounds as the network's normalisations ask for.
    pub(super) fn rounds(
        &mut self,
        batch: &Batch,
        how: &TrainStep,
        scale: f32,
    ) -> Result<Vec<Mutex<ChunkScore>>, NoMemory> {
        let all_chunks: Vec<&[u32]> = batch.indices.chunks(CHUNK).collect();
        let chunks = &all_chunks[self.share(all_chunks.len())];
        let scores: Vec<Mutex<ChunkScore>> = chunks.iter().map(|_| Mutex::default()).collect();
        let last = self.program.rounds.len() - 1;
        while last > 0 && self.kept.len() < chunks.len() {
            self.kept.push(Mutex::new(Workspace::new(&self.program)?));
        }
        self.norms.start(&self.program, &self.parameters);
        let mut deck = Deck::new(chunks.len());
        for turn in 0..=2 * last {
            let context = Context { channels: self.norms.training(), train: Some(how), ..self.context() };
            self.pool.run(chunks.len(), &|worker, _| {
                let Some(k) = deck.take(worker) else { return };
                let mut workspace = lock(if last > 0 { &self.kept[k] } else { &self.workspaces[worker] });
                let lend = |workspace: &mut Workspace| {
                    if last > 0 {
                        std::mem::swap(&mut workspace.room, &mut lock(&self.workspaces[worker]).room);
                    }
                };
                lend(&mut workspace);
                let samples = Samples { batch, indices: chunks[k] };
                if turn <= last {
                    workspace.forward_round(&context, samples, turn);
                }
                if turn == last {
                    *lock(&scores[k]) = workspace.train_score(&context, samples, how, scale);
                }
                if turn >= last {
                    let (mut own, mut rows) = (lock(&self.own[k]), lock(&self.rows[k]));
                    workspace.backward_round(&context, samples, 2 * last - turn, &mut own, &mut rows);
                }
                lend(&mut workspace);
                deck.put(worker, k);
            });
            deck.turn();
            // What the round before, or the one that is gone back to, waits for.
            let Some(round) = (if turn < last { Some(turn) } else { (2 * last - turn).checked_sub(1) }) else { break };
            let kept: Vec<_> = chunks.iter().zip(&self.kept).map(|(c, w)| (c.len(), lock(w))).collect();
            let stops = self.program.rounds[round].stops.iter();
            let norms: Vec<_> = stops.filter_map(|&i| self.program.stages[i].norm()).collect();
            let len = |norm: &Norm| 2 * norm.place.weight.len();
            let width = norms.iter().map(|n| len(n)).sum();
            let gathered = self.peers.as_ref().map(|peers| {
                let of_chunk =
                    |w: &Workspace| norms.iter().flat_map(|n| w.stops[n.number].to_vec()).collect::<Vec<_>>();
                let own: Vec<f32> = kept.iter().flat_map(|(_, w)| of_chunk(w)).collect();
                peers.gather(&own, all_chunks.len(), width)
            });
            let mut at = 0;
            for norm in norms {
                let part = at..at + len(norm);
                at = part.end;
                let stops: Vec<(usize, &[f32])> = match &gathered {
                    None => kept.iter().map(|(n, w)| (*n, &w.stops[norm.number][..])).collect(),
                    Some(all) => {
                        let of_chunks = all.chunks_exact(width).map(|c| &c[part.clone()]);
                        all_chunks.iter().map(|c| c.len()).zip(of_chunks).collect()
                    }
                };
                if turn < last {
                    self.norms.moments(norm, &stops, &self.parameters);
                } else {
                    self.norms.gradients(norm, &stops, &mut self.gradients);
                }
            }
        }
        Ok(scores)
    }

    /// Packs all weights anew, for forward and gradient.
    pub(super) fn repack(&mut self) {
        enum Pack<'a> {
            Groups(&'a Contraction, &'a [f32], Range<usize>, &'a mut [f32]),
            Winograd(&'a Winograd, &'a [f32], [&'a mut [f32]; 2]),
            Square(&'a Square, &'a [f32], [&'a mut [f32]; 2]),
        }
        let mut tasks = Vec::new();
        for (stage, packs) in self.program.stages.iter().zip(&mut self.packs) {
            let place = match &stage.work {
                Work::Core { core: Core::Conv(s), .. } => &s.place,
                Work::Core { core: Core::Dense(s), .. } => &s.place,
                _ => continue,
            };
            let w = &self.parameters[place.weight.clone()];
            let kernel = if let Work::Core { core: Core::Conv(s), .. } = &stage.work { Some(&s.kernel) } else { None };
            if let Some(Convolution::Winograd(plan)) = kernel {
                tasks.push(Mutex::new(Pack::Winograd(plan, w, packs.each_mut().map(|p| &mut p[..]))));
                continue;
            }
            if let Some(Convolution::Square(plan)) = kernel {
                tasks.push(Mutex::new(Pack::Square(plan, w, packs.each_mut().map(|p| &mut p[..]))));
                continue;
            }
            for (contraction, pack) in stage.contractions().into_iter().zip(packs) {
                let Some(contraction) = contraction else { continue };
                let mut rest = &mut pack[..];
                let per_output = contraction.packed_len() / contraction.groups().map(|g| g.1).sum::<usize>();
                let mut groups = contraction.groups().map(|g| g.1).enumerate().peekable();
                // Several small groups make one task.
                while let Some(&(first, _)) = groups.peek() {
                    let mut len = 0;
                    let mut end = first;
                    while len < UPDATE
                        && let Some((g, outputs)) = groups.next()
                    {
                        len += outputs * per_output;
                        end = g + 1;
                    }
                    let (block, tail) = std::mem::take(&mut rest).split_at_mut(len);
                    rest = tail;
                    tasks.push(Mutex::new(Pack::Groups(contraction, w, first..end, block)));
                }
            }
        }
        let path = self.path;
        self.pool.run(tasks.len(), &|_, t| match &mut *lock(&tasks[t]) {
            Pack::Groups(contraction, w, groups, block) => contraction.pack(w, groups.clone(), block),
            Pack::Winograd(plan, w, [forward, gradient]) => plan.pack(w, [forward, gradient]),
            Pack::Square(plan, w, [forward, gradient]) => plan.pack(path, w, [forward, gradient]),
        });
        self.single_is_current = false;
    }
}
