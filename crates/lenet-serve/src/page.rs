//! The web page: files that are part of the program, and what only the page asks for.

mod files;
mod look;
pub mod processes;
pub mod references;
mod runs;
mod training;

use crate::http::{Problem, Response, only_get, only_post};
use crate::request::Request;
use crate::router::segments;
use crate::state::State;
use files::file;
use std::sync::Arc;

/// Path, type and content of each file.
const FILES: [(&str, &str, &[u8]); 7] = [
    ("/", "text/html; charset=utf-8", include_bytes!("../page/index.html")),
    ("/style.css", "text/css; charset=utf-8", include_bytes!("../page/style.css")),
    ("/app.js", "text/javascript; charset=utf-8", include_bytes!("../page/app.js")),
    ("/common.js", "text/javascript; charset=utf-8", include_bytes!("../page/common.js")),
    ("/layers.js", "text/javascript; charset=utf-8", include_bytes!("../page/layers.js")),
    ("/sums.js", "text/javascript; charset=utf-8", include_bytes!("../page/sums.js")),
    ("/runs.js", "text/javascript; charset=utf-8", include_bytes!("../page/runs.js")),
];

/// The pattern of a path that belongs to the page, for metrics and the log.
pub fn pattern(path: &str) -> &'static str {
    match segments(path)[..] {
        ["v1", "activations"] => "/v1/activations",
        ["v1", "samples"] => "/v1/samples",
        ["v1", "models", _, "weights"] => "/v1/models/{name}/weights",
        ["v1", "runs"] => "/v1/runs",
        ["v1", "runs", _, "metrics"] => "/v1/runs/{name}/metrics",
        ["v1", "runs", _, "events"] => "/v1/runs/{name}/events",
        ["v1", "runs", _, "report"] => "/v1/runs/{name}/report",
        ["v1", "runs", _, "stop"] => "/v1/runs/{name}/stop",
        ["v1", "runs", _, "resume"] => "/v1/runs/{name}/resume",
        _ => FILES.iter().find(|(p, ..)| *p == path).map_or("other", |(p, ..)| p),
    }
}

/// Whether a path needs no token: the files hold nothing that is secret.
pub fn is_open(path: &str) -> bool {
    FILES.iter().any(|(p, ..)| *p == path)
}

/// Answers if the path belongs to the page.
pub async fn route(state: &Arc<State>, request: Request) -> Option<Result<Response, Problem>> {
    let path = request.uri().path().to_string();
    if pattern(&path) == "other" {
        return None;
    }
    if let Some((_, content_type, bytes)) = FILES.iter().find(|(p, ..)| *p == path) {
        return Some(only_get(request.method()).map(|()| file(content_type, bytes)));
    }
    Some(api(state, request, &segments(&path)).await)
}

async fn api(state: &Arc<State>, request: Request, parts: &[&str]) -> Result<Response, Problem> {
    let posts = matches!(parts, ["v1", "activations"] | ["v1", "runs", _, "stop" | "resume"]);
    match *parts {
        // What is there is listed, and a new one is posted.
        ["v1", "runs"] if *request.method() == hyper::Method::POST => return training::start(state, request).await,
        ["v1", "runs"] => only_get(request.method()).map_err(|_| Problem::method("GET, HEAD, POST"))?,
        _ if posts => only_post(request.method())?,
        _ => only_get(request.method())?,
    }
    match *parts {
        ["v1", "activations"] => look::activations(state, request).await,
        ["v1", "samples"] => look::samples(state, request.uri().query()).await,
        ["v1", "models", name, "weights"] => look::weights(state, name, request.uri().query()),
        ["v1", "runs"] => runs::list(state).await,
        ["v1", "runs", name, "metrics"] => runs::metrics(state, name).await,
        ["v1", "runs", name, "events"] => runs::events(state, name),
        ["v1", "runs", name, "report"] => runs::report(state, name).await,
        ["v1", "runs", name, "stop"] => training::stop(state, name),
        ["v1", "runs", name, "resume"] => training::resume(state, name, request).await,
        _ => Err(Problem::not_found("there is nothing here")),
    }
}
