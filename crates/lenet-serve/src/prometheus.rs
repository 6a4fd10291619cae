//! What Prometheus reads: all counters and histograms in its text format.

use crate::http::{Problem, Response, ok};
use crate::request::Call;
use crate::state::State;
use std::fmt::Write;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

/// `GET /metrics`
pub async fn metrics(call: Call<'_>) -> Result<Response, Problem> {
    Ok(ok("text/plain; version=0.0.4; charset=utf-8", text(call.state)))
}

/// All metrics as text.
fn text(state: &State) -> String {
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
