//! What happens while a dataset is loaded.

use std::path::PathBuf;

/// What happens on the way from a name to arrays, in time order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataEvent {
    /// A source is tried.
    Trying {
        /// The source, in words.
        source: String,
    },
    /// A source gave nothing; the next one is tried.
    Skipped {
        /// The source, in words.
        source: String,
        /// Why it gave nothing, in words.
        reason: String,
    },
    /// Another process fills the cache; this one waits for it.
    Waiting {
        /// The lock file.
        path: PathBuf,
    },
    /// Bytes arrive.
    Progress {
        /// The file that is fetched.
        file: String,
        /// Bytes so far.
        done: u64,
        /// Bytes in all, if the source tells.
        total: Option<u64>,
    },
    /// A file has the content it should have.
    Verified {
        /// Name of the decompressed file.
        file: String,
        /// SHA-256 of its content.
        sha256: String,
    },
}
