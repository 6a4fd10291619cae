//! Measurements beside bursts of the peak loop.

use super::peak::peak;
use crate::kernel::Path;
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

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Times `work` in bursts that alternate with the peak loop; returns median seconds a run and median share of the peak.
pub(super) fn measure(path: Path, options: &BenchOptions, multiply_adds: u64, mut work: impl FnMut()) -> (f64, f64) {
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
