//! Where a training starts: before its first step, or where its run was left.

use super::checkpoint::{BUFFERS, Checkpoint, EMA_BUFFERS, EMA_PARAMETERS, OPTIMIZER};
use super::error::{CheckpointError, CheckpointFault, TrainError};
use super::run::Run;
use crate::engine::{Average, Engine, Score, initial_buffers, initialize};
use crate::model::Model;
use crate::spec::{Network, Recipe};
use std::path::Path;

/// How far a training is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// Epochs done.
    pub epoch: usize,
    /// Steps done of the next.
    pub step: usize,
    /// The score of these steps.
    pub score: Score,
    /// The seconds that they took.
    pub seconds: f64,
}

/// Gives the engine the parameters, buffers and state of the run's last checkpoint, or those before the first step; says
/// how far that is, and the moving averages if the recipe has them.
pub(super) fn start(
    recipe: &Recipe,
    images: usize,
    engine: &mut dyn Engine,
    run: Option<&mut Run>,
    identity: &str,
) -> Result<(Progress, Option<Average>), TrainError> {
    let checkpoint = match run {
        Some(run) => run.resume(engine.network(), identity)?.map(|c| (c, run.last_checkpoint())),
        None => None,
    };
    let Some((c, path)) = checkpoint else {
        let (parameters, buffers) = initial(recipe, engine.network())?;
        engine.set_parameters(&parameters)?;
        engine.set_buffers(&buffers)?;
        return Ok((Progress::default(), recipe.train.ema.map(|_| held(engine))));
    };
    let invalid = |fault| CheckpointError::invalid(&path, fault);
    check(&c, recipe, images).map_err(invalid)?;
    let slab = |name: &str| c.slabs.get(name).map_or(&[][..], |s| s);
    engine.set_parameters(&c.parameters)?;
    engine.set_buffers(slab(BUFFERS))?;
    engine.set_optimizer_state(slab(OPTIMIZER))?;
    let averages = |_| Average { parameters: slab(EMA_PARAMETERS).to_vec(), buffers: slab(EMA_BUFFERS).to_vec() };
    let average = recipe.train.ema.map(averages);
    let lengths = [engine.parameters().len(), engine.buffers().len()];
    if average.as_ref().is_some_and(|a| [a.parameters.len(), a.buffers.len()] != lengths) {
        return Err(invalid(CheckpointFault::Averages).into());
    }
    let samples = (c.step * recipe.train.batch).min(images);
    let score = Score { loss: c.loss, correct: c.correct, samples };
    Ok((Progress { epoch: c.epoch, step: c.step, score, seconds: c.seconds }, average))
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
    let counts = [theirs.len(), ours.len()];
    if let Some(((theirs, had), (ours, needed))) = theirs.into_iter().zip(ours).find(|(a, b)| a.1 != b.1) {
        let (had, needed) = (had.into(), needed.into());
        return Err(TrainError::InitShape { model: path.clone(), theirs, had, ours, needed });
    }
    let [had, needed] = counts;
    if had != needed {
        return Err(TrainError::InitTensors { model: path.clone(), had, needed });
    }
    network.tensors().for_each(|t| t.clear_missing(&mut model.parameters));
    Ok((model.parameters, model.buffers))
}

/// Whether a checkpoint's place is one that this training comes by.
fn check(c: &Checkpoint, recipe: &Recipe, images: usize) -> Result<(), CheckpointFault> {
    let train = &recipe.train;
    let done = c.step.saturating_mul(train.batch).min(images);
    if c.step > images.div_ceil(train.batch) || c.correct > done {
        return Err(CheckpointFault::Place { steps: c.step, correct: c.correct, epoch: c.epoch });
    }
    if c.epoch > train.epochs || (c.epoch == train.epochs && c.step > 0) {
        return Err(CheckpointFault::PastEnd { epochs: c.epoch, steps: c.step, asked: train.epochs });
    }
    Ok(())
}
