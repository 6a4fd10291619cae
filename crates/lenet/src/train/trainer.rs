//! The loop.

use super::checkpoint::{BUFFERS, Checkpoint, CheckpointError, EMA_BUFFERS, EMA_PARAMETERS, OPTIMIZER, identity};
use super::evaluate::{evaluate, evaluate_indices};
use super::event::{Control, EpochMetrics, Event, Outcome};
use super::recipe::{recipe_split, shuffled};
use super::run::{Run, RunError};
use super::start::{Start, held};
use crate::data::{Dataset, Normalization};
use crate::engine::{Average, Batch, Engine, EngineError, Pixels, Score, TrainStep, Update};
use crate::kernel::sums::first_not_finite;
use crate::model::{Model, ModelError, Training};
use crate::spec::{LayerInfo, Recipe, Spec, TrainRecipe};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Why a training stopped.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The engine: divergence, or data that do not fit.
    #[error("{error}{kept}")]
    Engine {
        /// What the engine said.
        error: EngineError,
        /// Where the last good checkpoint is, in words.
        kept: String,
    },
    /// The run's directory.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Nothing to learn from.
    #[error("{0}")]
    Data(String),
}

/// Drives one training.
pub struct Trainer<'a> {
    recipe: &'a Recipe,
    spec: Spec,
    name: String,
    train: &'a Dataset,
    test: &'a Dataset,
    engine: Box<dyn Engine + 'a>,
    run: Option<Run>,
    identity: String,
    normalization: Normalization,
    tables: Vec<[f32; 256]>,
    /// Of the classes; none if they count alike.
    weights: Vec<f32>,
    /// The images to train on and those for validation, within the recipe's limits.
    train_indices: Vec<u32>,
    val_indices: Vec<u32>,
    test_len: usize,
    epoch: usize,
    step: usize,
    score: Score,
    seconds: f64,
    last: Option<EpochMetrics>,
    best: Best,
    average: Option<Average>,
    ranked: bool,
}

/// The epoch with the highest validation accuracy so far, the first of equals; until one is evaluated, the last.
#[derive(Clone, Copy, Debug, Default)]
struct Best {
    epoch: usize,
    accuracy: Option<f64>,
}

impl Best {
    /// Whether an epoch with this validation accuracy is the best so far. Without validation images the last epoch is:
    /// nothing is chosen on test images.
    fn take(&mut self, epoch: usize, accuracy: Option<f64>) -> bool {
        let better = match (accuracy, self.accuracy) {
            (Some(new), Some(old)) => new > old,
            // It was not evaluated.
            (None, Some(_)) => false,
            (_, None) => true,
        };
        if better {
            *self = Best { epoch, accuracy };
        }
        better
    }

    /// Whether after so many epochs as many evaluations as `train` waits for have been none the better.
    fn is_too_long_ago(&self, train: &TrainRecipe, epochs: usize) -> bool {
        let evaluations = |epochs: usize| epochs / train.evaluate_every.max(1);
        train.patience.is_some_and(|patience| evaluations(epochs) >= evaluations(self.epoch) + patience)
    }
}

impl<'a> Trainer<'a> {
    /// Prepares a training: initial parameters, those of `init_from`, or those of the run's last checkpoint.
    ///
    /// `name` is that of the recipe, for the model's card; `run` is a new run, or one that was opened to go on.
    ///
    /// # Errors
    /// Data without images, or a checkpoint that cannot be used.
    pub fn new(
        recipe: &'a Recipe,
        name: &str,
        spec: Spec,
        train: &'a Dataset,
        test: &'a Dataset,
        mut engine: Box<dyn Engine + 'a>,
        mut run: Option<Run>,
    ) -> Result<Self, TrainError> {
        let (train_indices, val_indices) = recipe_split(recipe, train);
        let train_len = train_indices.len();
        let test_len = recipe.data.test_limit.unwrap_or(usize::MAX).min(test.len());
        if train_len == 0 || test_len == 0 {
            return Err(TrainError::Data(format!(
                "{train_len} training and {test_len} test images: at least one of each is needed"
            )));
        }
        if recipe.train.val_fraction > 0.0 && val_indices.is_empty() {
            let message = format!("train.val_fraction leaves none of {train_len} images for validation: raise it");
            return Err(TrainError::Data(message));
        }
        let normalization = recipe.data.normalization.resolve(train, &train_indices);
        if spec.infer().as_ref() != Ok(engine.network()) {
            return Err(TrainError::Data("the engine was built for another network than that of the spec".into()));
        }
        let identity = identity(recipe, train);
        let labels = train_indices.iter().map(|&i| train.labels[i as usize]);
        let weights = recipe.targets.class_weights.resolve(labels, train.classes.len());
        let Start { epoch, step, score, seconds, average } =
            Start::new(recipe, train_len, engine.as_mut(), run.as_mut(), &identity)?;
        let metrics = run.as_ref().map_or(&[][..], |r| r.metrics());
        let mut best = Best::default();
        for m in metrics {
            best.take(m.epoch, m.val_accuracy);
        }
        let last = metrics.last().cloned();
        let tables = normalization.tables();
        let name = name.to_string();
        Ok(Trainer {
            recipe,
            spec,
            name,
            train,
            test,
            engine,
            run,
            identity,
            normalization,
            tables,
            weights,
            train_indices,
            val_indices,
            test_len,
            epoch,
            step,
            score,
            seconds,
            last,
            best,
            average,
            ranked: false,
        })
    }

