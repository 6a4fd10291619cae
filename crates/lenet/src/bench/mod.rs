//! What this machine reaches: its multiply-add peak, then each tile, each operator, whole epochs and inference, in
//! seconds and as a share of that peak.
//!
//! Every measurement alternates with bursts of the peak loop, and the share is the median of the pairs' ratios: on a
//! machine whose speed drifts, only what was measured side by side can be compared. What does not agree with the naive
//! reference is not timed.

mod operators;
mod peak;
mod tiles;
mod whole;

pub use crate::kernel::bench::Disagreement;
pub use peak::peak;

use crate::kernel::Path;
use crate::spec::Augment;
use crate::spec::Network;
use serde::Serialize;
use std::time::Instant;

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub struct BenchOptions {
    /// Pairs of bursts a measurement.
    pub repeats: usize,
    /// Seconds a burst, about.
    pub burst: f64,
    /// Steps of an epoch; 235 is one of 60,000 images.
    pub steps: usize,
    /// Most threads of the epoch measurements; all numbers from 1 on are measured.
    pub threads: usize,
}

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub struct BenchRow {
    /// `peak`, `tile`, `operator`, `epoch` or `inference`.
    pub group: &'static str,
    /// What was measured.
    pub name: String,
    /// Median seconds of one run of it.
    pub seconds: f64,
    /// Multiply-adds of one run.
    pub multiply_adds: u64,
    /// Multiply-adds a second, as a share of the threads' peak measured alongside; 1 is all.
    pub share_of_peak: f64,
    /// What else there is to say: images a second, speed-up over one thread.
    pub note: String,
}

/// Measures everything for a network, row by row; epochs also with an augmentation, if one is given.
///
/// # Errors
/// The first thing that does not agree with the naive reference.
pub fn run(
    network: &Network,
    augment: Option<&Augment>,
    path: Path,
    options: &BenchOptions,
    on_row: &mut dyn FnMut(BenchRow),
) -> Result<(), Disagreement> {
    let flops = peak(path, 0.2);
    on_row(BenchRow {
        group: "peak",
        name: format!("multiply-adds, {path}, 1 thread"),
        seconds: 1.0,
        multiply_adds: flops as u64,
        share_of_peak: 1.0,
        note: format!("{:.1} GFLOP/s", 2.0 * flops / 1e9),
    });
    tiles::run(path, options, on_row)?;
    operators::run(network, path, options, on_row)?;
    whole::run(network, augment, path, options, on_row)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Times `work` in bursts that alternate with the peak loop; returns median seconds a run and median share of the peak.
fn measure(path: Path, options: &BenchOptions, multiply_adds: u64, mut work: impl FnMut()) -> (f64, f64) {
    work();
    let start = Instant::now();
    work();
    let once = start.elapsed().as_secs_f64().max(1e-9);
    let runs = (options.burst / once).ceil().max(1.0) as usize;
    let (mut seconds, mut shares) = (Vec::new(), Vec::new());
    for _ in 0..options.repeats {
        let best = peak(path, options.burst / 2.0);
        let start = Instant::now();
        for _ in 0..runs {
            work();
        }
        let each = start.elapsed().as_secs_f64() / runs as f64;
        let best = best.max(peak(path, options.burst / 2.0));
        seconds.push(each);
        shares.push(multiply_adds as f64 / each / best);
    }
    (median(seconds), median(shares))
}
