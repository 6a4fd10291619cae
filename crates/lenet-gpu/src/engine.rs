//! The engine.

use crate::device::Gpu;
use crate::failure::{device_error, guarded};
use crate::network::{Statistics, Values};
use crate::optimizer;
use crate::samples::{Samples, integers};
use crate::tally::{Tally, Told, Wanted};
use burn::tensor::{Bool, Tensor, TensorData};
use lenet::data::Dataset;
use lenet::engine::initial_buffers;
use lenet::engine::{Average, Batch, Engine, EngineError, Score, TrainStep, Update};
use lenet::kernel::sums::first_not_finite;
use lenet::spec::{Geometry, Network, Optimizer, Role};

/// Most samples that are evaluated at a time.
const EVALUATION: usize = 1024;

/// Trains a network on a GPU.
///
/// Steps are queued, and read at most once a second. One that is not finite changes nothing, nor do those behind it; the
/// next call that reads tells it.
pub struct GpuEngine<'a> {
    network: Network,
    gpu: Gpu,
    samples: Samples<'a>,
    /// Samples that are evaluated at a time: no activation is larger than what a kernel can see.
    at_once: usize,
    parameters: Slab,
    gradients: Slab,
    /// As many slabs as the optimizer has kept so far.
    state: Vec<Tensor<1>>,
    state_host: Vec<f32>,
    /// By the order of [`Network::buffer_tensors`].
    buffers: Vec<Tensor<1>>,
    buffers_host: Vec<f32>,
    /// What [`Engine::average`] moves: of the parameters, and of each buffer.
    average: Option<(Tensor<1>, Vec<Tensor<1>>)>,
    /// 1 where tables of connections leave a weight.
    live: Option<Tensor<1>>,
    /// 1 where weights are, once they decay alone.
    decays: Option<Tensor<1>>,
    /// Whether all steps so far were finite, `[1]`.
    alive: Tensor<1, Bool>,
    tally: Tally,
    /// An error of a call that cannot tell it.
    failed: Option<EngineError>,
    /// Whether what is lent out is what the device holds.
    is_fresh: bool,
}

/// Values in the order of the parameters, here and on the device.
struct Slab {
    host: Vec<f32>,
    device: Tensor<1>,
}

impl Slab {
    fn new(values: Vec<f32>, gpu: &Gpu) -> Self {
        Slab { device: row(&values, gpu), host: values }
    }
}

fn row(values: &[f32], gpu: &Gpu) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), &gpu.device)
}

fn read(tensor: &Tensor<1>) -> Result<Vec<f32>, String> {
    tensor.clone().try_into_vec_as().map_err(|e| e.to_string())
}

/// `new`, or where not all is well `old`.
fn kept_unless(well: &Tensor<1, Bool>, new: Tensor<1>, old: Tensor<1>) -> Tensor<1> {
    let well = well.clone().expand(new.dims());
    old.mask_where(well, new)
}

