//! In the place of downloads, for programs without them.

use std::io;
use std::path::Path;
use std::time::Duration;

/// Why a download did not end.
pub(super) enum FetchError {
    /// Nothing is to be had from this server.
    Server(String),
    /// The disk does not take it.
    #[allow(dead_code)]
    Disk(io::Error),
}

/// Downloads nothing.
pub(super) struct Fetcher;

impl Fetcher {
    pub fn new(_patience: Duration) -> Self {
        Fetcher
    }

    pub fn fetch(
        &self,
        _url: &str,
        _part: &Path,
        _limit: u64,
        _progress: &mut dyn FnMut(u64, Option<u64>),
    ) -> Result<(), FetchError> {
        Err(FetchError::Server("this program was built without downloads (the feature `download`)".into()))
    }
}
