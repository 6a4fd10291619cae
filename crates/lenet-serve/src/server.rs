//! The server: started, asked to stop, waited for.

use crate::connection;
use crate::log::Log;
use crate::metrics::Metrics;
use crate::models::{LoadError, Models, Source};
use crate::options::Options;
use crate::page::processes::Trainings;
use crate::page::references::References;
use crate::state::State;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{Semaphore, watch};

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

/// A server that listens. It stops when it is dropped.
pub struct Server {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

/// Large pictures and requests that are decoded at a time; a picture takes up to 8 bytes a pixel (`predict::MAX_PIXELS`).
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
            references: References::default(),
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
            trainings: Trainings::default(),
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
