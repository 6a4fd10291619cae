//! What the requests of a server share.

use crate::log::Log;
use crate::metrics::Metrics;
use crate::models::Models;
use crate::options::Options;
use crate::page::processes::Trainings;
use crate::page::references::References;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{Semaphore, watch};

/// All that handlers see.
pub struct State {
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
    pub references: References,
    /// Streams of runs' metrics that may still be opened.
    pub followers: Arc<Semaphore>,
    /// Trainings that the page has started.
    pub trainings: Trainings,
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
