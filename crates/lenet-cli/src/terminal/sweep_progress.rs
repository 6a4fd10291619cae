//! What a sweep tells while it runs: a line for each trial, and a board of those at work.

use lenet::sweep::{Progress, Row, Status};
use std::collections::BTreeMap;
use std::time::Duration;

/// The line of a trial.
pub fn line(row: &Row) -> String {
    let sets = sets(&row.trial.sets);
    let trial = row.trial.number;
    match (&row.status, &row.last) {
        (Status::Failed(reason), _) => format!("trial {trial:<4} failed: {reason}  ({sets})"),
        (status, Some(m)) => {
            let accuracy = m.val_accuracy.unwrap_or(0.0);
            let stopped = if *status == Status::Stopped { ", stopped" } else { "" };
            format!(
                "trial {trial:<4} val acc {accuracy:.4}  {} epochs{stopped}, {:.1} sec  {sets}",
                m.epoch, row.seconds
            )
        }
        _ => format!("trial {trial:<4} {sets}"),
    }
}

/// What a trial tries.
pub fn sets(sets: &[(String, String)]) -> String {
    sets.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
}

/// What is at work, for who watches.
#[derive(Default)]
pub struct Board {
    /// By number: the epochs done, the last validation accuracy, and what the trial tries.
    running: BTreeMap<usize, (usize, Option<f64>, String)>,
    /// Validation accuracy and trial.
    best: Option<(f64, usize)>,
    /// Trials of the rung that have ended.
    pub done: usize,
    /// Epochs that the rung began with and goes to.
    rung: [usize; 2],
    /// Epochs that all trials had to go when the rung began.
    left: usize,
    /// Epochs done since the program began.
    epochs: usize,
}

impl Board {
    /// Takes in what the sweep has just told.
    pub fn take(&mut self, progress: &Progress) {
        match progress {
            Progress::Rung { epochs, left, .. } => {
                (self.rung, self.left, self.done) = ([self.rung[1], *epochs], *left, 0);
            }
            Progress::Started { trial, epoch } => {
                self.running.insert(trial.number, (*epoch, None, sets(&trial.sets)));
            }
            Progress::Epoch { trial, metrics } => {
                self.epochs += 1;
                if let Some((epoch, accuracy, _)) = self.running.get_mut(&trial.number) {
                    (*epoch, *accuracy) = (metrics.epoch, metrics.val_accuracy);
                }
                let best = metrics.val_accuracy.filter(|new| self.best.is_none_or(|(old, _)| *new > old));
                self.best = best.map(|accuracy| (accuracy, trial.number)).or(self.best);
            }
            Progress::Trial(row) => {
                self.running.remove(&row.trial.number);
                self.done += 1;
            }
            _ => {}
        }
    }

    /// Epochs to go.
    fn to_go(&self) -> usize {
        let [from, to] = self.rung;
        let running: usize = self.running.values().map(|(epoch, ..)| epoch.saturating_sub(from)).sum();
        self.left.saturating_sub(self.done * (to - from.min(to)) + running)
    }

    /// A line for each trial at work, the best so far, and the time left; no line longer than the terminal has columns.
    pub fn text(&self, elapsed: Duration, columns: usize) -> String {
        let mut lines = Vec::new();
        for (number, (epoch, accuracy, sets)) in &self.running {
            let accuracy = accuracy.map_or("             ".into(), |a| format!("val acc {a:.3}"));
            lines.push(format!("trial {number:<4} epoch {epoch} of {}  {accuracy}  {sets}", self.rung[1]));
        }
        if let Some((accuracy, number)) = self.best {
            lines.push(format!("best     trial {number}, val acc {accuracy:.4}"));
        }
        let to_go = self.to_go();
        if self.epochs > 0 && to_go > 0 {
            let seconds = elapsed.as_secs_f64() / self.epochs as f64 * to_go as f64;
            let time = if seconds < 120.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) };
            lines.push(format!("left     about {time}, {to_go} epochs"));
        }
        let cut = |line: String| line.chars().take(columns.saturating_sub(1)).collect::<String>();
        lines.into_iter().map(cut).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lenet::sweep::Trial;
    use lenet::train::EpochMetrics;

    fn trial(number: usize) -> Trial {
        Trial { number, configuration: number, sets: vec![("train.lr".into(), "0.1".into())], seed: 0 }
    }

    fn metrics(epoch: usize, accuracy: f64) -> EpochMetrics {
        let text = format!(
            "{{\"epoch\":{epoch},\"lr\":0.1,\"train_loss\":1,\"train_accuracy\":0.5,\"val_accuracy\":{accuracy},\
             \"train_seconds\":1,\"eval_seconds\":1,\"images_per_second\":1}}"
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn the_board_shows_what_is_at_work_and_what_is_left() {
        let mut board = Board::default();
        let text = |board: &Board| board.text(Duration::from_secs(30), 60);
        // Nine trials to epoch 1, then three to epoch 3.
        board.take(&Progress::Rung { rung: 0, of: 2, epochs: 1, trials: 9, left: 15 });
        assert_eq!(text(&board), "");
        let (a, b) = (trial(0), trial(1));
        board.take(&Progress::Started { trial: &a, epoch: 0 });
        board.take(&Progress::Started { trial: &b, epoch: 0 });
        board.take(&Progress::Epoch { trial: &a, metrics: &metrics(1, 0.75) });
        board.take(&Progress::Epoch { trial: &b, metrics: &metrics(1, 0.5) });
        let row = Row { trial: b, status: Status::Open, parameters: 9, last: Some(metrics(1, 0.5)), seconds: 1.0 };
        board.take(&Progress::Trial(&row));
        // Two epochs took 30 seconds; 13 are left.
        let want = "trial 0    epoch 1 of 1  val acc 0.750  train.lr=0.1\n\
                    best     trial 0, val acc 0.7500\nleft     about 3 min, 13 epochs";
        assert_eq!(text(&board), want);
        assert!(board.text(Duration::ZERO, 20).lines().all(|line| line.chars().count() < 20));
        board.take(&Progress::Rung { rung: 1, of: 2, epochs: 3, trials: 3, left: 6 });
        board.take(&Progress::Started { trial: &a, epoch: 1 });
        assert_eq!(board.to_go(), 6);
        board.take(&Progress::Epoch { trial: &a, metrics: &metrics(2, 0.7) });
        assert_eq!(board.to_go(), 5);
        assert!(text(&board).contains("trial 0, val acc 0.7500"), "the best stays");
    }
}
