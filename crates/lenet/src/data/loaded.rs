//! What loading gives, and what it is told.

use super::Dataset;

/// A dataset with its two splits, and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// The training images.
    pub train: Dataset,
    /// The test images.
    pub test: Dataset,
    /// The catalog's name, also for files of one's own that hold the same; else `idx:DIR`.
    pub name: String,
    /// Where the files came from this time, in words.
    pub provenance: String,
    /// File name and SHA-256 of the decompressed content.
    pub checksums: Vec<(String, String)>,
    /// What a person should know before it is learnt from, one line each.
    pub notes: Vec<String>,
    /// Files that were left out because they cannot be read, each with its reason.
    pub skipped: Vec<String>,
}

/// How a folder of pictures is read; other sources need none of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Channels, rows and columns that pictures are fitted to; `None` for the size they share, or a usual small one.
    pub shape: Option<[usize; 3]>,
    /// Whether pictures that cannot be read are left out instead of an error.
    pub skip_bad: bool,
}
