//! The web page: files that are part of the program, and what only the page asks for.

mod look;
mod runs;
mod training;

use crate::State;
use crate::http::{Problem, Request, Response, ok, only_get, only_post};
use crate::router::segments;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use std::sync::Arc;

pub use look::References;
pub use training::Trainings;

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

/// Nothing is fetched from elsewhere, and no other page shows this one in a frame.
const POLICY: &str =
    "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

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

fn file(content_type: &'static str, bytes: &'static [u8]) -> Response {
    let mut response = ok(content_type, bytes);
    protect(&mut response, POLICY);
    response
}

/// Says what a browser may do with a page.
fn protect(response: &mut Response, policy: &'static str) {
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// Reads and computes beside the requests.
async fn on_pool<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal("what was to be computed has failed"))
}
