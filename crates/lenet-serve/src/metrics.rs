//! What the server counts.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Counts of values up to each of some bounds.
pub struct Histogram {
    bounds: &'static [f64],
    /// One more than bounds: the last one is for what is above all.
    counts: Vec<AtomicU64>,
    /// Sum of all values, in millionths.
    sum: AtomicU64,
}

impl Histogram {
    /// An empty one.
    pub fn new(bounds: &'static [f64]) -> Histogram {
        Histogram { bounds, counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    /// Counts a value.
    pub fn observe(&self, value: f64) {
        let place = self.bounds.iter().position(|b| value <= *b).unwrap_or(self.bounds.len());
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add((value * 1e6) as u64, Ordering::Relaxed);
    }

    /// Appends its lines in Prometheus' text format, under a name and with a label.
    pub fn write(&self, out: &mut String, name: &str, label: &str) {
        let mut total = 0;
        let bounds = self.bounds.iter().map(f64::to_string).chain(["+Inf".to_string()]);
        for (bound, count) in bounds.zip(&self.counts) {
            total += count.load(Ordering::Relaxed);
            let _ = writeln!(out, "{name}_bucket{{{label},le=\"{bound}\"}} {total}");
        }
        let sum = self.sum.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{name}_sum{{{label}}} {sum}\n{name}_count{{{label}}} {total}");
    }
}

/// Upper bounds of latencies, in seconds.
const SECONDS: &[f64] =
    &[1e-4, 2e-4, 3e-4, 5e-4, 7.5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 2e-2, 5e-2, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0];

/// What the server counts besides its models.
#[derive(Default)]
pub struct Metrics {
    /// Answers by route and status. Routes are patterns, never what a client wrote: their number is bounded.
    pub requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    /// Time to the head of the answer, by route.
    pub latency: Mutex<BTreeMap<&'static str, Histogram>>,
    /// Connections that are open.
    pub connections: AtomicUsize,
    /// Connections that ended with an error.
    pub broken: AtomicU64,
}

impl Metrics {
    /// Counts an answer.
    pub fn answered(&self, route: &'static str, status: u16, time: Duration) {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry((route, status)).or_default() += 1;
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        latency.entry(route).or_insert_with(|| Histogram::new(SECONDS)).observe(time.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_are_cumulative() {
        let histogram = Histogram::new(&[1.0, 2.5]);
        [0.5, 1.0, 2.0, 7.0].into_iter().for_each(|v| histogram.observe(v));
        let mut out = String::new();
        histogram.write(&mut out, "x", "a=\"b\"");
        let expected = "x_bucket{a=\"b\",le=\"1\"} 2\nx_bucket{a=\"b\",le=\"2.5\"} 3\nx_bucket{a=\"b\",le=\"+Inf\"} 4\n\
                        x_sum{a=\"b\"} 10.5\nx_count{a=\"b\"} 4\n";
        assert_eq!(out, expected);
    }
}
