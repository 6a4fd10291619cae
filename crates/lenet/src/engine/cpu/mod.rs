//! The CPU engine: chunks of 16 samples in the lanes, persistent threads, one fixed tree of sums.

mod chunk;
mod convolution;
mod norms;
mod program;
mod single;

use super::threads::ThreadPool;
use super::{Batch, Engine, EngineError, Pixels, Score, TrainStep, Update};
use crate::kernel::contract::Contraction;
use crate::kernel::denormal::FlushDenormals;
use crate::kernel::loss::ChunkScore;
use crate::kernel::optimizer::Step;
use crate::kernel::tile::Tiles;
use crate::kernel::winograd::Winograd;
use crate::kernel::{AlignedVec, CHUNK, Path, elementwise};
use crate::spec::{Network, Role};
use crate::train::initial_buffers;
use chunk::{Context, DenseRows, Packs, Samples, Workspace};
use convolution::Convolution;
use norms::Norms;
use program::{Core, Program, Stage, Work};
use single::Single;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How the CPU engine runs; none of it changes a bit of the results.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuOptions {
    /// Number of threads; 0 for as many as the machine runs at once.
    pub threads: usize,
    /// Instructions to use; `None` for the best there are, or those that `LENET_PATH` names.
    pub path: Option<Path>,
}

/// Runs networks on the CPU.
pub struct CpuEngine {
    network: Network,
    path: Path,
    pool: ThreadPool,
    program: Program,
    parameters: AlignedVec,
    gradients: AlignedVec,
    buffers: Vec<f32>,
    norms: Norms,
    /// Slabs like the parameters, as many as the optimizer needs.
    optimizer_state: AlignedVec,
    packs: Vec<Packs>,
    workspaces: Vec<Mutex<Workspace>>,
    /// A workspace for each chunk of a batch, where networks wait for the whole batch.
    kept: Vec<Mutex<Workspace>>,
    /// A chunk's own gradient: convolutions and biases.
    own: Vec<Mutex<AlignedVec>>,
    /// A chunk's samples as rows, for each dense stage.
    rows: Vec<Mutex<Vec<DenseRows>>>,
    /// Planned when a few samples first come.
    single: Option<Single>,
    /// Whether the packed weights of `single` are those of `parameters`.
    single_is_current: bool,
}

/// Most samples that are passed one by one rather than as a chunk.
const SINGLES: usize = 6;

/// Floats that one task updates.
const UPDATE: usize = 8192;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere leaves buffers that the next forward pass overwrites.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Number of threads for an option: itself, or as many as the machine runs at once.
pub fn resolve_threads(threads: usize) -> usize {
    if threads > 0 { threads } else { std::thread::available_parallelism().map_or(1, |n| n.get()) }
}

impl CpuEngine {
    /// Plans a network and starts the threads; all parameters are 0, buffers as they are at first.
    ///
    /// # Errors
    /// A path that this CPU does not have.
    pub fn new(network: Network, options: CpuOptions) -> Result<Self, EngineError> {
        let path = match options.path {
            Some(path) if path.is_available() => path,
            Some(path) => return Err(EngineError::Mismatch(format!("this CPU has no {path}"))),
            None => Path::detect().map_err(EngineError::Mismatch)?,
        };
        let pool = ThreadPool::new(resolve_threads(options.threads));
        let program = Program::new(&network, Tiles::of(path));
        let new_pack = |c: Option<&Contraction>| c.map_or(AlignedVec::zeros(0), |c| c.new_pack());
        let new_packs = |s: &Stage| match &s.work {
            Work::Core { core: Core::Conv(s), .. } => s.kernel.new_packs(),
            _ => s.contractions().map(new_pack),
        };
        Ok(CpuEngine {
            path,
            packs: program.stages.iter().map(new_packs).collect(),
            workspaces: (0..pool.threads()).map(|_| Mutex::new(Workspace::new(&program))).collect(),
            parameters: AlignedVec::zeros(network.parameters),
            gradients: AlignedVec::zeros(network.parameters),
            buffers: initial_buffers(&network),
            norms: Norms::new(&program),
            kept: Vec::new(),
            optimizer_state: AlignedVec::zeros(0),
            single: None,
            single_is_current: false,
            own: Vec::new(),
            rows: Vec::new(),
            program,
            pool,
            network,
        })
    }

