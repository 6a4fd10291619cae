//! Why a picture cannot be drawn.

/// Why a picture cannot be written.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DrawError {
    /// The picture is too large.
    #[error("the picture would have {width} × {height} pixels: choose fewer inputs or layers, or write SVG")]
    TooLarge {
        /// Pixels across.
        width: u64,
        /// Pixels down.
        height: u64,
    },
    /// A file's format cannot hold it.
    #[error("cannot encode: {0}")]
    Encode(String),
}
