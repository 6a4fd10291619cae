//! What a training tells while it runs: lines and a bar for people, one JSON object a line for programs.

use super::output::{self, print_json, print_line};
use super::start::Start;
use crate::failure::Failure;
use crate::text::quoted;
use indicatif::ProgressBar;
use lenet::spec::Recipe;
use lenet::thousands;
use lenet::train::{EpochMetrics, Event, Run};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// Time between two tellings of a step.
const PERIOD: Duration = Duration::from_millis(100);

pub struct TrainProgress {
    json: bool,
    bar: ProgressBar,
    began: Instant,
    last: Option<Instant>,
}

impl TrainProgress {
    pub fn new(json: bool) -> Self {
        let bar = output::bar("{prefix} {wide_bar} {msg}");
        TrainProgress { json, bar, began: Instant::now(), last: None }
    }

    /// A JSON line: the kind of event, seconds since the training was about to start, and what else there is.
    fn event(&self, kind: &str, mut fields: Value) -> Result<(), Failure> {
        if let Some(object) = fields.as_object_mut() {
            object.insert("event".into(), json!(kind));
            object.insert("elapsed".into(), json!(self.began.elapsed().as_secs_f64()));
        }
        print_json(&fields)
    }

    /// Before the first step.
    pub fn start(&self, s: &Start) -> Result<(), Failure> {
        let train = &s.recipe.train;
        // Widened by its digits, not by its bits: 0.9 stays 0.9.
        let lr: f64 = train.lr.to_string().parse().unwrap_or(f64::from(train.lr));
        if self.json {
            return self.event(
                "start",
                json!({
                    "data": s.data, "provenance": s.provenance, "train_images": s.images[0], "test_images": s.images[1],
                    "model": s.model, "parameters": s.network.learnt(), "device": s.device, "threads": s.threads,
                    "seed": train.seed, "epochs": train.epochs, "batch": train.batch, "lr": lr, "run": s.run,
                }),
            );
        }
        let [images, tests] = s.images.map(|n| thousands(n as u64));
        let parameters = thousands(s.network.learnt() as u64);
        eprintln!("data     {}, {images} training and {tests} test images, from {}", s.data, s.provenance);
        eprintln!("model    {}, {} layers, {parameters} parameters", s.model, s.network.layers().len());
        eprintln!("device   {}", s.device);
        let (epochs, s_if_many) = (train.epochs, if train.epochs == 1 { "" } else { "s" });
        eprintln!("training {epochs} epoch{s_if_many}, batch {}, learning rate {lr}, seed {}", train.batch, train.seed);
        eprintln!("run      {}", s.run.display());
        Ok(())
    }

