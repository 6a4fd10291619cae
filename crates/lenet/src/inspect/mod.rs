//! Looking inside: summaries and pictures.

mod summary;

pub(crate) use summary::thousands;
pub use summary::{Summary, SummaryRow};
