//! Where a training starts: before its first step, or where its run was left.

use super::checkpoint::{BUFFERS, Checkpoint, CheckpointError, EMA_BUFFERS, EMA_PARAMETERS, OPTIMIZER};
use super::run::Run;
use super::trainer::TrainError;
use crate::engine::{Average, Engine, Score, initial_buffers, initialize};
use crate::model::Model;
use crate::spec::{Network, Recipe};
use std::path::Path;

/// How far a training is, and what it knows besides what the engine holds.
pub(super) struct Start {
    pub epoch: usize,
    pub step: usize,
    pub score: Score,
    pub seconds: f64,
    pub average: Option<Average>,
}

impl Start {
    /// Gives the engine the parameters, buffers and state of the run's last checkpoint, or those before the first step.
    pub fn new(
        recipe: &Recipe,
        train_len: usize,
        engine: &mut dyn Engine,
        run: Option<&mut Run>,
        identity: &str,
    ) -> Result<Self, TrainError> {
        let engine_error = |error| TrainError::Engine { error, kept: String::new() };
        let checkpoint = match run {
            Some(run) => run.resume(engine.network(), identity)?.map(|c| (c, run.last_checkpoint())),
            None => None,
        };
        let Some((c, path)) = checkpoint else {
            let (parameters, buffers) = initial(recipe, engine.network())?;
            engine.set_parameters(&parameters).map_err(engine_error)?;
            engine.set_buffers(&buffers).map_err(engine_error)?;
            let average = recipe.train.ema.map(|_| held(engine));
            return Ok(Start { epoch: 0, step: 0, score: Score::default(), seconds: 0.0, average });
        };
        let invalid = |what: String| CheckpointError::Invalid { path: path.clone(), what };
        check_progress(&c, recipe, train_len).map_err(invalid)?;
        let slab = |name: &str| c.slabs.get(name).map_or(&[][..], |s| s);
        engine.set_parameters(&c.parameters).map_err(engine_error)?;
        engine.set_buffers(slab(BUFFERS)).map_err(engine_error)?;
        engine.set_optimizer_state(slab(OPTIMIZER)).map_err(engine_error)?;
        let average = recipe
            .train
            .ema
            .map(|_| Average { parameters: slab(EMA_PARAMETERS).to_vec(), buffers: slab(EMA_BUFFERS).to_vec() });
        let lengths = [engine.parameters().len(), engine.buffers().len()];
        if average.as_ref().is_some_and(|a| [a.parameters.len(), a.buffers.len()] != lengths) {
            return Err(invalid("is damaged: its moving averages are not as long as the parameters".into()).into());
        }
        let samples = (c.step * recipe.train.batch).min(train_len);
        let score = Score { loss: c.loss, correct: c.correct, samples };
        Ok(Start { epoch: c.epoch, step: c.step, score, seconds: c.seconds, average })
    }
}

/// What the engine holds now.
pub(super) fn held(engine: &dyn Engine) -> Average {
    Average { parameters: engine.parameters().to_vec(), buffers: engine.buffers().to_vec() }
}

/// Parameters and buffers before the first step: drawn, or those of a model with the same tensors in the same order.
fn initial(recipe: &Recipe, network: &Network) -> Result<(Vec<f32>, Vec<f32>), TrainError> {
    let Some(path) = &recipe.train.init_from else {
        return Ok((initialize(network, &recipe.train), initial_buffers(network)));
    };
    let mut model = Model::load(Path::new(path))?;
    let shapes = |n: &Network| -> Vec<(String, Vec<usize>)> {
        let buffers = n.buffer_tensors().map(|b| (b.name.clone(), b.shape.clone()));
        n.tensors().map(|t| (t.name.clone(), t.shape.clone())).chain(buffers).collect()
    };
    let (theirs, ours) = (shapes(&model.network), shapes(network));
    let differ = theirs.iter().zip(&ours).find(|(a, b)| a.1 != b.1);
    if let Some(((a, had), (b, needed))) = differ {
        let what = format!("'{a}' has the shape {had:?}, the recipe's '{b}' has {needed:?}");
        return Err(TrainError::Data(format!("train.init_from: the model {path} is of another network: {what}")));
    }
    if theirs.len() != ours.len() {
        let (had, needed) = (theirs.len(), ours.len());
        let what = format!("it has {had} tensors, the recipe's network {needed}");
        return Err(TrainError::Data(format!("train.init_from: the model {path} is of another network: {what}")));
    }
    network.tensors().for_each(|t| t.clear_missing(&mut model.parameters));
    Ok((model.parameters, model.buffers))
}

/// Whether a checkpoint's place is one that this training comes by.
fn check_progress(c: &Checkpoint, recipe: &Recipe, samples: usize) -> Result<(), String> {
    let train = &recipe.train;
    let done = c.step.saturating_mul(train.batch).min(samples);
    if c.step > samples.div_ceil(train.batch) || c.correct > done {
        return Err(format!(
            "says {} steps and {} hits of epoch {}: there are not so many",
            c.step, c.correct, c.epoch
        ));
    }
    if c.epoch > train.epochs || (c.epoch == train.epochs && c.step > 0) {
        let (epochs, steps) = (c.epoch, c.step);
        return Err(format!("has {epochs} epochs and {steps} steps done, {} epochs are asked for", train.epochs));
    }
    Ok(())
}
