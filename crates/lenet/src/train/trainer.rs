//! Trains epoch by epoch: steps, evaluations, checkpoints, and what listeners are told of them.

use super::checkpoint::{BUFFERS, Checkpoint, EMA_BUFFERS, EMA_PARAMETERS, OPTIMIZER};
use super::error::TrainError;
use super::evaluate::{evaluate, evaluate_indices};
use super::event::{Control, EpochMetrics, Event, Outcome};
use super::history::History;
use super::images::{Images, TestImages};
use super::run::Run;
use super::start::{Progress, held, start};
use crate::engine::{Average, Engine, EngineError, Score, TrainStep, Update};
use crate::kernel::sums::first_not_finite;
use crate::model::{Model, Training};
use crate::spec::{LayerInfo, Network, Recipe, Spec, TrainRecipe};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What decides a training, and what its model is called.
pub(super) struct Plan {
    pub recipe: Recipe,
    pub name: String,
    pub spec: Spec,
}

/// Drives one training; made by a [`Session`](super::Session).
pub struct Trainer<'a> {
    plan: Plan,
    /// What its checkpoints are known by.
    identity: String,
    images: Images<'a>,
    test: TestImages<'a>,
    engine: Box<dyn Engine + 'a>,
    run: Option<Run>,
    progress: Progress,
    history: History,
    average: Option<Average>,
    ranked: bool,
}

/// Whoever is told of events, and answers whether to go on.
type Listener<'l> = dyn FnMut(&Event) -> Control + 'l;

/// How fast this process trains.
struct Pace {
    started: Instant,
    images: usize,
}

impl Pace {
    /// Images per second.
    fn rate(&self) -> f64 {
        self.images as f64 / self.started.elapsed().as_secs_f64().max(1e-9)
    }
}

impl<'a> Trainer<'a> {
    /// Prepares a training: initial parameters, those of `init_from`, or those of the run's last checkpoint.
    pub(super) fn new(
        plan: Plan,
        (images, test): (Images<'a>, TestImages<'a>),
        mut engine: Box<dyn Engine + 'a>,
        mut run: Option<Run>,
    ) -> Result<Self, TrainError> {
        let identity = Checkpoint::identity_of(&plan.recipe, images.data);
        let (progress, average) = start(&plan.recipe, images.train.len(), engine.as_mut(), run.as_mut(), &identity)?;
        let history = History::of(run.as_ref().map_or(&[], Run::metrics));
        Ok(Trainer { plan, identity, images, test, engine, run, progress, history, average, ranked: false })
    }

    /// The recipe, with the numbers that were resolved against the data.
    pub fn recipe(&self) -> &Recipe {
        &self.plan.recipe
    }

    /// Name of the recipe.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// The network.
    pub fn network(&self) -> &Network {
        self.engine.network()
    }

