//! What Prometheus reads: counters and histograms in its text format.

use crate::State;
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

    fn write(&self, out: &mut String, name: &str, label: &str) {
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
    requests: Mutex<BTreeMap<(&'static str, u16), u64>>,
    latency: Mutex<BTreeMap<&'static str, Histogram>>,
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

/// All metrics as text.
pub fn text(state: &State) -> String {
    let mut out = String::new();
    let metrics = &state.metrics;
    head(&mut out, "lenet_requests_total", "counter", "Answers by route and status; 499 is a client that went away.");
    for ((route, status), n) in &*metrics.requests.lock().unwrap_or_else(PoisonError::into_inner) {
        let _ = writeln!(out, "lenet_requests_total{{route=\"{route}\",status=\"{status}\"}} {n}");
    }
    head(&mut out, "lenet_request_seconds", "histogram", "Time from a request's head to its answer's.");
    for (route, histogram) in &*metrics.latency.lock().unwrap_or_else(PoisonError::into_inner) {
        histogram.write(&mut out, "lenet_request_seconds", &format!("route=\"{route}\""));
    }
    head(&mut out, "lenet_batch_samples", "histogram", "Samples of the batches that engines ran.");
    for slot in state.models.iter() {
        slot.stats.sizes.write(&mut out, "lenet_batch_samples", &format!("model=\"{}\"", slot.name()));
    }
    head(&mut out, "lenet_queue_samples", "gauge", "Samples that wait for an engine.");
    for slot in state.models.iter() {
        let waiting = slot.stats.waiting.load(Ordering::Relaxed);
        let _ = writeln!(out, "lenet_queue_samples{{model=\"{}\"}} {waiting}", slot.name());
    }
    head(&mut out, "lenet_model_version", "gauge", "1 at the start, one more with each reload.");
    for slot in state.models.iter() {
        let _ = writeln!(out, "lenet_model_version{{model=\"{}\"}} {}", slot.name(), slot.current().version);
    }
    head(&mut out, "lenet_reloads_total", "counter", "Reloads that replaced the model, and those that were refused.");
    for slot in state.models.iter() {
        for (result, n) in [("replaced", &slot.reloaded), ("refused", &slot.refused)] {
            let (name, n) = (slot.name(), n.load(Ordering::Relaxed));
            let _ = writeln!(out, "lenet_reloads_total{{model=\"{name}\",result=\"{result}\"}} {n}");
        }
    }
    head(&mut out, "lenet_connections", "gauge", "Open connections.");
    let _ = writeln!(out, "lenet_connections {}", metrics.connections.load(Ordering::Relaxed));
    head(&mut out, "lenet_body_room_bytes", "gauge", "What is left of the room that large bodies share.");
    let _ = writeln!(out, "lenet_body_room_bytes {}", state.bodies.available_permits() << 10);
    head(&mut out, "lenet_broken_connections_total", "counter", "Connections that ended with an error or a timeout.");
    let _ = writeln!(out, "lenet_broken_connections_total {}", metrics.broken.load(Ordering::Relaxed));
    head(&mut out, "lenet_log_lines_dropped_total", "counter", "Lines of the log that nobody took.");
    let _ = writeln!(out, "lenet_log_lines_dropped_total {}", state.log.dropped.load(Ordering::Relaxed));
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
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
