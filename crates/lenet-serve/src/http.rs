//! Requests and answers, as handlers use them.

use crate::State;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, StatusCode};
use serde::Serialize;
use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The body of an answer; streams are boxed alike.
pub type Body = BoxBody<Bytes, Infallible>;

/// An answer.
pub type Response = hyper::Response<Body>;

/// A request whose body has not been read.
pub type Request = hyper::Request<Incoming>;

/// A body that is there as a whole.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).boxed()
}

/// An answer of status 200 with a body of a type.
pub fn ok(content_type: &'static str, bytes: impl Into<Bytes>) -> Response {
    let mut response = Response::new(full(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// An answer of status 200 that is JSON.
pub fn json(value: &impl Serialize) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(value).map_err(|e| Problem::internal(e.to_string()))?;
    Ok(ok("application/json", bytes))
}

/// Why a request is not answered as it wishes: a status and `{"error": …}`.
#[derive(Debug)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// What is wrong and what to do, one line.
    pub message: String,
    /// What the route takes instead, for 405.
    allow: &'static str,
}

impl Problem {
    /// A problem of a status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Problem {
        Problem { status, message: message.into(), allow: "" }
    }

    /// 400: it cannot be understood.
    pub fn bad(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, message)
    }

    /// 422: it is understood, and does not fit.
    pub fn unfit(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// 404
    pub fn not_found(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, message)
    }

    /// 405
    pub fn method(allow: &'static str) -> Problem {
        Problem { status: StatusCode::METHOD_NOT_ALLOWED, message: format!("this route takes {allow}"), allow }
    }

    /// 500
    pub fn internal(message: impl Into<String>) -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    }

    /// As an answer.
    pub fn response(&self) -> Response {
        let body = serde_json::json!({ "error": self.message }).to_string();
        let mut response = ok("application/json", body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if !self.allow.is_empty() {
            headers.insert(ALLOW, HeaderValue::from_static(self.allow));
        }
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Fails unless the method is one that reads.
pub fn only_get(method: &Method) -> Result<(), Problem> {
    if matches!(*method, Method::GET | Method::HEAD) { Ok(()) } else { Err(Problem::method("GET, HEAD")) }
}

/// Fails unless the method is POST.
pub fn only_post(method: &Method) -> Result<(), Problem> {
    if *method == Method::POST { Ok(()) } else { Err(Problem::method("POST")) }
}

/// Bytes of a body that take none of the room that all bodies share.
const FREE: usize = 64 << 10;

/// A body that was read. What it takes of the shared room is given back when it is dropped.
pub struct Received {
    bytes: Bytes,
    _room: Option<OwnedSemaphorePermit>,
}

impl Deref for Received {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

/// Reads a body of at most `limit` bytes.
///
/// What announces to be larger is refused before a byte of it is read.
pub async fn read_body(state: &State, headers: &HeaderMap, body: Incoming, limit: usize) -> Result<Received, Problem> {
    if headers.get(CONTENT_ENCODING).is_some_and(|v| v != "identity") {
        let message = "compressed bodies are not read: send it without Content-Encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let time = state.options.body_time;
    tokio::time::timeout(time, collect(body, limit, &state.bodies)).await.unwrap_or_else(|_| {
        let message = format!("the body did not arrive within {} s", time.as_secs_f32());
        Err(Problem::new(StatusCode::REQUEST_TIMEOUT, message))
    })
}

fn too_large(limit: usize) -> Problem {
    let message = format!("the body has more than the {limit} bytes that are read at most");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}

/// Takes room as the bytes arrive: to announce a large body costs others nothing.
async fn collect(mut body: Incoming, limit: usize, all: &Arc<Semaphore>) -> Result<Received, Problem> {
    let (mut bytes, mut room) = (Vec::new(), None::<OwnedSemaphorePermit>);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Problem::bad(format!("the body broke off: {e}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let len = bytes.len() + data.len();
        if len > limit {
            return Err(too_large(limit));
        }
        let taken = room.as_ref().map_or(0, |r| r.num_permits());
        let more = len.saturating_sub(FREE).div_ceil(1 << 10).saturating_sub(taken);
        if more > 0 {
            let permit = all.clone().try_acquire_many_owned(more as u32).map_err(|_| {
                let message = "the bodies of other requests take all the room there is: try again later";
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, message)
            })?;
            match &mut room {
                Some(room) => room.merge(permit),
                None => room = Some(permit),
            }
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Received { bytes: bytes.into(), _room: room })
}

/// The value of a parameter of a query (`a=1&b=2`), undecoded; the first of several.
pub fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    let pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value)
}
