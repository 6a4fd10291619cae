//! What can go wrong between a dataset's name and its arrays.

use super::idx::IdxError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A source that was tried, and why it gave nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The source, in words.
    pub source: String,
    /// Why it gave nothing, in words.
    pub reason: String,
}

/// Why a dataset could not be loaded.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum DataError {
    /// No dataset has this name.
    #[error("there is no dataset {name:?}{}: known are {known}, or idx:DIR for IDX files and dir:DIR for pictures of your own", suggestion(.nearest))]
    UnknownName { name: String, nearest: Option<String>, known: String },
    /// A folder of pictures is not a folder a class.
    #[error("{}: {what}", dir.display())]
    Folder { dir: PathBuf, what: String },
    /// Pictures cannot be read.
    #[error("{}: {} pictures cannot be read: {}: mend or remove them, or leave them out with --skip-bad", dir.display(), bad.len(), first(.bad))]
    BadPictures { dir: PathBuf, bad: Vec<String> },
    /// A directory of IDX files lacks one.
    #[error("{}: there is no {file} and no {file}.gz", dir.display())]
    NoSuchFile { dir: PathBuf, file: String },
    /// A file is no IDX file of the kind that is needed.
    #[error(transparent)]
    Idx(#[from] IdxError),
    /// A label names no class.
    #[error("{file}: label {label} of image {index} is outside {first}..={last}, the labels of the {classes} classes")]
    Label { file: String, index: usize, label: u8, first: u8, last: usize, classes: usize },
    /// There are not as many labels as images.
    #[error("{images_file} holds {images} images, {labels_file} {labels} labels: they must be equally many")]
    CountMismatch { images_file: String, images: usize, labels_file: String, labels: usize },
    /// Training and test images differ in shape.
    #[error("{}: the training images are {train:?}, the test images {test:?}: they must have one shape", dir.display())]
    ShapeMismatch { dir: PathBuf, train: [usize; 3], test: [usize; 3] },
    /// `classes.txt` is not one name a line.
    #[error("{file}: {reason}")]
    Classes { file: String, reason: String },
    /// A file is not the one its name promises.
    #[error("{file}: the content has SHA-256 {found}, {expected} is expected: it is damaged, or another dataset's")]
    Checksum { file: String, expected: String, found: String },
    /// The cache cannot be used.
    #[error("cannot {action} {}: {source}: see that there is space, or set LENET_CACHE to a directory you can write to", path.display())]
    Cache { action: &'static str, path: PathBuf, source: io::Error },
    /// There is no place for a cache.
    #[error("there is no place for downloaded data: set LENET_CACHE to a directory you can write to")]
    NoCacheDirectory,
    /// All sources failed.
    #[error("cannot get {name} from any source:\n{}{}", lines(.attempts), ways_out(.name, .debian))]
    Unavailable { name: &'static str, debian: Option<&'static str>, attempts: Vec<Attempt> },
}

impl DataError {
    /// An error of the cache, for `map_err`.
    pub(super) fn cache<'a>(action: &'static str, path: &'a Path) -> impl Fn(io::Error) -> DataError + 'a {
        move |source| DataError::Cache { action, path: path.to_path_buf(), source }
    }
}

/// The first ten.
fn first(bad: &[String]) -> String {
    let rest = if bad.len() > 10 { "; …" } else { "" };
    bad.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("; ") + rest
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map_or(String::new(), |n| format!(" (did you mean {n}?)"))
}

fn lines(attempts: &[Attempt]) -> impl fmt::Display {
    attempts.iter().map(|a| format!("  - {}: {}\n", a.source, a.reason)).collect::<String>()
}

fn ways_out(name: &str, debian: &Option<&'static str>) -> String {
    let package = debian.map_or(String::new(), |p| format!("install Debian's package {p}, "));
    format!(
        "ways out: connect to the internet (http_proxy and https_proxy are honoured), {package}set LENET_MIRROR to an \
         address that serves {name}/FILE.gz, or get the files elsewhere and name their directory: idx:DIR"
    )
}
