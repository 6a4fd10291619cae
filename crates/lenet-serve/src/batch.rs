//! Micro-batching: a bounded queue of inputs and the threads that run them.
//!
//! There is no timer. A thread that is free takes what waits, up to a chunk of the engine: a lone request starts at once,
//! and under load batches fill while the threads are busy.

use crate::http::Problem;
use crate::metrics::Histogram;
use hyper::StatusCode;
use lenet::engine::CHUNK;
use lenet::engine::{Batch, CpuEngine, CpuOptions, EngineError, Pixels, resolve_threads};
use lenet::model::Model;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Samples of a larger request that a thread takes at a time: others get their turn in between.
const PIECE: usize = 4 * CHUNK;

/// Upper bounds of the batch sizes that are counted.
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];

/// What a model's threads have done and have to do.
pub struct BatchStats {
    /// Sizes of batches.
    pub sizes: Histogram,
    /// Samples in the queue.
    pub waiting: AtomicUsize,
}

impl Default for BatchStats {
    fn default() -> Self {
        BatchStats { sizes: Histogram::new(SIZES), waiting: AtomicUsize::new(0) }
    }
}

/// Logits `[samples, classes]`, or why there are none.
type Reply = Result<Vec<f32>, String>;

/// Some samples of one request.
struct Job {
    /// `[samples, c, h, w]`
    inputs: Vec<f32>,
    samples: usize,
    reply: oneshot::Sender<Reply>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    samples: usize,
    closed: bool,
}

struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    capacity: usize,
    stats: Arc<BatchStats>,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for jobs and takes as many as fill a chunk, or one that is larger; nothing when the queue is closed and empty.
    fn take(&self) -> Option<Vec<Job>> {
        let mut queue = self.queue();
        while queue.jobs.is_empty() {
            if queue.closed {
                return None;
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        let (mut taken, mut samples) = (Vec::new(), 0);
        while queue.jobs.front().is_some_and(|j| samples == 0 || samples + j.samples <= CHUNK) {
            let Some(job) = queue.jobs.pop_front() else { break };
            samples += job.samples;
            taken.push(job);
        }
        queue.samples -= samples;
        self.stats.waiting.fetch_sub(samples, Ordering::Relaxed);
        Some(taken)
    }
}

/// A model's queue and threads. When it is dropped the threads finish the queue and end.
pub struct Batcher {
    shared: Arc<Shared>,
    sample: usize,
}

impl Batcher {
    /// Starts threads, each with an engine of its own: samples are independent, so nobody waits for another.
    pub fn start(
        model: Arc<Model>,
        threads: usize,
        capacity: usize,
        stats: Arc<BatchStats>,
    ) -> Result<Batcher, EngineError> {
        let shared = Arc::new(Shared { queue: Mutex::default(), wake: Condvar::new(), capacity, stats });
        let sample = model.spec.input.iter().product();
        // From here on an error closes the queue, and with it the threads that run already.
        let batcher = Batcher { shared: shared.clone(), sample };
        for number in 0..resolve_threads(threads) {
            let mut engine = model.engine(CpuOptions { threads: 1, path: None })?;
            let zeros = run(&model, &mut engine, &vec![0.0; sample], 1)?;
            if zeros.iter().any(|v| !v.is_finite()) {
                return Err(EngineError::Mismatch("the network's logits for a black image are not finite".into()));
            }
            let (shared, model) = (shared.clone(), model.clone());
            let thread = std::thread::Builder::new().name(format!("lenet-engine-{number}"));
            let spawned = thread.spawn(move || work(&shared, &model, &mut engine));
            spawned.map_err(|e| EngineError::Mismatch(format!("no thread for the engine: {e}")))?;
        }
        Ok(batcher)
    }

    /// The logits, `[n, classes]`, of inputs `[n, c, h, w]` as the network sees them.
    ///
    /// # Errors
    /// 429 if the queue is full, 503 if the answer takes longer than `time`, 422 for inputs that are not finite.
    pub async fn logits(&self, inputs: Vec<f32>, time: Duration) -> Result<Vec<f32>, Problem> {
        if inputs.is_empty() || !inputs.len().is_multiple_of(self.sample) {
            return Err(Problem::unfit(format!("{} values are no images of {}", inputs.len(), self.sample)));
        }
        if let Some(at) = inputs.iter().position(|v| !v.is_finite()) {
            return Err(Problem::unfit(format!("value {at} of the input is not finite")));
        }
        let samples = inputs.len() / self.sample;
        let replies = self.submit(inputs, samples)?;
        let collect = async {
            let mut logits = Vec::new();
            for reply in replies {
                let part = reply.await.map_err(|_| Problem::internal("the engine has stopped"))?;
                logits.extend(part.map_err(Problem::internal)?);
            }
            Ok(logits)
        };
        tokio::time::timeout(time, collect).await.unwrap_or_else(|_| {
            let message = "the engine did not come to this request in time: try again later";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, message))
        })
    }

    /// Puts all of a request into the queue, or nothing.
    fn submit(&self, inputs: Vec<f32>, samples: usize) -> Result<Vec<oneshot::Receiver<Reply>>, Problem> {
        let (mut jobs, mut replies) = (Vec::new(), Vec::new());
        let mut push = |inputs: Vec<f32>| {
            let (reply, receiver) = oneshot::channel();
            jobs.push(Job { samples: inputs.len() / self.sample, inputs, reply });
            replies.push(receiver);
        };
        if samples <= PIECE {
            push(inputs);
        } else {
            inputs.chunks(PIECE * self.sample).for_each(|piece| push(piece.to_vec()));
        }
        let mut queue = self.shared.queue();
        let capacity = self.shared.capacity;
        if queue.samples + samples > capacity {
            let waiting = queue.samples;
            let message =
                format!("{waiting} of at most {capacity} samples wait already, no room for {samples}: try again later");
            return Err(Problem::new(StatusCode::TOO_MANY_REQUESTS, message));
        }
        queue.samples += samples;
        self.shared.stats.waiting.fetch_add(samples, Ordering::Relaxed);
        let several = jobs.len() > 1;
        queue.jobs.extend(jobs);
        drop(queue);
        if several {
            self.shared.wake.notify_all()
        } else {
            self.shared.wake.notify_one()
        }
        Ok(replies)
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.shared.queue().closed = true;
        self.shared.wake.notify_all();
    }
}