impl<'a> GpuEngine<'a> {
    /// An engine for a network; all parameters are 0, buffers as they are at first. The bytes of training and test images
    /// stay on the device from their first use on; those of others are sent with each batch.
    ///
    /// # Errors
    /// What the device says.
    pub fn new(network: Network, gpu: Gpu, data: [&'a Dataset; 2]) -> Result<Self, EngineError> {
        let name = gpu.name.clone();
        guarded(|| Self::build(network, gpu, data)).map_err(|what| device_error(&name, &what))
    }

    fn build(network: Network, gpu: Gpu, data: [&'a Dataset; 2]) -> Self {
        let n = network.parameters();
        let mut live = vec![1.0f32; n];
        network.tensors().for_each(|t| t.clear_missing(&mut live));
        let buffers_host = initial_buffers(&network);
        let largest = network.layers().iter().map(|l| l.input.len().max(l.output.len())).max().unwrap_or(1);
        let mut engine = GpuEngine {
            at_once: ((gpu.max_binding / (4 * largest.max(1) as u64)) as usize).clamp(1, EVALUATION),
            samples: Samples::new(gpu.clone(), network.input(), data),
            parameters: Slab::new(vec![0.0; n], &gpu),
            gradients: Slab::new(vec![0.0; n], &gpu),
            state: Vec::new(),
            state_host: Vec::new(),
            buffers: Vec::new(),
            average: None,
            live: live.contains(&0.0).then(|| row(&live, &gpu)),
            decays: None,
            alive: Tensor::from_data([true], &gpu.device),
            tally: Tally::new(&gpu.device),
            failed: None,
            is_fresh: true,
            buffers_host: Vec::new(),
            network,
            gpu,
        };
        engine.buffers = engine.split(&buffers_host);
        engine.buffers_host = buffers_host;
        engine
    }

    /// A slab of buffers, by tensor.
    fn split(&self, slab: &[f32]) -> Vec<Tensor<1>> {
        self.network.buffer_tensors().map(|b| row(&slab[b.range.clone()], &self.gpu)).collect()
    }

    fn error(&self, what: impl AsRef<str>) -> EngineError {
        device_error(&self.gpu.name, what.as_ref())
    }

    /// Parameters by tensor; leaves of a graph if they are to get gradients.
    fn tensors(&self, gradients: bool) -> Vec<Tensor<1>> {
        let part = |range: &std::ops::Range<usize>| self.parameters.device.clone().narrow(0, range.start, range.len());
        let parts = self.network.tensors().map(|t| part(&t.range));
        match gradients {
            true => parts.map(|t| Tensor::from_inner(t).require_grad()).collect(),
            false => parts.collect(),
        }
    }

    /// Logits `[n, outputs]` of evaluation.
    fn logits(&mut self, batch: &Batch) -> Result<Tensor<2>, EngineError> {
        let x = self.samples.input(batch, None)?;
        let parameters = self.tensors(false);
        let (network, device) = (&self.network, &self.gpu.device);
        let values = Values { network, parameters: &parameters, buffers: &self.buffers, keys: None, device };
        Ok(values.logits(x).0)
    }

    /// Queues a step's forward and backward pass.
    fn queue(&mut self, batch: &Batch, how: &TrainStep, weight: f64) -> Result<(), EngineError> {
        let (n, outputs) = (batch.indices.len(), self.network.outputs());
        let x = Tensor::from_inner(self.samples.input(batch, Some(how))?);
        let device = &self.gpu.device;
        let keys = batch.indices.iter().map(|&i| how.dropout_key(i) as i32);
        let leaves = self.tensors(true);
        let network = &self.network;
        let keys = Some(integers(keys, device));
        let values = Values { network, parameters: &leaves, buffers: &self.buffers, keys, device };
        let (logits, statistics) = values.logits(x);
        let wanted = Wanted::new(batch, Some(how), outputs, device);
        let hits = wanted.hits(logits.clone().inner());
        let loss = wanted.loss(logits);
        let mut found = loss.clone().mul_scalar(1.0 / weight).backward();
        let loss = loss.inner();
        let part =
            |leaf: &Tensor<1>| leaf.grad_remove(&mut found).unwrap_or_else(|| Tensor::zeros(leaf.dims(), device));
        let mut g = Tensor::cat(leaves.iter().map(part).collect(), 0);
        if let Some(live) = &self.live {
            g = g * live.clone();
        }
        // No sum of finite values is not finite here, unless training has diverged long before.
        let size = g.clone().abs().sum() + loss.clone().abs();
        let before = self.alive.clone();
        self.alive = before.clone().bool_and(size.lower_equal_elem(f32::MAX));
        self.gradients.device = kept_unless(&before, g, self.gradients.device.clone());
        self.track(statistics);
        self.tally.add(loss, hits, self.alive.clone(), n, n as f64 / weight);
        self.is_fresh = false;
        Ok(())
    }

    /// Moves running statistics towards those of the batch.
    fn track(&mut self, statistics: Statistics) {
        let momenta = self.network.layers().iter().filter_map(|l| match &l.geometry {
            Geometry::BatchNorm(s) => Some(s.momentum),
            _ => None,
        });
        for ((first, seen), momentum) in statistics.into_iter().zip(momenta) {
            for (running, new) in self.buffers[first..].iter_mut().zip(seen) {
                let moved = running.clone() + (new - running.clone()).mul_scalar(momentum);
                *running = kept_unless(&self.alive, moved, running.clone());
            }
        }
    }

    fn apply(&mut self, update: Update, longest: Option<f32>) {
        let (n, slots) = (self.network.parameters(), update.optimizer.slots());
        if self.state.len() != slots {
            self.state = (0..slots).map(|_| Tensor::zeros([n], &self.gpu.device)).collect();
        }
        let g = self.gradients.device.clone();
        let g = match longest {
            Some(longest) => optimizer::clipped(g, longest),
            None => g,
        };
        let decays = self.decays(&update.optimizer);
        let (w, state) =
            optimizer::step(&self.network, &update, decays, g, self.parameters.device.clone(), &self.state);
        self.parameters.device = kept_unless(&self.alive, w, self.parameters.device.clone());
        for (old, new) in self.state.iter_mut().zip(state) {
            *old = kept_unless(&self.alive, new, old.clone());
        }
        self.is_fresh = false;
    }

    /// 1 where parameters decay, 0 elsewhere; `None` if that does not matter.
    fn decays(&mut self, o: &Optimizer) -> Option<Tensor<1>> {
        if o.weight_decay == 0.0 || o.decay_norms_and_biases {
            return None;
        }
        if self.decays.is_none() {
            let mut all = vec![0.0f32; self.network.parameters()];
            let weights = self.network.tensors().filter(|t| t.role == Role::Weight);
            weights.for_each(|t| all[t.range.clone()].fill(1.0));
            self.decays = Some(row(&all, &self.gpu));
        }
        self.decays.clone()
    }

    /// Does device work of a call that gives no error; the next one that can tells it.
    fn later(&mut self, work: impl FnOnce(&mut Self)) {
        if self.failed.is_none()
            && let Err(what) = guarded(|| work(self))
        {
            self.failed = Some(self.error(what));
        }
    }

    fn guard<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, EngineError>) -> Result<T, EngineError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        match guarded(|| work(self)) {
            Ok(done) => done,
            Err(what) => Err(self.error(what)),
        }
    }

