//! What `[train]` may say. All that is wrong in it is told at once.

use super::document::{Node, Value};
use super::error::did_you_mean;
use super::read::{integer, must, number, unknown_key, whole};
use super::{Init, OptimizerKind, RecipeError, ScheduleKind, TrainRecipe};

/// The section's keys.
pub(super) const KEYS: [&str; 31] = [
    "epochs",
    "batch",
    "lr",
    "seed",
    "init",
    "init_gain",
    "init_std",
    "init_from",
    "checkpoint_seconds",
    "histograms",
    "optimizer",
    "momentum",
    "nesterov",
    "weight_decay",
    "decay_norms_and_biases",
    "beta1",
    "beta2",
    "eps",
    "schedule",
    "warmup_epochs",
    "step_epochs",
    "gamma",
    "final_lr",
    "peak",
    "clip_norm",
    "ema",
    "val_fraction",
    "patience",
    "evaluate_every",
    "label_smoothing",
    "class_weights",
];

pub(super) const YEAR: u64 = 366 * 24 * 3600;

/// Values of a table, and what was wrong with them so far.
struct Reader<'a> {
    node: &'a Node,
    errors: Vec<RecipeError>,
}

impl Reader<'_> {
    fn take<T>(&mut self, to: &mut T, key: &str, read: impl FnOnce(&Node) -> Result<T, RecipeError>) {
        match self.node.get(key).map(read) {
            Some(Ok(value)) => *to = value,
            Some(Err(error)) => self.errors.push(error),
            None => {}
        }
    }

    fn number(&mut self, to: &mut f32, key: &str, be: &str, valid: fn(f32) -> bool) {
        self.take(to, key, |n| number(n).filter(|x| x.is_finite() && valid(*x)).ok_or_else(|| must(n, key, be)));
    }

    fn optional(&mut self, to: &mut Option<f32>, key: &str, be: &str, valid: fn(f32) -> bool) {
        self.take(to, key, |n| {
            let value = number(n).filter(|x| x.is_finite() && valid(*x));
            value.map(Some).ok_or_else(|| must(n, key, be))
        });
    }

    fn flag(&mut self, to: &mut bool, key: &str) {
        self.take(to, key, |n| match n.value {
            Value::Flag(b) => Ok(b),
            _ => Err(must(n, key, "true or false")),
        });
    }

    fn choice<T: Copy>(&mut self, to: &mut T, key: &str, all: &[T], name: fn(T) -> &'static str) {
        self.take(to, key, |n| {
            let names: Vec<&str> = all.iter().map(|&t| name(t)).collect();
            let text = if let Value::Text(text) = &n.value { text.as_str() } else { "" };
            let hint = did_you_mean(text, &names);
            let found = all.iter().copied().find(|&t| name(t) == text);
            found.ok_or_else(|| must(n, key, &format!("one of {}", names.join(", "))).and(&hint))
        });
    }

    /// Refuses the value of a key that is right by itself but not beside the others.
    fn refuse(&mut self, wrong: bool, key: &str, message: String) {
        if wrong {
            let place = &self.node.get(key).unwrap_or(self.node).place;
            self.errors.push(RecipeError::at(place, message));
        }
    }
}

impl RecipeError {
    fn and(self, hint: &str) -> Self {
        match self {
            RecipeError::Invalid { place, message } => RecipeError::Invalid { place, message: message + hint },
            other => other,
        }
    }
}

