//! The engine across ranks: rank 0's calls, and those who do them too.

use crate::cluster::Cluster;
use crate::message::{Kind, Message};
use lenet::data::Dataset;
use lenet::engine::Targets;
use lenet::engine::{Batch, CpuEngine, CpuOptions, Engine, EngineError, Pixels, Score, TrainStep, Update};
use lenet::spec::Augment;
use lenet::spec::{Network, Optimizer, OptimizerKind};

/// Where a batch's pixels are.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
enum Place {
    /// All ranks have them.
    Train,
    Test,
    /// They came with the message.
    Bytes,
    Floats,
}

const PLACES: [Place; 4] = [Place::Train, Place::Test, Place::Bytes, Place::Floats];

/// The CPU engines of all ranks as one. On rank 0 it is an [`Engine`]; the others [`MpiEngine::serve`].
pub struct MpiEngine<'a> {
    cluster: Cluster,
    cpu: CpuEngine,
    data: [&'a Dataset; 2],
    augment: Augment,
    /// What the other ranks were told of last.
    told: Option<(Place, Vec<[f32; 256]>)>,
}

/// The samples that a rank was told of.
struct Source {
    place: Place,
    tables: Vec<[f32; 256]>,
    labels: Vec<u16>,
    bytes: Vec<u8>,
    floats: Vec<f32>,
}

impl Source {
    fn read(message: &mut Message) -> Self {
        let place = PLACES[message.next() as usize % PLACES.len()];
        let tables = message.next_floats().as_chunks().0.to_vec();
        let labels = message.next_list().iter().map(|&l| l as u16).collect();
        Source { place, tables, labels, bytes: message.next_bytes(), floats: message.next_floats() }
    }

    fn batch<'s>(&'s self, data: [&'s Dataset; 2], indices: &'s [u32]) -> Batch<'s> {
        let bytes = |data| Pixels::Bytes { data, tables: &self.tables };
        let (pixels, labels) = match self.place {
            Place::Train => (bytes(&data[0].images), &data[0].labels),
            Place::Test => (bytes(&data[1].images), &data[1].labels),
            Place::Bytes => (bytes(&self.bytes), &self.labels),
            Place::Floats => (Pixels::Floats(&self.floats), &self.labels),
        };
        Batch { pixels, labels, indices }
    }
}

impl<'a> MpiEngine<'a> {
    /// An engine for a network on every rank, for steps with this augmentation on these training and test images.
    ///
    /// # Errors
    /// As [`CpuEngine::new`].
    pub fn new(
        cluster: Cluster,
        network: Network,
        options: CpuOptions,
        data: [&'a Dataset; 2],
        augment: &Augment,
    ) -> Result<Self, EngineError> {
        let cpu = CpuEngine::new(network, options)?.with_ranks(Box::new(cluster));
        Ok(MpiEngine { cluster, cpu, data, augment: augment.clone(), told: None })
    }

    /// Threads of this rank.
    pub fn threads(&self) -> usize {
        self.cpu.threads()
    }

    /// Does what rank 0's engine does, until that is dropped.
    pub fn serve(mut self) {
        let mut source = Source {
            place: Place::Train,
            tables: Vec::new(),
            labels: Vec::new(),
            bytes: Vec::new(),
            floats: Vec::new(),
        };
        loop {
            let mut message = Message::receive();
            // An error is rank 0's as well, which tells it.
            let _ = match message.kind {
                Kind::Source => {
                    source = Source::read(&mut message);
                    Ok(())
                }
                Kind::Backward => {
                    let (seed, epoch) = (message.next_long(), message.next());
                    let augment = (message.next() != 0).then_some(&self.augment);
                    let (smoothing, weights) = (message.next_float(), message.next_floats());
                    let how = TrainStep { seed, epoch, augment, targets: Targets { smoothing, weights: &weights } };
                    self.cpu.backward(&source.batch(self.data, message.next_list()), &how).map(drop)
                }
                Kind::Update => {
                    self.cpu.update(read_update(&mut message));
                    Ok(())
                }
                Kind::Evaluate => self.cpu.evaluate(&source.batch(self.data, message.next_list())).map(drop),
                Kind::Forward => {
                    let indices = message.next_list();
                    let mut logits = vec![0.0; indices.len() * self.cpu.network().outputs()];
                    self.cpu.forward(&source.batch(self.data, indices), &mut logits)
                }
                Kind::Parameters => self.cpu.set_parameters(&message.next_floats()),
                Kind::Buffers => self.cpu.set_buffers(&message.next_floats()),
                Kind::OptimizerState => self.cpu.set_optimizer_state(&message.next_floats()),
                Kind::Stop | Kind::Text | Kind::End => return,
            };
        }
    }

    /// Tells the others which samples a call is about, unless they know.
    fn tell_source(&mut self, batch: &Batch) {
        let is = |data: &Dataset| match batch.pixels {
            Pixels::Bytes { data: pixels, .. } => {
                std::ptr::eq(pixels, &data.images[..]) && std::ptr::eq(batch.labels, &data.labels[..])
            }
            Pixels::Floats(_) => false,
        };
        let (bytes, tables, floats): (&[u8], &[[f32; 256]], &[f32]) = match batch.pixels {
            Pixels::Bytes { data, tables } => (data, tables, &[]),
            Pixels::Floats(floats) => (&[], &[], floats),
        };
        let place = match self.data.iter().position(|d| is(d)) {
            Some(0) => Place::Train,
            Some(_) => Place::Test,
            None if bytes.is_empty() => Place::Floats,
            None => Place::Bytes,
        };
        let carried = place == Place::Bytes || place == Place::Floats;
        if !carried && self.told.as_ref().is_some_and(|(p, t)| *p == place && t == tables) {
            return;
        }
        let labels = if carried { batch.labels } else { &[] };
        let message = Message::new(Kind::Source).word(place as u32).floats(tables.as_flattened());
        let message = message.list(labels.iter().map(|&l| u32::from(l)));
        message.bytes(if carried { bytes } else { &[] }).floats(floats).send();
        self.told = Some((place, tables.to_vec()));
    }

    fn call(&mut self, kind: Kind, batch: &Batch) {
        self.tell_source(batch);
        Message::new(kind).list(batch.indices.iter().copied()).send();
    }
}

fn write_update(update: &Update) -> Message {
    let o = &update.optimizer;
    let kind = OptimizerKind::ALL.iter().position(|k| *k == o.kind).unwrap_or(0);
    let message = Message::new(Kind::Update).word(kind as u32).word(u32::from(o.nesterov));
    let message = message.word(u32::from(o.decay_norms_and_biases));
    let floats = [o.momentum, o.weight_decay, o.beta1, o.beta2, o.eps, update.lr, update.scale];
    floats.into_iter().fold(message, Message::float).long(update.step)
}

fn read_update(message: &mut Message) -> Update {
    let kind = OptimizerKind::ALL[message.next() as usize % OptimizerKind::ALL.len()];
    let [nesterov, decay_norms_and_biases] = [message.next(), message.next()].map(|w| w != 0);
    let [momentum, weight_decay, beta1, beta2, eps, lr, scale] = std::array::from_fn(|_| message.next_float());
    let optimizer = Optimizer { kind, momentum, nesterov, weight_decay, decay_norms_and_biases, beta1, beta2, eps };
    Update { optimizer, lr, scale, step: message.next_long() }
}

impl Engine for MpiEngine<'_> {
    fn device(&self) -> String {
        let ranks = self.cluster.ranks();
        format!("{ranks} rank{} by MPI, each {}", if ranks == 1 { "" } else { "s" }, self.cpu.device())
    }