/// What an engine thread does.
fn work(shared: &Shared, model: &Model, engine: &mut CpuEngine) {
    while let Some(mut jobs) = shared.take() {
        // Who has gone away needs no answer.
        jobs.retain(|job| !job.reply.is_closed());
        let samples: usize = jobs.iter().map(|j| j.samples).sum();
        let inputs = match &jobs[..] {
            [] => continue,
            [one] => &one.inputs,
            several => &several.iter().flat_map(|j| &j.inputs).copied().collect(),
        };
        shared.stats.sizes.observe(samples as f64);
        // A panic is a defect; it costs these requests and not the server.
        let result = catch_unwind(AssertUnwindSafe(|| run(model, engine, inputs, samples)));
        let result = result.unwrap_or_else(|_| Err(EngineError::Mismatch("the engine has failed".into())));
        match result {
            Ok(logits) => {
                let mut rest = &logits[..];
                for job in jobs {
                    let part = rest.split_off(..job.samples * model.network.outputs()).unwrap_or_default();
                    let _ = job.reply.send(Ok(part.to_vec()));
                }
            }
            Err(error) => jobs.into_iter().for_each(|job| drop(job.reply.send(Err(error.to_string())))),
        }
    }
}

/// The logits of `[samples, c, h, w]`.
fn run(model: &Model, engine: &mut CpuEngine, inputs: &[f32], samples: usize) -> Result<Vec<f32>, EngineError> {
    let indices: Vec<u32> = (0..samples as u32).collect();
    let batch = Batch { pixels: Pixels::Floats(inputs), labels: &[], indices: &indices };
    let mut logits = vec![0.0; samples * model.network.outputs()];
    model.logits(engine, &batch, &mut logits)?;
    Ok(logits)
}
