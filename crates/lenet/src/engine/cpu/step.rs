//! What the chunks of a batch do together: rounds, sums of gradients, packing of weights.

use super::chunk::{Context, DenseRows, Samples, Workspace};
use super::convolution::Convolution;
use super::program::{Core, Work};
use super::{CpuEngine, UPDATE, lock};
use crate::engine::{Batch, TrainStep};
use crate::kernel::contract::Contraction;
use crate::kernel::loss::ChunkScore;
use crate::kernel::winograd::Winograd;
use crate::kernel::winograd::square::Square;
use crate::kernel::{AlignedVec, CHUNK, elementwise};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

impl CpuEngine {
    /// Sums the gradients of all chunks: dense weights from rows, all else from the chunks' own gradients.
    ///
    /// Returns the position in the slab of the first value that is not finite.
    pub(super) fn reduce(&mut self, n_chunks: usize) -> Option<usize> {
        let mut own: Vec<&mut AlignedVec> =
            self.own[..n_chunks].iter_mut().map(|m| m.get_mut().unwrap_or_else(PoisonError::into_inner)).collect();
        let rows: Vec<&Vec<DenseRows>> =
            self.rows[..n_chunks].iter_mut().map(|m| &*m.get_mut().unwrap_or_else(PoisonError::into_inner)).collect();
        // Cut the slab into what each task writes: places among the chunks' own gradients, where they go, and the
        // convolution that makes gradients of its sums.
        type Piece<'a> = (std::ops::Range<usize>, &'a mut [f32], usize, Option<&'a Convolution>);
        enum Task<'a> {
            Own(Vec<Piece<'a>>),
            Dense { stage: usize, group: usize, dw: &'a mut [f32], at: usize },
        }
        let (mut tasks, mut pieces) = (Vec::new(), Vec::new());
        let (mut rest, mut at) = (&mut self.gradients[..], 0);
        for (stage_index, stage) in self.program.stages.iter().enumerate() {
            for place in stage.places() {
                let mut cut = |len: usize| {
                    let (piece, tail) = std::mem::take(&mut rest).split_at_mut(len);
                    rest = tail;
                    at += len;
                    (piece, at - len)
                };
                match (&stage.work, &place.own_weight) {
                    (Work::Core { core: Core::Dense(s), .. }, _) if std::ptr::eq(place, &s.place) => {
                        for group in 0..s.weight.groups() {
                            let (dw, at) = cut(s.weight.outputs(group).len() * s.shape.inputs);
                            tasks.push(Task::Dense { stage: stage_index, group, dw, at });
                        }
                    }
                    (_, Some(own)) => {
                        let (piece, at) = cut(place.weight.len());
                        let kernel = match &stage.work {
                            Work::Core { core: Core::Conv(s), .. } if std::ptr::eq(place, &s.place) => Some(&s.kernel),
                            _ => None,
                        };
                        pieces.push((own.clone(), piece, at, kernel));
                    }
                    // A normalisation's gradient was summed on the way.
                    (_, None) => drop(cut(place.weight.len())),
                }
                if let Some(bias) = &place.bias {
                    let (piece, at) = cut(bias.len());
                    pieces.extend(place.own_bias.clone().map(|own| (own, piece, at, None)));
                }
            }
        }
        tasks.push(Task::Own(pieces));
        let bad = AtomicUsize::new(usize::MAX);
        let check = |values: &[f32], at: usize| {
            if let Some(i) = elementwise::first_not_finite(values) {
                bad.fetch_min(at + i, Ordering::Relaxed);
            }
        };
        let own = Mutex::new(&mut own);
        let tasks: Vec<Mutex<Task>> = tasks.into_iter().rev().map(Mutex::new).collect();
        let (program, path) = (&self.program, self.path);
        self.pool.run(tasks.len(), &|_, t| match &mut *lock(&tasks[t]) {
            Task::Own(pieces) => {
                let mut own = lock(&own);
                elementwise::sum_tree(path, &mut own.iter_mut().map(|o| &mut o[..]).collect::<Vec<_>>());
                for (range, piece, at, kernel) in pieces {
                    let sums = &own[0][range.clone()];
                    match kernel {
                        Some(kernel) => kernel.finish(sums, piece),
                        None => piece.copy_from_slice(sums),
                    }
                    check(piece, *at);
                }
            }
            Task::Dense { stage, group, dw, at } => {
                if let Work::Core { core: Core::Dense(s), .. } = &program.stages[*stage].work {
                    let chunks: Vec<_> = rows.iter().map(|r| r[s.number].view()).collect();
                    s.weight.run(*group, &chunks, dw);
                    check(dw, *at);
                }
            }
        });
        Some(bad.into_inner()).filter(|&i| i != usize::MAX)
    }

    /// Forward and backward of all chunks, in as many rounds as the network's normalisations ask for.
    pub(super) fn rounds(&mut self, batch: &Batch, how: &TrainStep, scale: f32) -> Vec<Mutex<ChunkScore>> {
        let chunks: Vec<&[u32]> = batch.indices.chunks(CHUNK).collect();
        let scores: Vec<Mutex<ChunkScore>> = chunks.iter().map(|_| Mutex::default()).collect();
        let stops = self.program.waiting.len();
        if stops > 0 {
            let program = &self.program;
            self.kept.resize_with(self.kept.len().max(chunks.len()), || Mutex::new(Workspace::new(program)));
        }
        self.norms.start(&self.program, &self.parameters);
        for round in 0..=2 * stops {
            let context = Context { channels: self.norms.training(), train: Some(how), ..self.context() };
            self.pool.run(chunks.len(), &|worker, k| {
                let mut workspace = lock(if stops > 0 { &self.kept[k] } else { &self.workspaces[worker] });
                let lend = |workspace: &mut Workspace| {
                    if stops > 0 {
                        std::mem::swap(&mut workspace.room, &mut lock(&self.workspaces[worker]).room);
                    }
                };
                lend(&mut workspace);
                let samples = Samples { batch, indices: chunks[k] };
                if round <= stops {
                    workspace.forward_round(&context, samples, round);
                }
                if round == stops {
                    *lock(&scores[k]) = workspace.train_score(&context, samples, how, scale);
                }
                if round >= stops {
                    let (mut own, mut rows) = (lock(&self.own[k]), lock(&self.rows[k]));
                    workspace.backward_round(&context, samples, round - stops, &mut own, &mut rows);
                }
                lend(&mut workspace);
            });
            let stopped: Vec<_> = chunks.iter().zip(&self.kept).map(|(c, w)| (c.len(), lock(w))).collect();
            let stopped: Vec<(usize, &[f32])> = stopped.iter().map(|(n, w)| (*n, &w.stop[..])).collect();
            if round < stops {
                self.norms.moments(&self.program, round, &stopped, &self.parameters);
            } else if round < 2 * stops {
                self.norms.gradients(&self.program, 2 * stops - 1 - round, &stopped, &mut self.gradients);
            }
        }
        scores
    }

    /// Packs all weights anew, for forward and gradient.
    pub(super) fn repack(&mut self) {
        enum Pack<'a> {
            Groups(&'a Contraction, &'a [f32], std::ops::Range<usize>, &'a mut [f32]),
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