    /// The run, if there is one.
    pub fn run_dir(&self) -> Option<&Run> {
        self.run.as_ref()
    }

    /// Number of training and of test images, within the recipe's limits.
    pub fn images(&self) -> [usize; 2] {
        [self.train_indices.len(), self.test_len]
    }

    /// What executes.
    pub fn device(&self) -> String {
        self.engine.device()
    }

    /// Metrics of the last epoch done.
    pub fn last_metrics(&self) -> Option<&EpochMetrics> {
        self.last.as_ref()
    }

    /// Trains until all epochs are done or the listener stops it; then the model is saved into the run.
    ///
    /// # Errors
    /// Divergence, and whatever the file system says. The last good checkpoint stays.
    pub fn run(&mut self, on_event: &mut dyn FnMut(&Event) -> Control) -> Result<Outcome, TrainError> {
        let started = Instant::now();
        let mut images = 0usize;
        on_event(&Event::Started { epoch: self.epoch, step: self.step });
        while self.epoch < self.recipe.train.epochs && !self.is_out_of_patience() {
            if self.run_epoch(started, &mut images, on_event)? == Control::Stop {
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
        self.best.is_too_long_ago(&self.recipe.train, self.epoch)
    }

    /// The learning rate of a step of this epoch, from 0.
    fn lr(&self, step: usize) -> f32 {
        let train = &self.recipe.train;
        let steps = self.train_indices.len().div_ceil(train.batch);
        train.schedule.lr(train.lr, self.epoch * steps + step, steps, train.epochs)
    }

    /// One step on these samples.
    fn learn(&mut self, indices: &[u32], steps: usize) -> Result<Score, EngineError> {
        let train = &self.recipe.train;
        let how = TrainStep::of(self.recipe, self.epoch, &self.weights);
        let pixels = Pixels::Bytes { data: &self.train.images, tables: &self.tables };
        let score = self.engine.backward(&Batch { pixels, labels: &self.train.labels, indices }, &how)?;
        let number = self.epoch * steps + self.step + 1;
        let (optimizer, lr) = (train.optimizer, self.lr(self.step));
        let update = Update { optimizer, lr, scale: 1.0, step: number as u64 };
        match train.clip_norm {
            Some(longest) => self.engine.update_clipped(longest, update),
            None => self.engine.update(update),
        }
        if let (Some(average), Some(decay)) = (&mut self.average, train.ema) {
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
        let train = &self.recipe.train;
        let is_last = epoch >= train.epochs;
        let is_turn = is_last || epoch.is_multiple_of(train.evaluate_every.max(1));
        if !(is_turn || self.ranked) {
            return Ok([None, None]);
        }
        let trained = self.average.clone().map(|average| self.swap(average)).transpose()?;
        let (engine, flip) = (self.engine.as_mut(), self.recipe.augment.flip_test);
        let val = match &self.val_indices[..] {
            [] => None,
            indices => Some(evaluate_indices(engine, self.train, &self.tables, indices, flip)?),
        };
        let mut best = self.best;
        best.take(epoch, val.map(|v| v.accuracy()));
        let ends = is_last || best.is_too_long_ago(train, epoch);
        let test = match ends || !self.ranked {
            true => Some(evaluate(engine, self.test, &self.tables, self.test_len, flip)?),
            false => None,
        };
        trained.map(|trained| self.swap(trained)).transpose()?;
        Ok([val, test])
    }

    fn run_epoch(
        &mut self,
        started: Instant,
        images: &mut usize,
        on_event: &mut dyn FnMut(&Event) -> Control,
    ) -> Result<Control, TrainError> {
        let recipe: &'a Recipe = self.recipe;
        let train = &recipe.train;
        let order = shuffled(&self.train_indices, train.seed, self.epoch);
        let steps = order.len().div_ceil(train.batch);
        let mut clock = Instant::now();
        let mut last_checkpoint = Instant::now();
        while self.step < steps {
            let indices = &order[self.step * train.batch..((self.step + 1) * train.batch).min(order.len())];
            let score = self.learn(indices, steps).map_err(|error| self.stopped(error))?;
            self.score += score;
            self.step += 1;
            *images += indices.len();
            self.seconds += clock.elapsed().as_secs_f64();
            clock = Instant::now();
            let rate = *images as f64 / started.elapsed().as_secs_f64().max(1e-9);
            let left = (train.epochs - self.epoch) * order.len() - (self.step * train.batch).min(order.len());
            let event = Event::Step {
                epoch: self.epoch + 1,
                step: self.step,
                steps,
                loss: self.score.mean_loss(),
                images_per_second: rate,
                remaining: Duration::from_secs_f64(left as f64 / rate.max(1e-3)),
            };
            if on_event(&event) == Control::Stop {
                return Ok(Control::Stop);
            }
            let period = Duration::from_secs(train.checkpoint_seconds);
            if !period.is_zero() && last_checkpoint.elapsed() >= period && self.step < steps {
                self.checkpoint(on_event)?;
                last_checkpoint = Instant::now();
            }
        }
        self.end_epoch(on_event)
    }

    fn end_epoch(&mut self, on_event: &mut dyn FnMut(&Event) -> Control) -> Result<Control, TrainError> {
        let clock = Instant::now();
        self.settle()?;
        self.seconds += clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        let recipe: &'a Recipe = self.recipe;
        let epoch = self.epoch + 1;
        let [val, test] = self.evaluate(epoch).map_err(|e| self.stopped(e))?;
        if [val, test].iter().flatten().any(|score| !score.loss.is_finite()) {
            let layer = self.engine.network().layers.last();
            return Err(self.not_finite("the loss of the evaluation", layer));
        }
        let metrics = EpochMetrics {
            epoch,
            lr: self.lr(self.step.saturating_sub(1)),
            train_loss: self.score.mean_loss(),
            train_accuracy: self.score.accuracy(),
            val_loss: val.map(|v| v.mean_loss()),
            val_accuracy: val.map(|v| v.accuracy()),
            test_loss: test.map(|t| t.mean_loss()),
            test_accuracy: test.map(|t| t.accuracy()),
            train_seconds: self.seconds,
            eval_seconds: clock.elapsed().as_secs_f64(),
            images_per_second: self.score.samples as f64 / self.seconds.max(1e-9),
        };
        (self.epoch, self.step, self.score, self.seconds) = (epoch, 0, Score::default(), 0.0);
        // Metrics and best first: what a kill leaves behind the last checkpoint is dropped and done again.
        if self.run.is_some() {
            let model = self.model();
            self.run.iter_mut().try_for_each(|run| run.add_epoch(&metrics, &model, recipe.train.histograms))?;
        }
        if let (true, Some(run)) = (self.best.take(epoch, metrics.val_accuracy), &self.run) {
            run.save_best(&self.state(), self.engine.network())?;
        }
        self.last = Some(metrics.clone());
        self.checkpoint(on_event)?;
        let control = on_event(&Event::Epoch(&metrics));
        // After the last epoch there is nothing to stop.
        Ok(if self.epoch < self.recipe.train.epochs { control } else { Control::Continue })
    }

    fn state(&self) -> Checkpoint {
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
            epoch: self.epoch,
            step: self.step,
            loss: self.score.loss,
            correct: self.score.correct,
            seconds: self.seconds,
        }
    }

    fn checkpoint(&mut self, on_event: &mut dyn FnMut(&Event) -> Control) -> Result<(), TrainError> {
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
        self.score += score;
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
        let last = self.run.as_ref().map(|r| r.last_checkpoint()).filter(|p| p.exists());
        let kept = last.map_or(String::new(), |p| format!(" (the last good checkpoint is {})", p.display()));
        TrainError::Engine { error, kept }
    }

    /// The model as it is now.
    pub fn model(&self) -> Model {
        Model {
            spec: self.spec.clone(),
            network: self.engine.network().clone(),
            normalization: self.normalization.clone(),
            flip_test: self.recipe.augment.flip_test,
            classes: self.train.classes.clone(),
            training: Training {
                recipe: self.name.clone(),
                dataset: self.recipe.data.source.clone(),
                epochs: self.epoch,
                seed: self.recipe.train.seed,
                test_accuracy: self.last.as_ref().and_then(|m| m.test_accuracy),
            },
            parameters: self.average.as_ref().map_or(self.engine.parameters(), |a| &a.parameters).to_vec(),
            buffers: self.average.as_ref().map_or(self.engine.buffers(), |a| &a.buffers).to_vec(),
        }
    }
}
