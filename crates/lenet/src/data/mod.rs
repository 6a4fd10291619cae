//! Datasets: labelled images as bytes, from files, caches and mirrors.
//!
//! ```text
//! name → source (cache · system · mirrors · apt) → verified IDX files → idx_dir → Dataset
//! ```
//!
//! Nothing here prints: what happens leaves as [`DataEvent`]s. Without the feature `train` there are only datasets that a
//! program makes itself, and single pictures.

mod dataset;
pub mod picture;

#[cfg(feature = "train")]
mod cache;
#[cfg(feature = "train")]
pub mod catalog;
#[cfg(feature = "report")]
pub mod contact;
#[cfg(feature = "train")]
mod debian;
#[cfg(feature = "train")]
mod error;
#[cfg(feature = "train")]
mod event;
#[cfg(feature = "train")]
mod examples;
#[cfg(feature = "train")]
#[cfg_attr(not(feature = "download"), path = "no_fetch.rs")]
mod fetch;
#[cfg(feature = "train")]
mod folder;
#[cfg(feature = "train")]
pub mod idx;
#[cfg(feature = "train")]
mod idx_dir;
#[cfg(feature = "train")]
mod load;
#[cfg(feature = "train")]
mod loaded;
#[cfg(feature = "train")]
mod source;
#[cfg(all(test, feature = "train"))]
mod tests;

#[cfg(feature = "train")]
pub use cache::CacheOptions;
pub use dataset::Dataset;
#[cfg(feature = "train")]
pub use error::{Attempt, DataError};
#[cfg(feature = "train")]
pub use event::DataEvent;
#[cfg(feature = "train")]
pub use load::{Checked, Listed, check, list, load, load_with};
#[cfg(feature = "train")]
pub use loaded::{Loaded, Options};
