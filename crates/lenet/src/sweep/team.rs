//! A sweep whose trials are spread over several processes.

use super::row::{Row, Status};
use crate::train::EpochMetrics;
use serde::{Deserialize, Serialize};

/// Processes that run the same sweep in the same directory, each some of its trials.
pub trait Team: Sync {
    /// The number of this one, from 0; 0 writes the results.
    fn rank(&self) -> usize;

    /// How many there are.
    fn ranks(&self) -> usize;

    /// The texts of all, in the order of the ranks. Every rank calls it as often as the others.
    fn exchange(&self, own: &str) -> Vec<String>;
}

/// What came of a rung's trials in one process.
#[derive(Default, Deserialize, Serialize)]
pub(super) struct Told {
    pub stopped: bool,
    rows: Vec<ToldRow>,
}

#[derive(Deserialize, Serialize)]
struct ToldRow {
    trial: usize,
    status: String,
    reason: String,
    last: Option<EpochMetrics>,
    seconds: f64,
}

impl Told {
    /// Tells the others of these rows, and takes theirs.
    pub fn exchange(team: &dyn Team, stopped: bool, own: &[usize], rows: &mut [Row]) -> bool {
        let told = |&i: &usize| ToldRow {
            trial: i,
            status: rows[i].status.word().into(),
            reason: if let Status::Failed(reason) = &rows[i].status { reason.clone() } else { String::new() },
            last: rows[i].last.clone(),
            seconds: rows[i].seconds,
        };
        let own = Told { stopped, rows: own.iter().map(told).collect() };
        let text = serde_json::to_string(&own).unwrap_or_default();
        let mut stopped = false;
        for text in team.exchange(&text) {
            let told: Told = serde_json::from_str(&text).unwrap_or_default();
            stopped |= told.stopped;
            for told in told.rows {
                let Some(row) = rows.get_mut(told.trial) else { continue };
                row.status = match told.status.as_str() {
                    "done" => Status::Done,
                    "stopped" => Status::Stopped,
                    "failed" => Status::Failed(told.reason),
                    _ => Status::Open,
                };
                (row.last, row.seconds) = (told.last, told.seconds);
            }
        }
        stopped
    }
}
