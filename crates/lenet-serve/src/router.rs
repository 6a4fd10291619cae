//! Which handler answers what. Paths are compared segment by segment, undecoded: what is not listed does not exist.

use crate::http::{Problem, Response, json, ok, only_get, only_post};
use crate::request::Request;
use crate::state::State;
use crate::{guard, infer, page, predict, prometheus};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use serde_json::json as object;
use std::sync::Arc;

/// The document that describes the routes.
const OPENAPI: &str = include_str!("openapi.json");

/// The pattern of a path, which metrics and the log use; "other" if there is none.
pub fn pattern(path: &str) -> &'static str {
    match segments(path)[..] {
        ["v2"] => "/v2",
        ["v2", "health", "live"] => "/v2/health/live",
        ["v2", "health", "ready"] => "/v2/health/ready",
        ["v2", "models", _] | ["v2", "models", _, "versions", _] => "/v2/models/{name}",
        ["v2", "models", _, "ready"] | ["v2", "models", _, "versions", _, "ready"] => "/v2/models/{name}/ready",
        ["v2", "models", _, "infer"] | ["v2", "models", _, "versions", _, "infer"] => "/v2/models/{name}/infer",
        ["v1", "predict"] => "/v1/predict",
        ["v1", "models"] => "/v1/models",
        ["metrics"] => "/metrics",
        ["openapi.json"] => "/openapi.json",
        _ => page::pattern(path),
    }
}

/// Answers a request.
pub async fn route(state: &Arc<State>, request: Request) -> Result<Response, Problem> {
    let path = request.uri().path().to_string();
    let method = request.method().clone();
    let parts = segments(&path);
    let is_health = matches!(parts[..], ["v2", "health", "live" | "ready"]);
    guard::check(state, request.headers(), is_health || page::is_open(&path))?;
    match parts[..] {
        ["v2", "health", "live"] => only_get(&method).and_then(|()| json(&object!({"live": true}))),
        ["v2", "health", "ready"] => only_get(&method).and_then(|()| ready(state)),
        ["v2"] => only_get(&method).and_then(|()| infer::server()),
        ["v2", "models", name, ref rest @ ..] => {
            let (version, rest) = match *rest {
                ["versions", version, ref rest @ ..] => (Some(version), rest),
                ref rest => (None, rest),
            };
            let slot = state.models.get(Some(name)).ok_or_else(|| predict::no_model(state, name))?;
            let loaded = slot.current();
            if version.is_some_and(|v| v != loaded.version.to_string()) {
                let current = loaded.version;
                return Err(Problem::not_found(format!("the version of {name:?} that is loaded is {current}")));
            }
            match *rest {
                [] => only_get(&method).and_then(|()| infer::metadata(name, &loaded)),
                ["ready"] => only_get(&method).and_then(|()| ready(state)),
                ["infer"] => {
                    only_post(&method)?;
                    infer::infer(state, name, &loaded, request).await
                }
                _ => Err(nothing(&path)),
            }
        }
        ["v1", "models"] => only_get(&method).and_then(|()| predict::models(state)),
        ["v1", "predict"] => {
            only_post(&method)?;
            predict::predict(state, request).await
        }
        ["metrics"] => {
            only_get(&method)?;
            Ok(ok("text/plain; version=0.0.4; charset=utf-8", prometheus::text(state)))
        }
        ["openapi.json"] => only_get(&method).map(|()| ok("application/json", OPENAPI)),
        _ => match page::route(state, request).await {
            Some(answer) => answer,
            None => Err(nothing(&path)),
        },
    }
    .map(|mut response| {
        // Answers are of the moment, unless a handler says otherwise.
        response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    })
}

fn ready(state: &State) -> Result<Response, Problem> {
    if state.stopping() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is about to stop"));
    }
    json(&object!({"ready": true}))
}

fn nothing(path: &str) -> Problem {
    let shown: String = path.chars().take(100).collect();
    Problem::not_found(format!("there is nothing at {shown}: /openapi.json lists what there is"))
}

/// The parts of a path between slashes.
pub fn segments(path: &str) -> Vec<&str> {
    path.strip_prefix('/').unwrap_or(path).split('/').collect()
}
