//! How a server runs: addresses, limits, times.

use crate::token::Token;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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