    /// The instructions in use.
    pub fn path(&self) -> Path {
        self.path
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// What chunks read in evaluation.
    fn context(&self) -> Context<'_> {
        Context {
            path: self.path,
            program: &self.program,
            parameters: &self.parameters,
            buffers: &self.buffers,
            packs: &self.packs,
            channels: self.norms.evaluation(),
            train: None,
        }
    }

    fn check(&self, batch: &Batch, labelled: bool) -> Result<(), EngineError> {
        let [c, h, w] = self.network.input;
        let mismatch = |what: String| Err(EngineError::Mismatch(what));
        let values = match batch.pixels {
            Pixels::Bytes { data, tables } => {
                if tables.len() != c {
                    return mismatch(format!("normalization of {} channels for inputs of {c}", tables.len()));
                }
                data.len()
            }
            Pixels::Floats(data) => data.len(),
        };
        let samples = values / (c * h * w);
        if values % (c * h * w) != 0 || batch.indices.iter().any(|&i| i as usize >= samples) {
            return mismatch(format!("{values} input values are not the images [{c}, {h}, {w}] that the batch names"));
        }
        if labelled {
            let outputs = self.network.outputs;
            for &i in batch.indices {
                match batch.labels.get(i as usize) {
                    Some(&label) if (label as usize) < outputs => {}
                    Some(label) => return mismatch(format!("label {label} for a network of {outputs} outputs")),
                    None => return mismatch(format!("{} labels, sample {i} has none", batch.labels.len())),
                }
            }
            if batch.indices.is_empty() {
                return mismatch("a batch without samples".to_string());
            }
        }
        Ok(())
    }

