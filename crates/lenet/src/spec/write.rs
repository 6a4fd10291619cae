//! A recipe as text again.

use super::{Init, Layer, Recipe, augment};
use std::fmt::{self, Write};

impl Recipe {
    /// The recipe as TOML, every default written out. [`Recipe::parse`] gives the same recipe back.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        write(self, &mut text).expect("writing to a String does not fail");
        text
    }
}

fn write(recipe: &Recipe, out: &mut String) -> fmt::Result {
    let data = &recipe.data;
    writeln!(out, "[data]\nsource = {}", quoted(&data.source))?;
    augment::write_normalize(&data.normalization, out)?;
    for (key, limit) in [("train_limit", data.train_limit), ("test_limit", data.test_limit)] {
        if let Some(limit) = limit {
            writeln!(out, "{key} = {limit}")?;
        }
    }
    if data.skip_bad {
        writeln!(out, "skip_bad = true")?;
    }

    writeln!(out, "\n[model]")?;
    if let Some(input) = recipe.model.input {
        writeln!(out, "input = {input:?}")?;
    }
    for (layer, last) in with_last_units(&recipe.model.layers) {
        let from_classes = recipe.model.units_from_classes && last;
        writeln!(out, "\n[[model.layers]]")?;
        settings(layer, from_classes).into_iter().try_for_each(|(key, value)| writeln!(out, "{key} = {value}"))?;
    }

    let t = &recipe.train;
    writeln!(out, "\n[train]\nepochs = {}\nbatch = {}\nlr = {:?}\nseed = {}", t.epochs, t.batch, t.lr, t.seed)?;
    writeln!(out, "init = {}\ninit_gain = {:?}", quoted(t.init.name()), t.init_gain)?;
    if t.init == Init::Normal {
        writeln!(out, "init_std = {:?}", t.init_std)?;
    }
    if let Some(path) = &t.init_from {
        writeln!(out, "init_from = {}", quoted(path))?;
    }
    writeln!(out, "checkpoint_seconds = {}\nhistograms = {}", t.checkpoint_seconds, t.histograms)?;
    let (o, s) = (&t.optimizer, &t.schedule);
    writeln!(out, "optimizer = {}\nmomentum = {:?}", quoted(o.kind.name()), o.momentum)?;
    writeln!(out, "nesterov = {}\nweight_decay = {:?}", o.nesterov, o.weight_decay)?;
    writeln!(out, "decay_norms_and_biases = {}", o.decay_norms_and_biases)?;
    writeln!(out, "beta1 = {:?}\nbeta2 = {:?}\neps = {:?}", o.beta1, o.beta2, o.eps)?;
    writeln!(out, "schedule = {}\nwarmup_epochs = {}", quoted(s.kind.name()), s.warmup_epochs)?;
    writeln!(out, "step_epochs = {}\ngamma = {:?}", s.step_epochs, s.gamma)?;
    writeln!(out, "final_lr = {:?}\npeak = {:?}\nval_fraction = {:?}", s.final_lr, s.peak, t.val_fraction)?;
    for (key, value) in [("clip_norm", t.clip_norm), ("ema", t.ema)] {
        if let Some(value) = value {
            writeln!(out, "{key} = {value:?}")?;
        }
    }
    if let Some(epochs) = t.patience {
        writeln!(out, "patience = {epochs}")?;
    }
    writeln!(out, "evaluate_every = {}", t.evaluate_every)?;
    augment::write_targets(&recipe.targets, out)?;
    augment::write(&recipe.augment, out)
}

/// Each layer, and whether it is the last one with units.
fn with_last_units(layers: &[Layer]) -> impl Iterator<Item = (&Layer, bool)> {
    let last = layers.iter().rposition(|l| matches!(l, Layer::Dense(_) | Layer::Rbf(_)));
    layers.iter().enumerate().map(move |(i, l)| (l, last == Some(i)))
}

/// A layer's keys and values, its type first.
fn settings(layer: &Layer, from_classes: bool) -> Vec<(&'static str, String)> {
    let mut all = vec![("type", quoted(layer.kind()))];
    let units = |n: usize| ("units", if from_classes { quoted("classes") } else { n.to_string() });
    match layer {
        Layer::Conv2d(l) => {
            all.push(("channels", l.channels.to_string()));
            all.extend(windows(l.window, l.stride, l.padding));
            if l.groups != 1 {
                all.push(("groups", l.groups.to_string()));
            }
            all.extend(l.connections.as_ref().map(|c| ("connections", format!("{c:?}"))));
            all.push(("bias", l.bias.to_string()));
        }
        Layer::AvgPool(l) | Layer::MaxPool(l) | Layer::Subsample(l) => {
            all.extend(windows(l.window, l.stride, l.padding));
        }
        Layer::Dense(l) => all.extend([units(l.units), ("bias", l.bias.to_string())]),
        Layer::Rbf(l) => all.push(units(l.units)),
        // `{:?}` is the shortest text that reads back as the same number, and always a float.
        Layer::BatchNorm(l) => all.extend([("eps", format!("{:?}", l.eps)), ("momentum", format!("{:?}", l.momentum))]),
        Layer::Dropout(l) => all.push(("rate", format!("{:?}", l.rate))),
        Layer::Residual(l) => {
            all.push(("body", inline(&l.body)));
            if !l.shortcut.is_empty() {
                all.push(("shortcut", inline(&l.shortcut)));
            }
        }
        Layer::Flatten | Layer::GlobalAvgPool | Layer::Activation(_) => {}
    }
    all
}

/// Layers within a layer, one a line.
fn inline(layers: &[Layer]) -> String {
    let line = |layer| {
        let pairs = settings(layer, false).into_iter().map(|(key, value)| format!("{key} = {value}"));
        format!("    {{ {} }},\n", pairs.collect::<Vec<_>>().join(", "))
    };
    format!("[\n{}]", layers.iter().map(line).collect::<String>())
}

fn windows(window: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Vec<(&'static str, String)> {
    let pair = |[rows, columns]: [usize; 2]| match rows == columns {
        true => rows.to_string(),
        false => format!("[{rows}, {columns}]"),
    };
    vec![("window", pair(window)), ("stride", pair(stride)), ("padding", pair(padding))]
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
