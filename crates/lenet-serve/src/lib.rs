//! Serves models over HTTP: the Open Inference Protocol v2, predictions of pictures, metrics, and a web page.
//!
//! The way of a request:
//!
//! ```text
//! connection → guard (host, origin, token) → router → handler → models::Loaded → batch (queue, engine threads) → answer
//! ```
//!
//! Handlers run on a few asynchronous threads and never compute for long: networks run on the engine threads of
//! `batch`, large pictures are decoded on a pool of their own. All state is in `state::State`.

mod batch;
mod connection;
mod guard;
mod http;
mod infer;
mod log;
mod metrics;
mod models;
mod options;
mod page;
mod pool;
mod predict;
mod prometheus;
mod request;
mod router;
mod routes;
mod server;
mod state;
mod tensor;
mod token;

pub use models::{LoadError, Source};
pub use options::Options;
pub use server::{ServeError, Server};
pub use token::{ShortToken, Token};
