//! Looking inside: summaries and pictures.

mod summary;

pub use summary::{Summary, SummaryRow};
