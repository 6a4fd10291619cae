//! Requests, as handlers use them.

use crate::http::Problem;
use crate::state::State;
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use std::ops::Deref;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A request whose body has not been read.
pub type Request = hyper::Request<Incoming>;

/// What a handler is given.
pub struct Call<'a> {
    /// What all requests share.
    pub state: &'a Arc<State>,
    /// The path's `{name}`; empty where its pattern has none.
    pub name: &'a str,
    /// The path's `{version}`, if its pattern has one.
    pub version: Option<&'a str>,
    /// The request.
    pub request: Request,
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
