//! Threads beside those that answer.

use crate::http::Problem;

/// Reads and computes beside the requests.
pub async fn on_pool<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Problem::internal("what was to be computed has failed"))
}