    /// The run, if there is one.
    pub fn run_dir(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    /// Number of training and of test images, within the recipe's limits.
    pub fn images(&self) -> [usize; 2] {
        [self.images.train.len(), self.test.len]
    }

    /// What executes.
    pub fn device(&self) -> String {
        self.engine.device()
    }

    /// Metrics of the last epoch done.
    pub fn last_metrics(&self) -> Option<&EpochMetrics> {
        self.history.last.as_ref()
    }

    /// Trains until all epochs are done or the listener stops it; then the model is saved into the run.
    ///
    /// # Errors
    /// Divergence, and whatever the file system says. The last good checkpoint stays.
    pub fn run(&mut self, on_event: &mut dyn FnMut(&Event) -> Control) -> Result<Outcome, TrainError> {
        let mut pace = Pace { started: Instant::now(), images: 0 };
        on_event(&Event::Started { epoch: self.progress.epoch, step: self.progress.step });
        while self.progress.epoch < self.plan.recipe.train.epochs && !self.is_out_of_patience() {
            if self.run_epoch(&mut pace, on_event)? == Control::Stop {
                self.checkpoint(on_event)?;
                return Ok(Outcome::Interrupted);
            }
        }
        if let Some(run) = &self.run {
            run.save_model(&self.model())?;
        }
        Ok(Outcome::Finished)
    }

    /// Validates after every epoch and tests after the last alone, whatever the recipe says: for trials that are ranked
    /// by validation.
    pub fn ranked(mut self) -> Self {
        self.ranked = true;
        self
    }

    /// Whether validation has not got better for as many evaluations as the recipe waits.
    pub fn is_out_of_patience(&self) -> bool {
        self.history.is_out_of_patience(&self.plan.recipe.train, self.progress.epoch)
    }

    /// Steps of an epoch.
    fn steps(&self) -> usize {
        self.images.train.len().div_ceil(self.plan.recipe.train.batch)
    }

    /// The learning rate of a step of this epoch, from 0.
    fn lr(&self, step: usize) -> f32 {
        let (train, steps) = (&self.plan.recipe.train, self.steps());
        train.schedule.lr(train.lr, self.progress.epoch * steps + step, steps, train.epochs)
    }

    /// One step on these samples.
    fn learn(&mut self, indices: &[u32]) -> Result<Score, EngineError> {
        let (recipe, Progress { epoch, step, .. }) = (&self.plan.recipe, self.progress);
        let how = TrainStep::of(recipe, epoch, &self.images.weights);
        let score = self.engine.backward(&self.images.batch(indices), &how)?;
        let number = epoch * self.steps() + step + 1;
        let update = Update { optimizer: recipe.train.optimizer, lr: self.lr(step), scale: 1.0, step: number as u64 };
        match recipe.train.clip_norm {
            Some(longest) => self.engine.update_clipped(longest, update),
            None => self.engine.update(update),
        }
        if let (Some(average), Some(decay)) = (&mut self.average, recipe.train.ema) {
            // At first the average follows closely: it would remember the initial weights for long.
            let decay = f64::from(decay).min((1.0 + number as f64) / (10.0 + number as f64));
            self.engine.average(average, (1.0 - decay) as f32);
        }
        Ok(score)
    }

    /// Puts other parameters and buffers into the engine, and gives those that were there.
    fn swap(&mut self, other: Average) -> Result<Average, EngineError> {
        let now = held(self.engine.as_ref());
        self.engine.set_parameters(&other.parameters)?;
        self.engine.set_buffers(&other.buffers)?;
        Ok(now)
    }

    /// Validation and test scores after this epoch (counted from 1), where it is their turn, of the averaged weights if
    /// there are any.
    fn evaluate(&mut self, epoch: usize) -> Result<[Option<Score>; 2], EngineError> {
        let train = &self.plan.recipe.train;
        let is_last = epoch >= train.epochs;
        let is_turn = is_last || epoch.is_multiple_of(train.evaluate_every.max(1));
        if !(is_turn || self.ranked) {
            return Ok([None, None]);
        }
        let trained = self.average.clone().map(|average| self.swap(average)).transpose()?;
        let (engine, flip) = (self.engine.as_mut(), self.plan.recipe.augment.flip_test);
        let (Images { data, val, tables, .. }, test) = (&self.images, self.test);
        let val = match &val[..] {
            [] => None,
            indices => Some(evaluate_indices(engine, data, tables, indices, flip)?),
        };
        let train = &self.plan.recipe.train;
        let accuracy = val.map(|v| v.accuracy());
        let ends = is_last || self.history.would_be_out_of_patience(train, epoch, accuracy);
        let test = match ends || !self.ranked {
            true => Some(evaluate(engine, test.data, tables, test.len, flip)?),
            false => None,
        };
        trained.map(|trained| self.swap(trained)).transpose()?;
        Ok([val, test])
    }

    fn run_epoch(&mut self, pace: &mut Pace, on_event: &mut Listener) -> Result<Control, TrainError> {
        let TrainRecipe { batch, seed, epochs, checkpoint_seconds, .. } = self.plan.recipe.train;
        let order = self.images.order(seed, self.progress.epoch);
        let (steps, period) = (self.steps(), Duration::from_secs(checkpoint_seconds));
        let mut clock = Instant::now();
        let mut last_checkpoint = Instant::now();
        while self.progress.step < steps {
            let first = self.progress.step * batch;
            let indices = &order[first..(first + batch).min(order.len())];
            let score = self.learn(indices).map_err(|error| self.stopped(error))?;
            let done = &mut self.progress;
            done.score += score;
            done.step += 1;
            pace.images += indices.len();
            done.seconds += clock.elapsed().as_secs_f64();
            clock = Instant::now();
            let rate = pace.rate();
            let left = (epochs - done.epoch) * order.len() - (done.step * batch).min(order.len());
            let event = Event::Step {
                epoch: done.epoch + 1,
                step: done.step,
                steps,
                loss: done.score.mean_loss(),
                images_per_second: rate,
                remaining: Duration::from_secs_f64(left as f64 / rate.max(1e-3)),
            };
            if on_event(&event) == Control::Stop {
                return Ok(Control::Stop);
            }
            if !period.is_zero() && last_checkpoint.elapsed() >= period && self.progress.step < steps {
                self.checkpoint(on_event)?;
                last_checkpoint = Instant::now();
            }
        }
        self.end_epoch(on_event)
    }

    fn end_epoch(&mut self, on_event: &mut Listener) -> Result<Control, TrainError> {
        let clock = Instant::now();
        self.settle()?;
        self.progress.seconds += clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        let epoch = self.progress.epoch + 1;
        let [val, test] = self.evaluate(epoch).map_err(|e| self.stopped(e))?;
        if [val, test].iter().flatten().any(|score| !score.loss.is_finite()) {
            let layer = self.engine.network().layers.last();
            return Err(self.not_finite("the loss of the evaluation", layer));
        }
        let Progress { step, score, seconds, .. } = self.progress;
        let metrics = EpochMetrics {
            epoch,
            lr: self.lr(step.saturating_sub(1)),
            train_loss: score.mean_loss(),
            train_accuracy: score.accuracy(),
            val_loss: val.map(|v| v.mean_loss()),
            val_accuracy: val.map(|v| v.accuracy()),
            test_loss: test.map(|t| t.mean_loss()),
            test_accuracy: test.map(|t| t.accuracy()),
            train_seconds: seconds,
            eval_seconds: clock.elapsed().as_secs_f64(),
            images_per_second: score.samples as f64 / seconds.max(1e-9),
        };
        self.progress = Progress { epoch, ..Progress::default() };
        // Metrics and best first: what a kill leaves behind the last checkpoint is dropped and done again.
        if self.run.is_some() {
            let (model, histograms) = (self.model(), self.plan.recipe.train.histograms);
            self.run.iter_mut().try_for_each(|run| run.add_epoch(&metrics, &model, histograms))?;
        }
        if let (true, Some(run)) = (self.history.add(&metrics), &self.run) {
            run.save_best(&self.state(), self.engine.network())?;
        }
        self.checkpoint(on_event)?;
        let control = on_event(&Event::Epoch(&metrics));
        // After the last epoch there is nothing to stop.
        Ok(if epoch < self.plan.recipe.train.epochs { control } else { Control::Continue })
    }

    fn state(&self) -> Checkpoint {
        let Progress { epoch, step, score, seconds } = self.progress;
        let average = self.average.as_ref();
        let slabs = [
            (BUFFERS, self.engine.buffers()),
            (OPTIMIZER, self.engine.optimizer_state()),
            (EMA_PARAMETERS, average.map_or(&[], |a| &a.parameters)),
            (EMA_BUFFERS, average.map_or(&[], |a| &a.buffers)),
        ];
        let slabs = slabs.into_iter().filter(|(_, slab)| !slab.is_empty());
        let slabs: BTreeMap<String, Vec<f32>> = slabs.map(|(name, slab)| (name.to_string(), slab.to_vec())).collect();
        Checkpoint {
            parameters: self.engine.parameters().to_vec(),
            slabs,
            identity: self.identity.clone(),
            epoch,
            step,
            loss: score.loss,
            correct: score.correct,
            seconds,
        }
    }

    fn checkpoint(&mut self, on_event: &mut Listener) -> Result<(), TrainError> {
        if self.run.is_some() {
            self.settle()?;
        }
        if let Some(run) = &self.run {
            run.save_checkpoint(&self.state(), self.engine.network())?;
            on_event(&Event::Checkpoint { path: run.last_checkpoint() });
        }
        Ok(())
    }

    /// Brings home what steps left on the device.
    fn settle(&mut self) -> Result<(), TrainError> {
        let score = self.engine.settle(self.average.as_mut()).map_err(|error| self.stopped(error))?;
        self.progress.score += score;
        self.check_parameters()
    }

    /// No checkpoint is replaced by one that cannot be gone on from.
    fn check_parameters(&self) -> Result<(), TrainError> {
        let network = self.engine.network();
        match first_not_finite(self.engine.parameters()) {
            Some(position) => Err(self.not_finite("a parameter", network.layer_at(position))),
            None => match first_not_finite(self.engine.optimizer_state()) {
                Some(position) => {
                    let layer = network.layer_at(position % network.parameters.max(1));
                    Err(self.not_finite("the optimizer's state", layer))
                }
                None => Ok(()),
            },
        }
    }

    fn not_finite(&self, what: &'static str, layer: Option<&LayerInfo>) -> TrainError {
        let layer = layer.map_or_else(String::new, |l| l.title());
        self.stopped(EngineError::NotFinite { what, layer })
    }

    fn stopped(&self, error: EngineError) -> TrainError {
        let kept = self.run.as_ref().map(Run::last_checkpoint).filter(|p| p.exists());
        TrainError::Engine { error, kept }
    }

    /// The model as it is now.
    pub fn model(&self) -> Model {
        let Plan { recipe, name, spec } = &self.plan;
        Model {
            spec: spec.clone(),
            network: self.engine.network().clone(),
            normalization: self.images.normalization.clone(),
            flip_test: recipe.augment.flip_test,
            classes: self.images.data.classes.clone(),
            training: Training {
                recipe: name.clone(),
                dataset: recipe.data.source.clone(),
                epochs: self.progress.epoch,
                seed: recipe.train.seed,
                test_accuracy: self.last_metrics().and_then(|m| m.test_accuracy),
            },
            parameters: self.average.as_ref().map_or(self.engine.parameters(), |a| &a.parameters).to_vec(),
            buffers: self.average.as_ref().map_or(self.engine.buffers(), |a| &a.buffers).to_vec(),
        }
    }
}
