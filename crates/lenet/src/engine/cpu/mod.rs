//! The CPU engine: chunks of 16 samples in the lanes, persistent threads, one fixed tree of sums.

mod backward;
mod chunk;
mod convolution;
mod flow;
mod norms;
mod program;
mod ranks;
mod single;
mod step;
mod update;

use super::threads::ThreadPool;
use super::{Batch, Engine, EngineError, Score, TrainStep, Update};
use crate::engine::initial_buffers;
use crate::kernel::contract::Contraction;
use crate::kernel::denormal::FlushDenormals;
use crate::kernel::loss::ChunkScore;
use crate::kernel::tile::Tiles;
use crate::kernel::{AlignedVec, CHUNK, Path};
use crate::spec::Network;
use chunk::{Context, DenseRows, Packs, Samples, Workspace};
use norms::Norms;
use program::{Core, Program, Stage, Work};
use ranks::Peers;
pub use ranks::Ranks;
use single::Single;
use std::sync::{Mutex, MutexGuard, PoisonError};
use update::Matrix;

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
    /// Planned when Muon first takes a step.
    matrices: Vec<Matrix>,
    packs: Vec<Packs>,
    workspaces: Vec<Mutex<Workspace>>,
    /// A workspace for each chunk of a batch, where networks wait for the whole batch.
    kept: Vec<Mutex<Workspace>>,
    /// A chunk's own gradient: convolutions and biases.
    own: Vec<Mutex<AlignedVec>>,
    /// A chunk's samples as rows, for each dense stage.
    rows: Vec<Mutex<Vec<DenseRows>>>,
    /// Whether samples can be passed one by one.
    singles: bool,
    /// Planned when a few samples first come.
    single: Option<Single>,
    /// Whether the packed weights of `single` are those of `parameters`, and the normalisations those of `buffers`.
    single_is_current: bool,
    /// `None` for a process on its own.
    peers: Option<Peers>,
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
    /// `LENET_PATH` names a path that this CPU does not have, or there is no memory for the network.
    pub fn new(network: Network, options: CpuOptions) -> Result<Self, EngineError> {
        let path = match options.path {
            Some(path) => path,
            None => Path::detect().map_err(EngineError::Path)?,
        };
        let pool = ThreadPool::new(resolve_threads(options.threads));
        let program = Program::new(&network, Tiles::of(path));
        let new_pack = |c: Option<&Contraction>| c.map_or(Ok(AlignedVec::default()), |c| c.new_pack());
        let new_packs = |s: &Stage| match &s.work {
            Work::Core { core: Core::Conv(s), .. } => s.kernel.new_packs(),
            _ => {
                let [forward, gradient] = s.contractions().map(new_pack);
                Ok([forward?, gradient?])
            }
        };
        let new_workspace = |_| Workspace::of_a_thread(&program).map(Mutex::new);
        Ok(CpuEngine {
            path,
            packs: program.stages.iter().map(new_packs).collect::<Result<_, _>>()?,
            workspaces: (0..pool.threads()).map(new_workspace).collect::<Result<_, _>>()?,
            parameters: AlignedVec::try_zeros(network.parameters)?,
            gradients: AlignedVec::try_zeros(network.parameters)?,
            buffers: initial_buffers(&network),
            norms: Norms::new(&program),
            kept: Vec::new(),
            optimizer_state: AlignedVec::default(),
            matrices: Vec::new(),
            singles: Single::supports(&network),
            single: None,
            single_is_current: false,
            own: Vec::new(),
            peers: None,
            rows: Vec::new(),
            program,
            pool,
            network,
        })
    }

    /// Shares every batch with other processes from now on; results stay the same, bit for bit.
    pub fn with_ranks(self, ranks: Box<dyn Ranks>) -> Self {
        CpuEngine { peers: Some(Peers::new(ranks)), ..self }
    }

    /// The instructions in use.
    pub fn path(&self) -> Path {
        self.path
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// What chunks read in evaluation; the channels are those of [`Norms::evaluate`]'s last call.
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
        batch.check_forward(&self.network, logits.len())?;
        let outputs = self.network.outputs;
        if batch.indices.len() <= SINGLES && self.singles {
            let _flush = FlushDenormals::new();
            let single = match &mut self.single {
                Some(single) => single,
                none => none.insert(Single::new(&self.network, self.path)?),
            };
            if !self.single_is_current {
                single.set_parameters(&self.parameters);
                self.norms.evaluate(&self.program, &self.parameters, &self.buffers);
                self.single_is_current = true;
            }
            let channels = self.norms.evaluation();
            for (&index, out) in batch.indices.iter().zip(logits.chunks_exact_mut(outputs)) {
                single.forward(&self.parameters, channels, &batch.pixels, index, out);
            }
            return Ok(());
        }
        if let Some(peers) = self.peers.take() {
            let (n, share) = (batch.indices.len(), peers.share(batch.indices.len().div_ceil(CHUNK)));
            let indices = &batch.indices[(share.start * CHUNK).min(n)..(share.end * CHUNK).min(n)];
            let mut own = vec![0.0; indices.len() * outputs];
            let done = self.forward(&Batch { indices, ..*batch }, &mut own);
            peers.logits(&own, n, logits);
            self.peers = Some(peers);
            return done;
        }
        self.norms.evaluate(&self.program, &self.parameters, &self.buffers);
        let context = self.context();
        let pass = |worker: usize, indices: &[u32], out: &mut [f32]| {
            let mut workspace = lock(&self.workspaces[worker]);
            workspace.forward(&context, Samples { batch, indices });
            for (lane, row) in out.chunks_exact_mut(outputs).enumerate() {
                row.iter_mut().enumerate().for_each(|(o, v)| *v = workspace.logits()[o * CHUNK + lane]);
            }
        };
        if batch.indices.len() <= CHUNK {
            // Nothing is allocated for a single chunk.
            let _flush = FlushDenormals::new();
            pass(0, batch.indices, logits);
            return Ok(());
        }
        let parts: Vec<_> =
            batch.indices.chunks(CHUNK).zip(logits.chunks_mut(CHUNK * outputs)).map(Mutex::new).collect();
        self.pool.run(parts.len(), &|worker, k| {
            let (indices, out) = &mut *lock(&parts[k]);
            pass(worker, indices, out);
        });
        Ok(())
    }

    fn evaluate(&mut self, batch: &Batch) -> Result<Score, EngineError> {
        batch.check(&self.network, true)?;
        self.norms.evaluate(&self.program, &self.parameters, &self.buffers);
        let context = self.context();
        let n_chunks = batch.indices.len().div_ceil(CHUNK);
        let share = self.share(n_chunks);
        let chunks: Vec<&[u32]> = batch.indices.chunks(CHUNK).skip(share.start).take(share.len()).collect();
        let scores: Vec<Mutex<ChunkScore>> = chunks.iter().map(|_| Mutex::default()).collect();
        self.pool.run(chunks.len(), &|worker, k| {
            let mut workspace = lock(&self.workspaces[worker]);
            let samples = Samples { batch, indices: chunks[k] };
            workspace.forward(&context, samples);
            *lock(&scores[k]) = workspace.score(&context, samples, None);
        });
        let scores = self.peers.as_ref().map(|p| p.scores(&scores, n_chunks)).unwrap_or(scores);
        Ok(total(&scores, batch.indices.len()))
    }

    fn backward(&mut self, batch: &Batch, how: &TrainStep) -> Result<Score, EngineError> {
        batch.check(&self.network, true)?;
        let weight = how.weight(batch, self.network.outputs)?;
        let all_chunks = batch.indices.len().div_ceil(CHUNK);
        let n_chunks = self.share(all_chunks).len();
        if self.own.len() < n_chunks {
            let more = std::iter::repeat_n(self.program.own_len, n_chunks - self.own.len());
            self.own.extend(AlignedVec::zeros_together(more)?.into_iter().map(Mutex::new));
        }
        while self.rows.len() < n_chunks {
            let rows = self.program.dense.iter().map(DenseRows::new).collect::<Result<_, _>>()?;
            self.rows.push(Mutex::new(rows));
        }
        let scores = self.rounds(batch, how, 1.0 / weight as f32)?;
        let mut score = total(&self.exchange(all_chunks, scores), batch.indices.len());
        score.loss *= batch.indices.len() as f64 / weight;
        let bad = self.reduce(n_chunks);
        self.network.tensors().for_each(|t| t.clear_missing(&mut self.gradients));
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
                self.single_is_current = false;
                Ok(score)
            }
        }
    }

    fn update(&mut self, update: Update) {
        self.change(update);
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
        self.optimizer_state = AlignedVec::try_zeros(n)?;
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
        self.single_is_current = false;
        Ok(())
    }
}
