//! The web page: files that are part of the program, and what only the page asks for.

use crate::State;
use crate::http::{Problem, Request, Response, ok, only_get};
use hyper::header::{HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use std::sync::Arc;

/// Path, type and content of each file.
const FILES: [(&str, &str, &[u8]); 1] = [("/", "text/html; charset=utf-8", include_bytes!("../page/index.html"))];

/// Nothing is fetched from elsewhere, and no other page shows this one in a frame.
const POLICY: &str =
    "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The pattern of a path that belongs to the page, for metrics and the log.
pub fn pattern(path: &str) -> &'static str {
    FILES.iter().find(|(p, ..)| *p == path).map_or("other", |(p, ..)| p)
}

/// Whether a path needs no token: the files hold nothing that is secret.
pub fn is_open(path: &str) -> bool {
    FILES.iter().any(|(p, ..)| *p == path)
}

/// Answers if the path belongs to the page.
pub async fn route(_state: &Arc<State>, request: Request) -> Option<Result<Response, Problem>> {
    let (_, content_type, bytes) = FILES.iter().find(|(p, ..)| *p == request.uri().path())?;
    Some(only_get(request.method()).map(|()| file(content_type, bytes)))
}

fn file(content_type: &'static str, bytes: &'static [u8]) -> Response {
    let mut response = ok(content_type, bytes);
    let headers = response.headers_mut();
    headers.insert(HeaderName::from_static("content-security-policy"), HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}