    /// Sums the gradients of all chunks: dense weights from rows, all else from the chunks' own gradients.
    ///
    /// Returns the position in the slab of the first value that is not finite.
    fn reduce(&mut self, n_chunks: usize) -> Option<usize> {
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

    /// Sets the gradients of weights to 0 that a table of connections leaves out.
    fn mask(&mut self) {
        for t in self.network.tensors() {
            let mask = t.mask.as_deref().unwrap_or(&[]);
            let all = self.gradients[t.range.clone()].iter_mut().zip(mask);
            all.filter(|(_, live)| !**live).for_each(|(g, _)| *g = 0.0);
        }
    }

    /// Forward and backward of all chunks, in as many rounds as the network's normalisations ask for.
    fn rounds(&mut self, batch: &Batch, how: &TrainStep, scale: f32) -> Vec<Mutex<ChunkScore>> {
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
    fn repack(&mut self) {
        enum Pack<'a> {
            Groups(&'a Contraction, &'a [f32], std::ops::Range<usize>, &'a mut [f32]),
            Winograd(&'a Winograd, &'a [f32], [&'a mut [f32]; 2]),
        }
        let mut tasks = Vec::new();
        for (stage, packs) in self.program.stages.iter().zip(&mut self.packs) {
            let place = match &stage.work {
                Work::Core { core: Core::Conv(s), .. } => &s.place,
                Work::Core { core: Core::Dense(s), .. } => &s.place,
                _ => continue,
            };
            let w = &self.parameters[place.weight.clone()];
            if let Work::Core { core: Core::Conv(s), .. } = &stage.work
                && let Convolution::Winograd(plan) = &s.kernel
            {
                tasks.push(Mutex::new(Pack::Winograd(plan, w, packs.each_mut().map(|p| &mut p[..]))));
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
        self.pool.run(tasks.len(), &|_, t| match &mut *lock(&tasks[t]) {
            Pack::Groups(contraction, w, groups, block) => contraction.pack(w, groups.clone(), block),
            Pack::Winograd(plan, w, [forward, gradient]) => plan.pack(w, [forward, gradient]),
        });
        self.single_is_current = false;
        self.norms.evaluate(&self.program, &self.parameters, &self.buffers);
    }
}

/// The first values of a slab, which is left without them; nothing of an empty slab.
fn take<'a>(slab: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    slab.split_off_mut(..len.min(slab.len())).unwrap_or_default()
}

/// Sums the chunks' scores in the order of the chunks.
fn total(scores: &[Mutex<ChunkScore>], samples: usize) -> Score {
    scores.iter().fold(Score { samples, ..Score::default() }, |mut sum, s| {
        let s = lock(s);
        sum.loss += s.loss;
        sum.correct += s.correct;
        sum
    })
}

impl Engine for CpuEngine {
    fn device(&self) -> String {
        let threads = self.threads();
        format!("CPU, {}, {threads} thread{}", self.path, if threads == 1 { "" } else { "s" })
    }

    fn network(&self) -> &Network {
        &self.network
    }

    fn forward(&mut self, batch: &Batch, logits: &mut [f32]) -> Result<(), EngineError> {
        self.check(batch, false)?;
        let outputs = self.network.outputs;
        if logits.len() != batch.indices.len() * outputs {
            let (n, wanted) = (logits.len(), batch.indices.len());
            return Err(EngineError::Mismatch(format!("room for {n} logits, {wanted} × {outputs} are needed")));
        }
        if batch.indices.len() <= SINGLES && Single::supports(&self.network) {
            let _flush = FlushDenormals::new();
            let single = self.single.get_or_insert_with(|| Single::new(&self.network, self.path));
            if !self.single_is_current {
                single.set_parameters(&self.parameters);
                self.single_is_current = true;
            }
            for (&index, out) in batch.indices.iter().zip(logits.chunks_exact_mut(outputs)) {
                single.forward(&self.parameters, &batch.pixels, index, out);
            }
            return Ok(());
        }
        let context = self.context();
        let parts: Vec<_> =
            batch.indices.chunks(CHUNK).zip(logits.chunks_mut(CHUNK * outputs)).map(Mutex::new).collect();
        self.pool.run(parts.len(), &|worker, k| {
            let (indices, out) = &mut *lock(&parts[k]);
            let mut workspace = lock(&self.workspaces[worker]);
            workspace.forward(&context, Samples { batch, indices });
            for (lane, row) in out.chunks_exact_mut(outputs).enumerate() {
                row.iter_mut().enumerate().for_each(|(o, v)| *v = workspace.logits()[o * CHUNK + lane]);
            }
        });
        Ok(())
    }

    fn evaluate(&mut self, batch: &Batch) -> Result<Score, EngineError> {
        self.check(batch, true)?;
        let context = self.context();
        let chunks: Vec<&[u32]> = batch.indices.chunks(CHUNK).collect();
        let scores: Vec<Mutex<ChunkScore>> = chunks.iter().map(|_| Mutex::default()).collect();
        self.pool.run(chunks.len(), &|worker, k| {
            let mut workspace = lock(&self.workspaces[worker]);
            let samples = Samples { batch, indices: chunks[k] };
            workspace.forward(&context, samples);
            *lock(&scores[k]) = workspace.score(&context, samples, None);
        });
        Ok(total(&scores, batch.indices.len()))
    }

    fn backward(&mut self, batch: &Batch, how: &TrainStep) -> Result<Score, EngineError> {
        self.check(batch, true)?;
        let weight = how.weight(batch, self.network.outputs)?;
        let n_chunks = batch.indices.len().div_ceil(CHUNK);
        while self.own.len() < n_chunks {
            self.own.push(Mutex::new(AlignedVec::zeros(self.program.own_len)));
            self.rows.push(Mutex::new(self.program.dense.iter().map(DenseRows::new).collect()));
        }
        let mut score = total(&self.rounds(batch, how, 1.0 / weight as f32), batch.indices.len());
        score.loss *= batch.indices.len() as f64 / weight;
        let bad = self.reduce(n_chunks);
        self.mask();
        if !score.loss.is_finite() {
            let last = self.network.layers.iter().rev().find(|l| l.weight.is_some());
            let layer = last.map_or_else(String::new, |l| l.title());
            return Err(EngineError::NotFinite { what: "the loss", layer });
        }
        match bad {
            Some(position) => {
                let layer = self.network.layer_at(position).map_or_else(String::new, |l| l.title());
                Err(EngineError::NotFinite { what: "the gradient", layer })
            }
            None => {
                self.norms.track(&self.program, &mut self.buffers);
                Ok(score)
            }
        }
    }

    fn update(&mut self, update: Update) {
        let Update { optimizer, lr, scale, step } = update;
        let (n, slots) = (self.parameters.len(), optimizer.slots());
        if self.optimizer_state.len() != slots * n {
            self.optimizer_state = AlignedVec::zeros(slots * n);
        }
        // Runs of the slab that decay alike.
        let mut runs: Vec<(usize, bool)> = Vec::new();
        for tensor in self.network.tensors() {
            let decays = optimizer.decay_norms_and_biases || tensor.role == Role::Weight;
            let decays = decays && optimizer.weight_decay != 0.0;
            match runs.last_mut() {
                Some((len, last)) if *last == decays => *len += tensor.range.len(),
                _ => runs.push((tensor.range.len(), decays)),
            }
        }
        let (mut w, mut g) = (&mut self.parameters[..], &self.gradients[..]);
        let (mut first, mut second) = self.optimizer_state.split_at_mut(n * slots.min(1));
        let mut parts = Vec::new();
        for (mut left, decays) in runs {
            while left > 0 {
                let len = left.min(UPDATE);
                let g = g.split_off(..len).unwrap_or_default();
                parts.push(Mutex::new((decays, g, take(&mut w, len), take(&mut first, len), take(&mut second, len))));
                left -= len;
            }
        }
        let (step, path) = (Step::new(optimizer, lr, scale, step), self.path);
        self.pool.run(parts.len(), &|_, t| {
            let (decays, g, w, first, second) = &mut *lock(&parts[t]);
            step.run(path, *decays, g, w, first, second);
        });
        self.repack();
    }

    fn optimizer_state(&self) -> &[f32] {
        &self.optimizer_state
    }

    fn set_optimizer_state(&mut self, state: &[f32]) -> Result<(), EngineError> {
        let (n, wanted) = (state.len(), self.parameters.len());
        if !n.is_multiple_of(wanted.max(1)) || n > 2 * wanted {
            return Err(EngineError::Mismatch(format!("{n} values of optimizer state for {wanted} parameters")));
        }
        self.optimizer_state = AlignedVec::zeros(n);
        self.optimizer_state.copy_from_slice(state);
        Ok(())
    }

    fn parameters(&self) -> &[f32] {
        &self.parameters
    }

    fn set_parameters(&mut self, parameters: &[f32]) -> Result<(), EngineError> {
        if parameters.len() != self.parameters.len() {
            let (n, wanted) = (parameters.len(), self.parameters.len());
            return Err(EngineError::Mismatch(format!("{n} parameters for a network of {wanted}")));
        }
        self.parameters.copy_from_slice(parameters);
        self.repack();
        Ok(())
    }

    fn gradients(&self) -> &[f32] {
        &self.gradients
    }

    fn buffers(&self) -> &[f32] {
        &self.buffers
    }

    fn set_buffers(&mut self, buffers: &[f32]) -> Result<(), EngineError> {
        if buffers.len() != self.buffers.len() {
            let (n, wanted) = (buffers.len(), self.buffers.len());
            return Err(EngineError::Mismatch(format!("{n} buffers for a network of {wanted}")));
        }
        self.buffers.copy_from_slice(buffers);
        self.norms.evaluate(&self.program, &self.parameters, &self.buffers);
        Ok(())
    }
}