    /// Reads the steps that wait.
    fn read_steps(&mut self) -> Result<Score, EngineError> {
        if self.tally.is_empty() {
            return Ok(Score::default());
        }
        match self.tally.read().map_err(|e| self.error(e))? {
            Told::Score(score) => Ok(score),
            Told::Diverged { finite_loss } => Err(self.diverged(finite_loss)),
        }
    }

    /// Where a step was not finite. What comes next starts from before it.
    fn diverged(&mut self, finite_loss: bool) -> EngineError {
        self.alive = Tensor::from_data([true], &self.gpu.device);
        let gradients = read(&self.gradients.device).unwrap_or_default();
        let (what, layer) = match first_not_finite(&gradients).filter(|_| finite_loss) {
            Some(position) => ("the gradient", self.network.layer_at(position)),
            None => ("the loss", self.network.layers().iter().rev().find(|l| l.weight.is_some())),
        };
        EngineError::NotFinite { what, layer: layer.map_or_else(String::new, |l| l.title()) }
    }

    /// Brings home what is lent out.
    fn refresh(&mut self) -> Result<(), EngineError> {
        if self.is_fresh {
            return Ok(());
        }
        let concat = |tensors: &[Tensor<1>]| -> Result<Vec<f32>, String> {
            tensors.iter().map(read).collect::<Result<Vec<_>, _>>().map(|all| all.concat())
        };
        let home = || -> Result<_, String> {
            let slabs = [read(&self.parameters.device)?, read(&self.gradients.device)?];
            Ok((slabs, concat(&self.state)?, concat(&self.buffers)?))
        };
        let ([parameters, gradients], state, buffers) = home().map_err(|e| self.error(e))?;
        (self.parameters.host, self.gradients.host) = (parameters, gradients);
        (self.state_host, self.buffers_host) = (state, buffers);
        self.is_fresh = true;
        Ok(())
    }
}

