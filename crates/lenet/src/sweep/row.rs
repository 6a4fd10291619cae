//! What became of the trials.

use super::plan::Trial;
use crate::train::EpochMetrics;

/// How a trial ended, or where it is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Status {
    /// All its epochs are done.
    Done,
    /// It was not among the best of a rung.
    Stopped,
    /// It could not go on, for this reason.
    Failed(String),
    /// It has epochs to go.
    Open,
}

impl Status {
    /// One word.
    pub fn word(&self) -> &'static str {
        match self {
            Status::Done => "done",
            Status::Stopped => "stopped",
            Status::Failed(_) => "failed",
            Status::Open => "open",
        }
    }
}

/// A trial and what came of it so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The trial.
    pub trial: Trial,
    /// How it ended.
    pub status: Status,
    /// Learnt parameters of its network; 0 if there is none.
    pub parameters: usize,
    /// Metrics of its last epoch.
    pub last: Option<EpochMetrics>,
    /// Seconds of all its epochs.
    pub seconds: f64,
}

impl Row {
    /// Accuracy on the validation images after its last epoch; below all others if there is none.
    pub fn score(&self) -> f64 {
        match self.status {
            Status::Failed(_) => -1.0,
            _ => self.last.as_ref().and_then(|m| m.val_accuracy).unwrap_or(-1.0),
        }
    }
}

/// What a sweep found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// All trials, the best configuration first.
    pub rows: Vec<Row>,
    /// Whether all trials have ended.
    pub finished: bool,
}

impl Found {
    /// One line a trial, the best configuration first. No test accuracy: nothing here was chosen by it.
    pub fn to_csv(&self) -> String {
        let keys: Vec<&str> = self.rows.first().map_or(Vec::new(), |r| r.trial.sets.iter().map(|s| &s.0[..]).collect());
        let quoted = |text: &str| match text.contains([',', '"', '\n']) {
            true => format!("\"{}\"", text.replace('"', "\"\"")),
            false => text.to_string(),
        };
        let mut csv = String::from("trial,seed,status,epochs,val_accuracy,val_loss,train_loss,parameters,seconds");
        keys.iter().for_each(|k| csv.extend([",", &quoted(k)]));
        csv.push_str(",reason\n");
        for r in &self.rows {
            let m = r.last.as_ref();
            let number = |v: Option<f64>| v.map_or(String::new(), |v| format!("{v:.6}"));
            let epochs = m.map_or(0, |m| m.epoch);
            let mut cells =
                vec![r.trial.number.to_string(), r.trial.seed.to_string(), r.status.word().into(), epochs.to_string()];
            cells.extend([number(m.and_then(|m| m.val_accuracy)), number(m.and_then(|m| m.val_loss))]);
            cells.extend([number(m.map(|m| m.train_loss)), r.parameters.to_string(), format!("{:.2}", r.seconds)]);
            cells.extend(r.trial.sets.iter().map(|s| quoted(&s.1)));
            cells.push(if let Status::Failed(reason) = &r.status { quoted(reason) } else { String::new() });
            csv.push_str(&cells.join(","));
            csv.push('\n');
        }
        csv
    }
}