    fn network(&self) -> &Network {
        self.cpu.network()
    }

    fn forward(&mut self, batch: &Batch, logits: &mut [f32]) -> Result<(), EngineError> {
        if logits.len() == batch.indices.len() * self.cpu.network().outputs() {
            self.call(Kind::Forward, batch);
        }
        self.cpu.forward(batch, logits)
    }

    fn evaluate(&mut self, batch: &Batch) -> Result<Score, EngineError> {
        self.call(Kind::Evaluate, batch);
        self.cpu.evaluate(batch)
    }

    fn backward(&mut self, batch: &Batch, how: &TrainStep) -> Result<Score, EngineError> {
        if how.augment.is_some_and(|a| *a != self.augment) {
            return Err(EngineError::Mismatch("the ranks were prepared for another augmentation".into()));
        }
        self.tell_source(batch);
        let message =
            Message::new(Kind::Backward).long(how.seed).word(how.epoch).word(u32::from(how.augment.is_some()));
        let message = message.float(how.targets.smoothing).floats(how.targets.weights);
        message.list(batch.indices.iter().copied()).send();
        self.cpu.backward(batch, how)
    }

    fn update(&mut self, update: Update) {
        write_update(&update).send();
        self.cpu.update(update);
    }

    fn parameters(&self) -> &[f32] {
        self.cpu.parameters()
    }

    fn set_parameters(&mut self, parameters: &[f32]) -> Result<(), EngineError> {
        Message::new(Kind::Parameters).floats(parameters).send();
        self.cpu.set_parameters(parameters)
    }

    fn gradients(&self) -> &[f32] {
        self.cpu.gradients()
    }

    fn optimizer_state(&self) -> &[f32] {
        self.cpu.optimizer_state()
    }

    fn set_optimizer_state(&mut self, state: &[f32]) -> Result<(), EngineError> {
        Message::new(Kind::OptimizerState).floats(state).send();
        self.cpu.set_optimizer_state(state)
    }

    fn buffers(&self) -> &[f32] {
        self.cpu.buffers()
    }

    fn set_buffers(&mut self, buffers: &[f32]) -> Result<(), EngineError> {
        Message::new(Kind::Buffers).floats(buffers).send();
        self.cpu.set_buffers(buffers)
    }
}

impl Drop for MpiEngine<'_> {
    fn drop(&mut self) {
        if self.cluster.rank() == 0 && !std::thread::panicking() {
            Message::new(Kind::End).send();
        }
    }
}