    pub fn on(&mut self, event: &Event) -> Result<(), Failure> {
        match event {
            Event::Started { epoch, step } => {
                if (*epoch, *step) != (0, 0) && !self.json {
                    eprintln!("goes on after epoch {epoch} and {step} steps");
                }
                Ok(())
            }
            Event::Step { epoch, step, steps, loss, images_per_second, remaining } => {
                if self.last.is_some_and(|at| at.elapsed() < PERIOD) {
                    return Ok(());
                }
                self.last = Some(Instant::now());
                if self.json {
                    return self.event(
                        "step",
                        json!({
                            "epoch": epoch, "step": step, "steps": steps, "loss": loss,
                            "images_per_second": images_per_second, "eta": remaining.as_secs_f64(),
                        }),
                    );
                }
                self.bar.set_length(*steps as u64);
                self.bar.set_position(*step as u64);
                self.bar.set_prefix(format!("epoch {epoch}"));
                let (rate, left) = (thousands(*images_per_second as u64), remaining.as_secs_f64());
                self.bar.set_message(format!("loss {loss:.3}, {rate} images/s, {left:.0} s left"));
                Ok(())
            }
            Event::Epoch(m) if self.json => self.event("epoch", serde_json::to_value(m).map_err(Failure::failed)?),
            Event::Epoch(m) => self.bar.suspend(|| print_line(&line(m))),
            Event::Checkpoint { path } if self.json => self.event("checkpoint", json!({ "path": path })),
            _ => Ok(()),
        }
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// After the last epoch of a training on so many classes.
    pub fn done(&self, run: &Run, test_accuracy: Option<f64>, recipe: &Recipe, classes: usize) -> Result<(), Failure> {
        let (dir, model) = (run.dir(), run.model_dir());
        if self.json {
            return self.event("done", json!({ "test_accuracy": test_accuracy, "run": dir, "model": model }));
        }
        if let Some(accuracy) = test_accuracy {
            print_line(&format!("test accuracy {accuracy:.4}"))?;
        }
        print_line(&format!("run   {}\nmodel {}", dir.display(), model.display()))?;
        let (program, dir) = (program(), quoted(dir));
        if test_accuracy.is_some_and(|accuracy| accuracy < 1.5 / classes as f64) {
            let data = quoted(Path::new(&recipe.data.source));
            eprintln!(
                "\nit has hardly learnt. Few images or steps are not enough for sigmoids; try\n  {program} train lenet-modern --data {data}"
            );
        }
        eprintln!("\nnext, for example:");
        for command in ["eval", "summary"] {
            eprintln!("  {program} {command} {dir}");
        }
        // A schedule that looks at its end cannot be prolonged.
        if !recipe.train.schedule.depends_on_epochs() {
            let more = run.metrics().len() + 5;
            eprintln!("  {program} train --resume {dir} --epochs {more}");
        }
        eprintln!("  {program} predict --help");
        Ok(())
    }

    /// After a checkpoint that was asked for.
    pub fn interrupted(&self, run: &Run) -> Result<(), Failure> {
        if self.json {
            return self.event("interrupted", json!({ "run": run.dir(), "checkpoint": run.last_checkpoint() }));
        }
        eprintln!(
            "interrupted, with a checkpoint saved; to go on:\n  {} train --resume {}",
            program(),
            quoted(run.dir())
        );
        Ok(())
    }
}

/// The line of an epoch.
pub fn line(m: &EpochMetrics) -> String {
    let accuracy = |name: &str, value: Option<f64>| value.map_or(String::new(), |v| format!(" {name} acc {v:.3},"));
    format!(
        "epoch {}, loss {:.3}, train acc {:.3},{}{} time {:.1} sec, {} images/s",
        m.epoch,
        m.train_loss,
        m.train_accuracy,
        accuracy("val", m.val_accuracy),
        accuracy("test", m.test_accuracy),
        m.train_seconds,
        thousands(m.images_per_second.round() as u64)
    )
}

/// How this program was called, so that commands work where they are pasted.
fn program() -> String {
    let called = std::env::args().next().filter(|p| p.contains(std::path::MAIN_SEPARATOR));
    called.map_or("lenet".into(), |p| quoted(Path::new(&p)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_an_epoch_is_the_textbooks() {
        let metrics = EpochMetrics {
            epoch: 1,
            lr: 0.9,
            train_loss: 2.30966,
            train_accuracy: 0.1012,
            val_loss: None,
            val_accuracy: None,
            test_loss: Some(2.3),
            test_accuracy: Some(0.1),
            train_seconds: 0.851,
            eval_seconds: 0.1,
            images_per_second: 70_999.6,
        };
        let want = "epoch 1, loss 2.310, train acc 0.101, test acc 0.100, time 0.9 sec, 71,000 images/s";
        assert_eq!(line(&metrics), want);
        let without = EpochMetrics { test_loss: None, test_accuracy: None, ..metrics.clone() };
        assert!(line(&without).contains("train acc 0.101, time 0.9 sec"));
        let with = EpochMetrics { val_loss: Some(2.3), val_accuracy: Some(0.11), ..metrics };
        assert!(line(&with).contains("train acc 0.101, val acc 0.110, test acc 0.100"));
    }
}
