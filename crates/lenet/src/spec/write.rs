//! A recipe as text again.

use super::{Layer, Recipe};
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
    if let Some(n) = &data.normalization {
        // `{:?}` is the shortest text that reads back as the same number, and always a float.
        writeln!(out, "normalize = {{ mean = {:?}, std = {:?} }}", n.mean, n.std)?;
    }
    for (key, limit) in [("train_limit", data.train_limit), ("test_limit", data.test_limit)] {
        if let Some(limit) = limit {
            writeln!(out, "{key} = {limit}")?;
        }
    }

    writeln!(out, "\n[model]")?;
    if let Some(input) = recipe.model.input {
        writeln!(out, "input = {input:?}")?;
    }
    let layers = &recipe.model.layers;
    let last_dense = layers.iter().rposition(|l| matches!(l, Layer::Dense(_)));
    for (index, layer) in layers.iter().enumerate() {
        writeln!(out, "\n[[model.layers]]\ntype = {}", quoted(layer.kind()))?;
        match layer {
            Layer::Conv2d(l) => {
                writeln!(out, "channels = {}", l.channels)?;
                window(out, l.window, l.stride, l.padding)?;
                writeln!(out, "bias = {}", l.bias)?;
            }
            Layer::AvgPool(l) | Layer::MaxPool(l) => window(out, l.window, l.stride, l.padding)?,
            Layer::Dense(l) => {
                match recipe.model.units_from_classes && last_dense == Some(index) {
                    true => writeln!(out, "units = \"classes\"")?,
                    false => writeln!(out, "units = {}", l.units)?,
                }
                writeln!(out, "bias = {}", l.bias)?;
            }
            Layer::Flatten | Layer::Activation(_) => {}
        }
    }

    let t = &recipe.train;
    writeln!(out, "\n[train]\nepochs = {}\nbatch = {}\nlr = {:?}\nseed = {}", t.epochs, t.batch, t.lr, t.seed)?;
    writeln!(out, "init = {}\ncheckpoint_seconds = {}", quoted(t.init.name()), t.checkpoint_seconds)?;
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
    t.patience.map_or(Ok(()), |epochs| writeln!(out, "patience = {epochs}"))
}

fn window(out: &mut String, window: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> fmt::Result {
    for (key, [rows, columns]) in [("window", window), ("stride", stride), ("padding", padding)] {
        match rows == columns {
            true => writeln!(out, "{key} = {rows}")?,
            false => writeln!(out, "{key} = [{rows}, {columns}]")?,
        }
    }
    Ok(())
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}
