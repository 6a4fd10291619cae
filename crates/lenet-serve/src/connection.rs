//! Connections: accepting, their limits, one line of the log a request, and the end of it all.

use crate::http::Response;
use crate::request::Request;
use crate::router;
use crate::state::State;
use hyper::header::{HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;

/// Most bytes of a request's head.
const MAX_HEAD: usize = 32 << 10;

/// A client that went away before it had its answer; the number is that of nginx.
const GONE: u16 = 499;

/// Serves until the server is to stop, then lets open requests end.
pub async fn serve(state: &Arc<State>, listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return state.log.line("error", json!({"event": "listen", "error": error.to_string()})),
    };
    let models: Vec<_> = state.models.iter().map(|m| m.name()).collect();
    let address = state.address.to_string();
    state.log.line("info", json!({"event": "start", "address": address, "models": models}));
    tokio::spawn(signals(state.clone()));
    tokio::spawn(watch_files(state.clone()));
    let room = Arc::new(Semaphore::new(state.options.max_connections));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = state.stopped() => break,
            // The ended ones are taken out, so that the set does not grow.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match (accepted, room.clone().try_acquire_owned()) {
                (Ok((stream, remote)), Ok(permit)) => {
                    let state = state.clone();
                    connections.spawn(async move {
                        state.metrics.connections.fetch_add(1, Ordering::Relaxed);
                        connection(&state, stream, remote).await;
                        state.metrics.connections.fetch_sub(1, Ordering::Relaxed);
                        drop(permit);
                    });
                }
                (Ok((_, remote)), Err(_)) => broken(state, remote, "too many connections: closed at once"),
                (Err(error), _) => {
                    // Most likely no more files may be opened: that passes when connections end.
                    state.log.line("error", json!({"event": "accept", "error": error.to_string()}));
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    let open = connections.len();
    state.log.line("info", json!({"event": "stop", "open_connections": open}));
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(state.options.drain_time, drained).await.is_err() {
        let left = connections.len();
        state.log.line("warn", json!({"event": "stop", "connections_cut": left}));
        connections.shutdown().await;
    }
}

async fn connection(state: &Arc<State>, stream: TcpStream, remote: SocketAddr) {
    // Answers are small and written at once: waiting for more only costs time.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(state.options.body_time));
    let told = Arc::new(Told::default());
    let service = service_fn(|request| answer(state.clone(), remote, told.clone(), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(state.options.head_time)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = state.stopped() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // A request that failed has its line, and a connection that was kept after an answer may end at any time.
    if let Err(error) = ended
        && !told.failed.load(Ordering::Relaxed)
        && !(error.is_timeout() && told.answered.load(Ordering::Relaxed))
    {
        broken(state, remote, &error.to_string());
    }
}

/// What the log has of a connection, so that each bad client is one line of it.
#[derive(Default)]
struct Told {
    answered: AtomicBool,
    failed: AtomicBool,
}

fn broken(state: &State, remote: SocketAddr, error: &str) {
    state.metrics.broken.fetch_add(1, Ordering::Relaxed);
    state.log.line("warn", json!({"event": "connection", "remote": remote.to_string(), "error": error}));
}

/// What is told about a request once it is over, also if its client leaves in the middle.
struct Entry {
    state: Arc<State>,
    told: Arc<Told>,
    remote: SocketAddr,
    id: String,
    method: String,
    path: String,
    start: Instant,
    status: u16,
    error: Option<String>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let time = self.start.elapsed();
        let route = router::label(&self.path);
        self.state.metrics.answered(route, self.status, time);
        let level = match self.status {
            ..400 => "info",
            400..500 => "warn",
            _ => "error",
        };
        let kind = if level == "info" { &self.told.answered } else { &self.told.failed };
        kind.store(true, Ordering::Relaxed);
        if level == "info" && !self.state.log.requests {
            return;
        }
        let path: String = self.path.chars().take(200).collect();
        let mut fields = json!({
            "event": "request", "id": self.id, "remote": self.remote.to_string(), "method": self.method, "path": path,
            "status": self.status, "ms": (time.as_secs_f64() * 1e6).round() / 1e3,
        });
        if let Some(error) = &self.error {
            fields["error"] = error.as_str().into();
        }
        self.state.log.line(level, fields);
    }
}

async fn answer(
    state: Arc<State>,
    remote: SocketAddr,
    told: Arc<Told>,
    request: Request,
) -> Result<Response, Infallible> {
    static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
    let given = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).filter(|id| is_id(id));
    let id = given.map_or_else(new_id, str::to_string);
    let mut entry = Entry {
        told,
        remote,
        id,
        method: request.method().to_string(),
        path: request.uri().path().to_string(),
        start: Instant::now(),
        status: GONE,
        error: None,
        state: state.clone(),
    };
    let mut response = match router::route(&state, request).await {
        Ok(response) => response,
        Err(problem) => {
            let response = problem.response();
            entry.error = Some(problem.message);
            response
        }
    };
    entry.status = response.status().as_u16();
    if let Ok(id) = HeaderValue::from_str(&entry.id) {
        response.headers_mut().insert(&REQUEST_ID, id);
    }
    Ok(response)
}

/// Whether a client's own name for its request is taken.
fn is_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A name that no other request has: when the process made its first one, and a number.
fn new_id() -> String {
    static START: std::sync::OnceLock<u128> = std::sync::OnceLock::new();
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let start = START.get_or_init(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_micros()));
    format!("{start:x}-{:x}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// Looks for changes of the models' files.
async fn watch_files(state: Arc<State>) {
    loop {
        tokio::time::sleep(state.options.poll).await;
        on_pool(state.clone(), |state| state.models.iter().for_each(|m| m.poll(&state.log))).await;
    }
}

/// Reads and plans beside the requests.
async fn on_pool(state: Arc<State>, work: impl FnOnce(&State) + Send + 'static) {
    let _ = tokio::task::spawn_blocking(move || work(&state)).await;
}

#[cfg(unix)]
async fn signals(state: Arc<State>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        return state.log.line("warn", json!({"event": "signals", "error": "signals cannot be caught"}));
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => on_pool(state.clone(), |state| state.models.iter().for_each(|m| m.reload(&state.log))).await,
        }
    }
    state.stop.send_replace(true);
    // The second time there is no patience left.
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    std::process::exit(130);
}

#[cfg(not(unix))]
async fn signals(state: Arc<State>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        state.stop.send_replace(true);
    }
}
