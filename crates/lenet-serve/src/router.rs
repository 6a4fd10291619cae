//! Which row of the table answers a request. Paths are compared segment by segment, undecoded, and no file is ever named by
//! a client.

use crate::guard::{self, Caller};
use crate::http::{Problem, Response};
use crate::infer;
use crate::request::{Call, Request};
use crate::routes::{ROUTES, Route};
use crate::state::State;
use hyper::Method;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use std::sync::Arc;

/// What a path has for `{name}` and `{version}` of its pattern.
type Names<'a> = (Option<&'a str>, Option<&'a str>);

/// Compares a path with a pattern.
fn fit<'a>(pattern: &str, path: &'a str) -> Option<Names<'a>> {
    let (mut name, mut version) = (None, None);
    let mut segments = path.split('/');
    for wanted in pattern.split('/') {
        let segment = segments.next()?;
        match wanted {
            "{name}" => name = Some(segment),
            "{version}" => version = Some(segment),
            _ if wanted == segment => {}
            _ => return None,
        }
    }
    segments.next().is_none().then_some((name, version))
}

/// The rows of a path: one a method.
fn rows(path: &str) -> impl Iterator<Item = (&'static Route, Names<'_>)> {
    ROUTES.iter().filter_map(move |route| Some((route, fit(route.path, path)?)))
}

/// The name of a path's route in metrics; "other" if there is none.
pub fn label(path: &str) -> &'static str {
    rows(path).next().map_or("other", |(route, _)| route.label)
}

/// Answers a request.
pub async fn route(state: &Arc<State>, request: Request) -> Result<Response, Problem> {
    let path = request.uri().path().to_string();
    let open = rows(&path).any(|(route, _)| route.caller == Caller::Anyone);
    guard::check(state, request.headers(), open)?;
    // Whatever reads also answers HEAD.
    let method = if *request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let Some((route, (name, version))) = rows(&path).find(|(route, _)| route.method == *method) else {
        return Err(refusal(state, &path));
    };
    if route.caller == Caller::Trainer {
        guard::trainer(state)?;
    }
    let call = Call { state, name: name.unwrap_or_default(), version, request };
    let mut response = (route.handler)(call).await?;
    // Answers are of the moment, unless a handler says otherwise.
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Why no row answers.
fn refusal(state: &State, path: &str) -> Problem {
    // That a model is not there says more than what could be asked of it.
    let model = match path.split('/').collect::<Vec<_>>()[..] {
        ["", "v2", "models", name, "versions", version, ..] => infer::find(state, name, Some(version)).err(),
        ["", "v2", "models", name, ..] => infer::find(state, name, None).err(),
        _ => None,
    };
    let methods: Vec<&str> = rows(path).map(|(route, _)| route.allow()).collect();
    model.unwrap_or_else(|| if methods.is_empty() { nothing(path) } else { Problem::method(methods.join(", ")) })
}

fn nothing(path: &str) -> Problem {
    let shown: String = path.chars().take(100).collect();
    Problem::not_found(format!("there is nothing at {shown}: /openapi.json lists what there is"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_fit_segment_by_segment() {
        let pattern = "/v2/models/{name}/versions/{version}/ready";
        assert_eq!(fit(pattern, "/v2/models/a%2fb/versions/1/ready"), Some((Some("a%2fb"), Some("1"))));
        assert_eq!(fit("/v2/models/{name}", "/v2/models/"), Some((Some(""), None)));
        assert_eq!(fit("/", "/"), Some((None, None)));
        for path in [
            "",
            "/v2",
            "/v2/models/a/versions/1/ready/",
            "//v2/models/a/versions/1/ready",
            "/V2/models/a/versions/1/ready",
        ] {
            assert_eq!(fit(pattern, path), None, "{path}");
        }
        assert_eq!((fit("/", ""), fit("/", "//"), fit("/v2", "v2")), (None, None, None));
    }

    #[test]
    fn labels_are_patterns_and_never_what_a_client_wrote() {
        for (path, expected) in [
            ("/", "/"),
            ("/v2/models/m0/versions/1/infer", "/v2/models/{name}/infer"),
            ("/v1/runs/one/stop", "/v1/runs/{name}/stop"),
            ("/v2/models/m0/nothing", "other"),
            ("/v2/", "other"),
            ("/etc/passwd", "other"),
        ] {
            assert_eq!(label(path), expected, "{path}");
        }
    }
}
