//! Answers, as handlers give them.

use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use serde::Serialize;
use std::convert::Infallible;

/// The body of an answer; streams are boxed alike.
pub type Body = BoxBody<Bytes, Infallible>;

/// An answer.
pub type Response = hyper::Response<Body>;

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
    allow: String,
}

impl Problem {
    /// A problem of a status.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Problem {
        Problem { status, message: message.into(), allow: String::new() }
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

    /// 405; `allow` lists the methods of the route.
    pub fn method(allow: String) -> Problem {
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
        if let Some(allow) = HeaderValue::from_str(&self.allow).ok().filter(|v| !v.is_empty()) {
            headers.insert(ALLOW, allow);
        }
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
