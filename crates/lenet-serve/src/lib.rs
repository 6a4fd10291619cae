//! Serves models over HTTP: the Open Inference Protocol v2, predictions of pictures, metrics, and a web page.
//!
//! The way of a request:
//!
//! ```text
//! connection → guard (host, origin, token) → router → handler → models::Loaded → batch (queue, engine threads) → answer
//! ```
//!
//! Handlers run on a few asynchronous threads and never compute for long: networks run on the engine threads of
//! `batch`, large pictures are decoded on a pool of their own. All state is in `State`.

mod batch;
mod connection;
mod guard;
mod http;
mod infer;
mod log;
mod metrics;
mod models;
mod page;
mod predict;
mod router;
mod tensor;

use log::Log;
use metrics::Metrics;
use models::Models;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

pub use guard::{ShortToken, Token};
pub use models::{LoadError, Source};

/// How a server runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where to listen. An address other than loopback needs a token, or `open`.
    pub address: SocketAddr,
    /// What clients have to show as `Authorization: Bearer …`; the page's files and the health routes are open.
    pub token: Option<Token>,
    /// Serve whoever reaches an address other than loopback, without a token.
    pub open: bool,
    /// Engine threads for each model; 0 for as many as the machine runs at once.
    pub threads: usize,
    /// Samples that may wait for each model's engine; beyond that, requests are refused (429).
    pub queue: usize,
    /// Most bytes of a request's body.
    pub max_body: usize,
    /// Most bytes of all bodies that are held at a time. The first 64 KiB of each do not count: small requests are
    /// answered however many large ones there are.
    pub body_room: usize,
    /// Most connections at a time; others are closed.
    pub max_connections: usize,
    /// Time in which a request's head must have arrived, and that a connection may idle.
    pub head_time: Duration,
    /// Time in which a request's body must have arrived, in which a client must take what is sent, and for which a
    /// request may wait for the engine.
    pub body_time: Duration,
    /// How long requests may go on once the server was asked to stop.
    pub drain_time: Duration,
    /// How often the models' files are looked at for changes.
    pub poll: Duration,
    /// Whether each request is a line of the log; else only failures and events are.
    pub log_requests: bool,
    /// The file that the log is added to; standard error without one.
    pub log_file: Option<PathBuf>,
    /// The directory whose runs the page shows.
    pub runs: Option<PathBuf>,
    /// The program whose `train` the page may start; nothing if it may not.
    pub trainer: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            address: SocketAddr::from(([127, 0, 0, 1], 8080)),
            token: None,
            open: false,
            threads: 0,
            queue: 4096,
            max_body: 8 << 20,
            body_room: 256 << 20,
            max_connections: 4096,
            head_time: Duration::from_secs(15),
            body_time: Duration::from_secs(30),
            drain_time: Duration::from_secs(10),
            poll: Duration::from_secs(2),
            log_requests: true,
            log_file: None,
            runs: None,
            trainer: None,
        }
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Nothing would protect it.
    #[error(
        "{0} can be reached from other machines: give a token (--token-file FILE, or LENET_TOKEN), or --open to serve whoever asks"
    )]
    Unprotected(SocketAddr),
    /// A model.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The address.
    #[error("cannot listen on {address}: {error} (--addr takes another address)")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// The system gives no threads or signals.
    #[error("cannot start the server: {0}")]
    Start(io::Error),
}

/// All that handlers see.
pub(crate) struct State {
    pub options: Options,
    /// Where it listens.
    pub address: SocketAddr,
    pub models: Models,
    pub metrics: Metrics,
    pub log: Log,
    /// What is left of [`Options::body_room`], in KiB.
    pub bodies: Arc<Semaphore>,
    /// Turns at what takes long: large pictures and requests, activations.
    pub decoders: Semaphore,
    /// What the page compares inputs with.
    pub references: page::References,
    /// Streams of runs' metrics that may still be opened.
    pub followers: Arc<Semaphore>,
    /// Trainings that the page has started.
    pub trainings: page::Trainings,
    /// Becomes true when the server is to stop: what streams must end then.
    pub stop: watch::Sender<bool>,
}

impl State {
    /// Whether the server is about to stop.
    pub fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    /// Waits until the server is to stop.
    pub async fn stopped(&self) {
        // The sender lives as long as `self`.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }
}

/// A server that listens. It stops when it is dropped.
pub struct Server {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

/// Large pictures and requests that are decoded at a time; a picture takes up to 8 bytes a pixel ([`predict::MAX_PIXELS`]).
const DECODERS: usize = 2;

/// Clients that follow runs at a time.
const FOLLOWERS: usize = 64;

impl Server {
    /// Loads the models, binds the address and serves on threads of its own.
    ///
    /// # Errors
    /// A model that cannot be loaded, an address that cannot be bound or needs a token.
    pub fn start(sources: Vec<Source>, options: Options) -> Result<Server, ServeError> {
        let open = options.token.is_some() || options.open || options.address.ip().is_loopback();
        if !open {
            return Err(ServeError::Unprotected(options.address));
        }
        // Each connection is an open file, and the usual soft limit is 1,024. A lower limit costs connections only.
        let _ = rlimit::increase_nofile_limit(options.max_connections as u64 + 128);
        let models = Models::load(sources, options.threads, options.queue)?;
        let listener = TcpListener::bind(options.address)
            .and_then(|l| l.set_nonblocking(true).map(|()| l))
            .map_err(|error| ServeError::Listen { address: options.address, error })?;
        let address = listener.local_addr().map_err(ServeError::Start)?;
        let log = Log::start(options.log_requests, options.log_file.as_deref()).map_err(ServeError::Start)?;
        let state = Arc::new(State {
            address,
            models,
            metrics: Metrics::default(),
            log,
            bodies: Arc::new(Semaphore::new((options.body_room >> 10).min(Semaphore::MAX_PERMITS))),
            decoders: Semaphore::new(DECODERS),
            references: page::References::default(),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
            trainings: page::Trainings::default(),
            stop: watch::Sender::new(false),
            options,
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(ServeError::Start)?;
        let served = state.clone();
        let thread = std::thread::Builder::new().name("lenet-serve".into()).spawn(move || {
            runtime.block_on(connection::serve(&served, listener));
            // What still decodes is not waited for.
            runtime.shutdown_background();
            served.log.flush();
        });
        Ok(Server { state, thread: Some(thread.map_err(ServeError::Start)?) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.state.address
    }

    /// Names and files of the models, and how many parameters each has.
    pub fn models(&self) -> Vec<(String, PathBuf, usize)> {
        let all = self.state.models.iter();
        all.map(|m| (m.name().to_string(), m.path().to_path_buf(), m.current().model.network.learnt())).collect()
    }

    /// Reads all models' files anew, as SIGHUP does; a model whose files are bad stays as it is.
    pub fn reload(&self) {
        self.state.models.iter().for_each(|m| m.reload(&self.state.log));
    }

    /// Asks for a stop: no new connections, open requests may end within [`Options::drain_time`].
    pub fn stop(&self) {
        self.state.stop.send_replace(true);
    }

    /// Waits until the server has stopped: by [`Server::stop`], SIGTERM or SIGINT.
    pub fn wait(mut self) {
        self.join();
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            // A panic has been reported where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.thread.is_some() {
            self.stop();
            self.join();
        }
    }
}