pub(super) fn train(node: &Node) -> Result<TrainRecipe, RecipeError> {
    let Value::Table(entries) = &node.value else { return Err(must(node, "[train]", "a table")) };
    let unknown = entries.iter().filter(|e| !KEYS.contains(&e.key.as_str()));
    let errors = unknown.map(|e| RecipeError::at(&e.place, unknown_key(&e.key, "[train]", &KEYS))).collect();
    let mut r = Reader { node, errors };
    let mut t = TrainRecipe::default();
    r.take(&mut t.epochs, "epochs", |n| whole(n, "epochs", 1..=1_000_000));
    r.take(&mut t.batch, "batch", |n| whole(n, "batch", 1..=1_000_000));
    r.number(&mut t.lr, "lr", "a number above 0, for example 0.1", |x| x > 0.0);
    r.take(&mut t.seed, "seed", |n| integer(n, "seed", 0..=u64::MAX));
    r.take(&mut t.init, "init", |n| match &n.value {
        Value::Text(name) => name.parse().map_err(|e: super::UnknownInit| RecipeError::at(&n.place, e.to_string())),
        _ => Err(must(n, "init", &format!("one of {}", Init::names().join(", ")))),
    });
    let positive = "above 0 and at most 100";
    r.number(&mut t.init_gain, "init_gain", positive, |x| x > 0.0 && x <= 100.0);
    r.number(&mut t.init_std, "init_std", positive, |x| x > 0.0 && x <= 100.0);
    let beside = node.get("init_std").is_some() && t.init != Init::Normal && r.errors.is_empty();
    r.refuse(beside, "init_std", format!("init_std is for init = \"normal\", {} takes init_gain", t.init));
    r.take(&mut t.init_from, "init_from", |n| match &n.value {
        Value::Text(path) if !path.trim().is_empty() => Ok(Some(path.clone())),
        _ => Err(must(n, "init_from", "the directory of a model or of a run")),
    });
    r.take(&mut t.checkpoint_seconds, "checkpoint_seconds", |n| integer(n, "checkpoint_seconds", 0..=YEAR));
    r.flag(&mut t.histograms, "histograms");
    optimizer(&mut r, &mut t);
    schedule(&mut r, &mut t);
    r.optional(&mut t.clip_norm, "clip_norm", "a number above 0", |x| x > 0.0);
    r.optional(&mut t.ema, "ema", "above 0 and below 1, for example 0.999", |x| x > 0.0 && x < 1.0);
    r.number(&mut t.val_fraction, "val_fraction", "from 0 to below 1", |x| (0.0..1.0).contains(&x));
    r.take(&mut t.patience, "patience", |n| whole(n, "patience", 1..=1_000_000).map(Some));
    r.take(&mut t.evaluate_every, "evaluate_every", |n| whole(n, "evaluate_every", 1..=1_000_000));
    let blind = t.patience.is_some() && t.val_fraction == 0.0;
    r.refuse(blind, "patience", "patience needs validation images: set val_fraction, for example 0.1".into());
    match r.errors.len() {
        0 => Ok(t),
        1 => Err(r.errors.remove(0)),
        _ => Err(RecipeError::Many(r.errors)),
    }
}

fn optimizer(r: &mut Reader, t: &mut TrainRecipe) {
    let o = &mut t.optimizer;
    let share = "from 0 to below 1";
    r.choice(&mut o.kind, "optimizer", &OptimizerKind::ALL, OptimizerKind::name);
    if o.kind == OptimizerKind::Muon {
        (o.momentum, o.nesterov) = (0.95, true);
    }
    r.number(&mut o.momentum, "momentum", share, |x| (0.0..1.0).contains(&x));
    r.flag(&mut o.nesterov, "nesterov");
    r.number(&mut o.weight_decay, "weight_decay", "0 or above", |x| x >= 0.0);
    r.flag(&mut o.decay_norms_and_biases, "decay_norms_and_biases");
    r.number(&mut o.beta1, "beta1", share, |x| (0.0..1.0).contains(&x));
    r.number(&mut o.beta2, "beta2", share, |x| (0.0..1.0).contains(&x));
    r.number(&mut o.eps, "eps", "a number above 0", |x| x > 0.0);
    let still = o.kind == OptimizerKind::Sgd && o.nesterov && o.momentum == 0.0 && r.errors.is_empty();
    r.refuse(still, "nesterov", "nesterov needs momentum: set momentum, for example 0.9".into());
}

fn schedule(r: &mut Reader, t: &mut TrainRecipe) {
    let (s, epochs) = (&mut t.schedule, t.epochs);
    r.choice(&mut s.kind, "schedule", &ScheduleKind::ALL, ScheduleKind::name);
    r.take(&mut s.warmup_epochs, "warmup_epochs", |n| whole(n, "warmup_epochs", 0..=1_000_000));
    r.take(&mut s.step_epochs, "step_epochs", |n| whole(n, "step_epochs", 1..=1_000_000));
    r.number(&mut s.gamma, "gamma", "a number above 0", |x| x > 0.0);
    r.number(&mut s.final_lr, "final_lr", "0 or above", |x| x >= 0.0);
    r.number(&mut s.peak, "peak", "above 0 and below 1", |x| x > 0.0 && x < 1.0);
    let warmup = s.warmup_epochs;
    let message = format!("warmup_epochs is {warmup}, epochs is {epochs}: warm up for no more");
    r.refuse(warmup > epochs, "warmup_epochs", message);
    let one_cycle = s.kind == ScheduleKind::OneCycle && warmup > 0;
    r.refuse(one_cycle, "warmup_epochs", "one_cycle warms up by itself: leave warmup_epochs out, or set peak".into());
    let message = format!("step_epochs is {}, the run has {epochs} epochs: choose fewer", s.step_epochs);
    r.refuse(s.kind == ScheduleKind::Step && s.step_epochs >= epochs, "step_epochs", message);
}
