//! From a name or a path to a [`Dataset`](super::Dataset).

use super::{CacheOptions, DataError, DataEvent, Loaded, Options, catalog, folder, idx_dir, source};
use std::path::{Path, PathBuf};

/// As [`load_with`], with [`Options::default`].
///
/// # Errors
/// As [`load_with`].
pub fn load(source: &str, cache: &CacheOptions, on_event: &mut dyn FnMut(DataEvent)) -> Result<Loaded, DataError> {
    load_with(source, &Options::default(), cache, on_event)
}

/// Loads a dataset by name, from a directory of IDX files by `idx:DIR`, or from a folder of pictures by its path.
///
/// A named dataset comes from the first source that has it: the cache, a system-wide copy, the mirrors, the
/// distribution's package. Whatever the source, its content is verified, and kept in the cache.
///
/// `idx:DIR` holds `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
/// `t10k-labels-idx1-ubyte`, each raw or with `.gz`; colour images are `[n, c, h, w]` and may be named `idx4`. The optional
/// `classes.txt` names the classes, one a line.
///
/// `dir:DIR`, or the path of a folder alone, holds a folder a class, with `train/` and `test/` (or `val/`) above them or
/// without. Without, a fifth of every class is kept for the test. Pictures are PNG, JPEG, WebP or BMP of any size.
///
/// # Errors
/// An unknown name, files that are not what they should be, a cache that cannot be written, or no source at all: the
/// error then lists each one with its reason.
///
/// # Examples
/// ```
/// # use lenet::data;
/// let dir = concat!("idx:", env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/fashion-mnist-small");
/// let loaded = data::load(dir, &data::CacheOptions::from_env(), &mut |event| eprintln!("{event:?}"))?;
/// assert_eq!((loaded.train.len(), loaded.test.len(), loaded.train.shape), (512, 256, [1, 28, 28]));
/// # Ok::<(), data::DataError>(())
/// ```
pub fn load_with(
    source: &str,
    options: &Options,
    cache: &CacheOptions,
    on_event: &mut dyn FnMut(DataEvent),
) -> Result<Loaded, DataError> {
    if let Some(dir) = folder_of(source) {
        on_event(DataEvent::Trying { source: dir.into() });
        return folder::load(Path::new(dir), options, cache);
    }
    match source.strip_prefix("idx:") {
        Some(dir) => {
            on_event(DataEvent::Trying { source: dir.into() });
            idx_dir::load(Path::new(dir))
        }
        None => source::load(entry(source)?, cache, on_event),
    }
}

/// The folder of pictures that a source names.
fn folder_of(source: &str) -> Option<&str> {
    let is_path = || source.contains(std::path::is_separator) || Path::new(source).is_dir();
    match source.strip_prefix("dir:") {
        Some(dir) => Some(dir),
        None => (!source.starts_with("idx:") && catalog::find(source).is_none() && is_path()).then_some(source),
    }
}

/// A dataset of the catalog, and whether it is in the cache.
#[derive(Clone, Copy, Debug)]
pub struct Listed {
    /// What the catalog says.
    pub entry: &'static catalog::Entry,
    /// Whether all of its files are in the cache (by name and size; [`check`] reads them).
    pub cached: bool,
}

/// All datasets that are known by name.
pub fn list(cache: &CacheOptions) -> Vec<Listed> {
    let cached = |entry| cache.store(entry).is_ok_and(|store| store.is_complete());
    catalog::entries().iter().map(|entry| Listed { entry, cached: cached(entry) }).collect()
}

/// What [`check`] found out about a file of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The file.
    pub path: PathBuf,
    /// The SHA-256 that it must have, if that is known.
    pub expected: Option<String>,
    /// What is wrong with it, in words; `None` if nothing.
    pub fault: Option<String>,
}

/// Reads the files of a named dataset in the cache and compares their checksums.
///
/// # Errors
/// An unknown name, or no place for a cache. Bad files are no error: the result tells.
pub fn check(name: &str, cache: &CacheOptions) -> Result<Vec<Checked>, DataError> {
    let store = cache.store(entry(name)?)?;
    let files = store.entry.files.iter().zip(store.expected()).zip(store.faults());
    Ok(files.map(|((spec, expected), fault)| Checked { path: store.path(spec), expected, fault }).collect())
}

fn entry(name: &str) -> Result<&'static catalog::Entry, DataError> {
    catalog::find(name).ok_or_else(|| {
        let names = || catalog::entries().iter().map(|e| e.name);
        let close = |n: &&str| strsim::jaro_winkler(n, &name.to_lowercase()) > 0.8;
        let nearest = names()
            .filter(close)
            .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
        let known = names().collect::<Vec<_>>().join(", ");
        DataError::UnknownName { name: name.into(), nearest: nearest.map(String::from), known }
    })
}
