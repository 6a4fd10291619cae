//! The engine: a network's program, its parameters, and what its passes keep.

use super::chunk::Context;
use super::cores::{Packs, Samples};
use super::norms::Norms;
use super::packs;
use super::plan::{From, Program};
use super::ranks::{Peers, Ranks};
use super::single::Single;
use super::step::{Chunks, Step, reduce};
use super::tasks::{Team, lock};
use super::update::Optimizing;
use crate::engine::initial_buffers;
use crate::engine::threads::ThreadPool;
use crate::engine::{Batch, Engine, EngineError, Score, TrainStep, Update};
use crate::kernel::denormal::FlushDenormals;
use crate::kernel::op::loss::ChunkScore;
use crate::kernel::{AlignedVec, CHUNK, NoMemory, Path};
use crate::spec::Network;
use std::sync::Mutex;

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
    team: Team,
    program: Program,
    parameters: AlignedVec,
    gradients: AlignedVec,
    buffers: Vec<f32>,
    optimizing: Optimizing,
    norms: Norms,
    packs: Vec<Packs>,
    chunks: Chunks,
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
        let team = Team { pool: ThreadPool::new(resolve_threads(options.threads)), path };
        let program = Program::new(&network, path);
        Ok(CpuEngine {
            packs: packs::new(&program)?,
            chunks: Chunks::new(&program, team.pool.threads())?,
            parameters: AlignedVec::try_zeros(network.parameters)?,
            gradients: AlignedVec::try_zeros(network.parameters)?,
            buffers: initial_buffers(&network),
            norms: Norms::new(&program),
            optimizing: Optimizing::default(),
            singles: Single::supports(&network),
            single: None,
            single_is_current: false,
            peers: None,
            program,
            team,
            network,
        })
    }

    /// Shares every batch with other processes from now on; results stay the same, bit for bit.
    pub fn with_ranks(self, ranks: Box<dyn Ranks>) -> Self {
        CpuEngine { peers: Some(Peers::new(ranks)), ..self }
    }

    /// The instructions in use.
    pub fn path(&self) -> Path {
        self.team.path
    }

    /// Number of threads.
    pub fn threads(&self) -> usize {
        self.team.pool.threads()
    }

    /// What chunks read in evaluation; the channels are those of [`Norms::evaluate`]'s last call.
    fn context(&self) -> Context<'_> {
        Context {
            path: self.team.path,
            program: &self.program,
            parameters: &self.parameters,
            buffers: &self.buffers,
            packs: &self.packs,
            channels: self.norms.evaluation(),
            train: None,
        }
    }

    /// Packs the weights of the parameters.
    fn repack(&mut self) {
        packs::pack(&self.team, &self.program, &self.parameters, &mut self.packs);
        self.single_is_current = false;
    }

    /// Logits of a few samples, one by one.
    fn forward_singles(&mut self, batch: &Batch, logits: &mut [f32]) -> Result<(), NoMemory> {
        let _flush = FlushDenormals::new();
        let single = match &mut self.single {
            Some(single) => single,
            none => none.insert(Single::new(&self.network, self.team.path)?),
        };
        if !self.single_is_current {
            single.set_parameters(&self.parameters);
            self.norms.evaluate(&self.program, &self.parameters, &self.buffers);
            self.single_is_current = true;
        }
        let channels = self.norms.evaluation();
        for (&index, out) in batch.indices.iter().zip(logits.chunks_exact_mut(self.network.outputs)) {
            single.forward(&self.parameters, channels, &batch.pixels, index, out);
        }
        Ok(())
    }

    /// Logits of chunks.
    fn forward_chunks(&mut self, batch: &Batch, logits: &mut [f32]) {
        self.norms.evaluate(&self.program, &self.parameters, &self.buffers);
        let (context, outputs) = (self.context(), self.network.outputs);
        let pass = |worker: usize, indices: &[u32], out: &mut [f32]| {
            let mut workspace = lock(&self.chunks.workspaces[worker]);
            workspace.forward(&context, Samples { batch, indices });
            for (lane, row) in out.chunks_exact_mut(outputs).enumerate() {
                row.iter_mut().enumerate().for_each(|(o, v)| *v = workspace.logits()[o * CHUNK + lane]);
            }
        };
        if batch.indices.len() <= CHUNK {
            // Nothing is allocated for a single chunk.
            let _flush = FlushDenormals::new();
            return pass(0, batch.indices, logits);
        }
        let parts: Vec<_> =
            batch.indices.chunks(CHUNK).zip(logits.chunks_mut(CHUNK * outputs)).map(Mutex::new).collect();
        self.team.pool.run(parts.len(), &|worker, k| {
            let (indices, out) = &mut *lock(&parts[k]);
            pass(worker, indices, out);
        });
    }
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
        format!("CPU, {}, {threads} thread{}", self.team.path, if threads == 1 { "" } else { "s" })
    }

    fn network(&self) -> &Network {
        &self.network
    }

    fn forward(&mut self, batch: &Batch, logits: &mut [f32]) -> Result<(), EngineError> {
        batch.check_forward(&self.network, logits.len())?;
        let n = batch.indices.len();
        if n <= SINGLES && self.singles {
            return Ok(self.forward_singles(batch, logits)?);
        }
        if let Some(peers) = self.peers.take() {
            let share = peers.share(n.div_ceil(CHUNK));
            let indices = &batch.indices[(share.start * CHUNK).min(n)..(share.end * CHUNK).min(n)];
            let mut own = vec![0.0; indices.len() * self.network.outputs];
            let done = self.forward(&Batch { indices, ..*batch }, &mut own);
            peers.logits(&own, n, logits);
            self.peers = Some(peers);
            return done;
        }
        self.forward_chunks(batch, logits);
        Ok(())
    }

    fn evaluate(&mut self, batch: &Batch) -> Result<Score, EngineError> {
        batch.check(&self.network, true)?;
        self.norms.evaluate(&self.program, &self.parameters, &self.buffers);
        let context = self.context();
        let n_chunks = batch.indices.len().div_ceil(CHUNK);
        let share = self.peers.as_ref().map_or(0..n_chunks, |p| p.share(n_chunks));
        let chunks: Vec<&[u32]> = batch.indices.chunks(CHUNK).skip(share.start).take(share.len()).collect();
        let scores: Vec<Mutex<ChunkScore>> = chunks.iter().map(|_| Mutex::default()).collect();
        self.team.pool.run(chunks.len(), &|worker, k| {
            let mut workspace = lock(&self.chunks.workspaces[worker]);
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
        let CpuEngine { team, program, parameters, gradients, buffers, packs, norms, chunks, peers, .. } = self;
        let path = team.path;
        let context = Context { path, program, parameters, buffers, packs, channels: &[], train: Some(how) };
        let step = Step { team, batch, how, scale: 1.0 / weight as f32 };
        let scores = chunks.rounds(&step, peers.as_ref(), &context, norms, gradients)?;
        let n_chunks = batch.indices.len().div_ceil(CHUNK);
        let left = chunks.left(scores.len());
        let (scores, bad) = match peers {
            None => (scores, reduce(team, program, From::Chunks(left.0, &left.1), gradients)),
            Some(peers) => {
                let scores = peers.exchange(team, program, left, n_chunks, &scores);
                (scores, reduce(team, program, From::Partial(peers.sum(program)), gradients))
            }
        };
        let mut score = total(&scores, batch.indices.len());
        score.loss *= batch.indices.len() as f64 / weight;
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
        let CpuEngine { team, network, gradients, parameters, optimizing, .. } = self;
        optimizing.change(team, network, update, gradients, parameters);
        self.repack();
    }

    fn optimizer_state(&self) -> &[f32] {
        &self.optimizing.state
    }

    fn set_optimizer_state(&mut self, state: &[f32]) -> Result<(), EngineError> {
        let (n, wanted) = (state.len(), self.parameters.len());
        if !n.is_multiple_of(wanted.max(1)) || n > 2 * wanted {
            return Err(EngineError::Mismatch(format!("{n} values of optimizer state for {wanted} parameters")));
        }
        self.optimizing.state = AlignedVec::try_zeros(n)?;
        self.optimizing.state.copy_from_slice(state);
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