impl Engine for GpuEngine<'_> {
    fn device(&self) -> String {
        self.gpu.name.clone()
    }

    fn network(&self) -> &Network {
        &self.network
    }

    fn forward(&mut self, batch: &Batch, logits: &mut [f32]) -> Result<(), EngineError> {
        batch.check_forward(&self.network, logits.len())?;
        let outputs = self.network.outputs();
        self.guard(|engine| {
            let n = engine.at_once;
            for (indices, out) in batch.indices.chunks(n).zip(logits.chunks_mut(n * outputs)) {
                let found = engine.logits(&Batch { indices, ..*batch })?;
                let found: Vec<f32> = found.try_into_vec_as().map_err(|e| engine.error(e.to_string()))?;
                out.copy_from_slice(&found);
            }
            Ok(())
        })
    }

    fn evaluate(&mut self, batch: &Batch) -> Result<Score, EngineError> {
        batch.check(&self.network, true)?;
        let outputs = self.network.outputs();
        self.guard(|engine| {
            let mut parts = Vec::new();
            for indices in batch.indices.chunks(engine.at_once) {
                let part = Batch { indices, ..*batch };
                let logits = engine.logits(&part)?;
                let wanted = Wanted::new(&part, None, outputs, &engine.gpu.device);
                parts.extend([wanted.loss(logits.clone()), wanted.hits(logits)]);
            }
            let found = read(&Tensor::cat(parts, 0)).map_err(|e| engine.error(e))?;
            let mut score = Score { samples: batch.indices.len(), ..Score::default() };
            for [loss, hits] in found.as_chunks::<2>().0 {
                score.loss += f64::from(*loss);
                score.correct += *hits as usize;
            }
            Ok(score)
        })
    }

    fn backward(&mut self, batch: &Batch, how: &TrainStep) -> Result<Score, EngineError> {
        batch.check(&self.network, true)?;
        let weight = how.weight(batch, self.network.outputs())?;
        self.guard(|engine| {
            engine.queue(batch, how, weight)?;
            match engine.tally.is_due() {
                true => engine.read_steps(),
                false => Ok(Score::default()),
            }
        })
    }

    fn update(&mut self, update: Update) {
        self.later(|engine| engine.apply(update, None));
    }

    fn update_clipped(&mut self, longest: f32, update: Update) {
        self.later(|engine| engine.apply(update, Some(longest)));
    }

    fn average(&mut self, average: &mut Average, rest: f32) {
        self.later(|engine| {
            let (parameters, buffers) = match engine.average.take() {
                Some(average) => average,
                None => (row(&average.parameters, &engine.gpu), engine.split(&average.buffers)),
            };
            let moved = |a: Tensor<1>, value: &Tensor<1>| a.clone() + (value.clone() - a).mul_scalar(rest);
            let parameters = moved(parameters, &engine.parameters.device);
            let buffers = buffers.into_iter().zip(&engine.buffers).map(|(a, value)| moved(a, value)).collect();
            engine.average = Some((parameters, buffers));
            engine.is_fresh = false;
        });
    }

    fn settle(&mut self, average: Option<&mut Average>) -> Result<Score, EngineError> {
        self.guard(|engine| {
            let was_fresh = engine.is_fresh;
            let told = engine.read_steps();
            engine.refresh()?;
            engine.tally.settled();
            if let (false, Some(average), Some((parameters, buffers))) = (was_fresh, average, &engine.average) {
                let home = || -> Result<Average, String> {
                    let buffers = buffers.iter().map(read).collect::<Result<Vec<_>, _>>()?;
                    Ok(Average { parameters: read(parameters)?, buffers: buffers.concat() })
                };
                *average = home().map_err(|e| engine.error(e))?;
            }
            told
        })
    }

    fn parameters(&self) -> &[f32] {
        &self.parameters.host
    }

    fn set_parameters(&mut self, parameters: &[f32]) -> Result<(), EngineError> {
        if parameters.len() != self.network.parameters() {
            let (n, wanted) = (parameters.len(), self.network.parameters());
            return Err(EngineError::Mismatch(format!("{n} parameters for a network of {wanted}")));
        }
        self.guard(|engine| {
            engine.parameters = Slab::new(parameters.to_vec(), &engine.gpu);
            Ok(())
        })
    }

    fn gradients(&self) -> &[f32] {
        &self.gradients.host
    }

    fn optimizer_state(&self) -> &[f32] {
        &self.state_host
    }

    fn set_optimizer_state(&mut self, state: &[f32]) -> Result<(), EngineError> {
        let (n, wanted) = (state.len(), self.network.parameters());
        if !n.is_multiple_of(wanted.max(1)) || n > 2 * wanted {
            return Err(EngineError::Mismatch(format!("{n} values of optimizer state for {wanted} parameters")));
        }
        self.guard(|engine| {
            engine.state = state.chunks(wanted.max(1)).map(|slab| row(slab, &engine.gpu)).collect();
            engine.state_host = state.to_vec();
            Ok(())
        })
    }

    fn buffers(&self) -> &[f32] {
        &self.buffers_host
    }

    fn set_buffers(&mut self, buffers: &[f32]) -> Result<(), EngineError> {
        if buffers.len() != self.network.buffers() {
            let (n, wanted) = (buffers.len(), self.network.buffers());
            return Err(EngineError::Mismatch(format!("{n} buffers for a network of {wanted}")));
        }
        self.guard(|engine| {
            engine.buffers = engine.split(buffers);
            engine.buffers_host = buffers.to_vec();
            Ok(())
        })
    }
}
