//! The cache: one directory a dataset, which holds its decompressed IDX files and `SHA256SUMS`.
//!
//! Processes share it through a lock file. A file is written to a temporary sibling, synced and renamed, so that whatever
//! carries a file's final name is complete. What a killed process left is removed by the next one that holds the lock.

use super::catalog::{Entry, FileSpec};
use super::{DataError, DataEvent, idx};
use crate::fs::{hex, sync_directory, write_atomic};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SUMS: &str = "SHA256SUMS";
const LOCK: &str = ".lock";
const TEMPORARY: &str = ".tmp";

/// Where datasets may come from, and where they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheOptions {
    /// Directory of the cache; `None` where the system knows no place for it.
    pub dir: Option<PathBuf>,
    /// Directories that may hold system-wide copies, each in a directory of the dataset's name.
    pub system: Vec<PathBuf>,
    /// Mirrors tried before the official ones; each serves `NAME/FILE.gz`.
    pub mirrors: Vec<String>,
    /// Whether the official mirrors and the distribution's packages are tried.
    pub official: bool,
    /// Whether nothing is asked of the network.
    pub offline: bool,
    /// The longest silence of a mirror that is waited for.
    pub patience: Duration,
}

impl CacheOptions {
    /// What the environment asks for: the cache is `LENET_CACHE`, or `lenet` in the user's directory for caches;
    /// `LENET_MIRROR` is tried before the official mirrors; `LENET_OFFLINE`, other than empty or 0, forbids the network.
    pub fn from_env() -> Self {
        Self::from_vars(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn from_vars(var: impl Fn(&str) -> Option<OsString>) -> Self {
        let absolute = |name: &str| var(name).map(PathBuf::from).filter(|p| p.is_absolute());
        let home = || absolute("HOME");
        let user = if cfg!(windows) {
            absolute("LOCALAPPDATA")
        } else if cfg!(target_os = "macos") {
            home().map(|h| h.join("Library/Caches"))
        } else {
            absolute("XDG_CACHE_HOME").or_else(|| home().map(|h| h.join(".cache")))
        };
        let shares = var("XDG_DATA_DIRS").unwrap_or_else(|| "/usr/local/share:/usr/share".into());
        let shares = if cfg!(unix) { std::env::split_paths(&shares).collect() } else { Vec::new() };
        CacheOptions {
            dir: var("LENET_CACHE").map(PathBuf::from).or_else(|| user.map(|u| u.join("lenet"))),
            system: shares.into_iter().filter(|p| p.is_absolute()).map(|p| p.join("datasets")).collect(),
            mirrors: var("LENET_MIRROR").and_then(|m| m.into_string().ok()).into_iter().collect(),
            official: true,
            offline: var("LENET_OFFLINE").is_some_and(|v| v != "0"),
            patience: Duration::from_secs(15),
        }
    }

    /// Where a dataset lies once it is here.
    pub(super) fn store(&self, entry: &'static Entry) -> Result<Store, DataError> {
        let dir = self.dir.as_ref().ok_or(DataError::NoCacheDirectory)?;
        Ok(Store { entry, dir: dir.join(entry.name) })
    }
}

/// Why a file did not get into the cache.
pub(super) enum Failure {
    /// Its source is no good: another may be.
    Source(String),
    /// The cache is no good: no source will help.
    Cache(DataError),
}

impl From<DataError> for Failure {
    fn from(e: DataError) -> Self {
        Failure::Cache(e)
    }
}

/// The directory of one dataset in the cache.
pub(super) struct Store {
    pub entry: &'static Entry,
    pub dir: PathBuf,
}

impl Store {
    pub fn path(&self, spec: &FileSpec) -> PathBuf {
        self.dir.join(spec.name)
    }

    /// Whether all files are there, whatever they hold.
    pub fn is_complete(&self) -> bool {
        self.entry.files.iter().all(|spec| self.path(spec).metadata().is_ok_and(|m| m.len() == spec.bytes))
    }

    /// Checksums of the content: published, or recorded when a verified archive was unpacked.
    pub fn expected(&self) -> [Option<String>; 4] {
        let recorded = self.recorded();
        std::array::from_fn(|i| {
            let spec = &self.entry.files[i];
            spec.sha256.map(String::from).or_else(|| recorded.get(spec.name).cloned())
        })
    }

    /// What is wrong with each file, by its place in the entry; `None` if nothing.
    pub fn faults(&self) -> [Option<String>; 4] {
        let expected = self.expected();
        std::array::from_fn(|i| self.fault(&self.entry.files[i], expected[i].as_deref()))
    }

    fn fault(&self, spec: &FileSpec, expected: Option<&str>) -> Option<String> {
        let path = self.path(spec);
        match path.metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Some("not there".into()),
            Err(e) => return Some(format!("cannot be read: {e}")),
            Ok(meta) if meta.len() != spec.bytes => {
                return Some(format!("has {} bytes instead of {}", meta.len(), spec.bytes));
            }
            Ok(_) => {}
        }
        let Some(expected) = expected else { return Some(format!("its checksum is not recorded in {SUMS}")) };
        match sha256_of(&path) {
            Err(e) => Some(format!("cannot be read: {e}")),
            Ok(found) if found != expected => Some(format!("has SHA-256 {found} instead of {expected}")),
            Ok(_) => None,
        }
    }

    /// Takes the lock, which lasts as long as the file that is returned, and removes what killed processes left.
    pub fn lock(&self, on_event: &mut dyn FnMut(DataEvent)) -> Result<File, DataError> {
        fs::create_dir_all(&self.dir).map_err(DataError::cache("create the directory", &self.dir))?;
        let path = self.dir.join(LOCK);
        let file = File::options().create(true).truncate(false).write(true).open(&path);
        let file = file.map_err(DataError::cache("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                on_event(DataEvent::Waiting { path: path.clone() });
                file.lock().map_err(DataError::cache("lock", &path))?;
            }
            // Some network file systems have no locks: the renames still keep every file whole.
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => return Ok(file),
            Err(TryLockError::Error(e)) => return Err(DataError::cache("lock", &path)(e)),
        }
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with('.') && name.to_string_lossy().ends_with(TEMPORARY) {
                remove(&entry.path());
            }
        }
        Ok(file)
    }

    /// A name for something temporary in the store's directory.
    pub fn temporary(&self, name: &str) -> Temporary {
        Temporary(self.dir.join(format!(".{name}.{}{TEMPORARY}", std::process::id())))
    }

    /// Puts a file, raw or gzipped, into the cache. Where no checksum of its content is published, the caller has
    /// verified what it came from, and the content's checksum is recorded.
    pub fn install(&self, spec: &FileSpec, input: impl Read) -> Result<(), Failure> {
        let bad = |e: io::Error| Failure::Source(format!("{}: {e}", spec.name));
        let mut input = BufReader::with_capacity(1 << 16, input);
        let gzip = idx::is_gzip(&mut input).map_err(bad)?;
        let mut input: Box<dyn BufRead + '_> =
            if gzip { Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(input))) } else { Box::new(input) };
        let temporary = self.temporary(spec.name);
        let path = temporary.path();
        let mut file = File::create(path).map_err(DataError::cache("create", path))?;
        let (mut hash, mut bytes) = (Sha256::new(), 0u64);
        loop {
            let chunk = match input.fill_buf() {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                other => other.map_err(bad)?,
            };
            if chunk.is_empty() {
                break;
            }
            let n = chunk.len();
            bytes += n as u64;
            if bytes > spec.bytes {
                return Err(Failure::Source(format!("{} is longer than its {} bytes", spec.name, spec.bytes)));
            }
            hash.update(chunk);
            file.write_all(chunk).map_err(DataError::cache("write", path))?;
            input.consume(n);
        }
        if bytes < spec.bytes {
            return Err(Failure::Source(format!("{} ends after {bytes} of {} bytes", spec.name, spec.bytes)));
        }
        let found = hex(&hash.finalize());
        if let Some(expected) = spec.sha256
            && found != expected
        {
            let reason = format!("{} has SHA-256 {found} instead of {expected}: other content", spec.name);
            return Err(Failure::Source(reason));
        }
        file.sync_all().map_err(DataError::cache("write", path))?;
        drop(file);
        // Recorded first: a crash between the two renames leaves no file that lacks its checksum.
        self.record(spec, &found)?;
        let target = self.path(spec);
        fs::rename(path, &target).map_err(DataError::cache("create", &target))?;
        sync_directory(&self.dir);
        Ok(())
    }

    fn recorded(&self) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.dir.join(SUMS)).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once("  "));
        pairs.map(|(sum, name)| (name.to_string(), sum.to_string())).collect()
    }

    fn record(&self, spec: &FileSpec, sha256: &str) -> Result<(), DataError> {
        let mut sums = self.recorded();
        sums.insert(spec.name.into(), sha256.into());
        let text: String = sums.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
        let target = self.dir.join(SUMS);
        write_atomic(&target, text.as_bytes()).map_err(DataError::cache("write", &target))
    }
}

/// A file or directory that is gone when this is.
pub(super) struct Temporary(PathBuf);

impl Temporary {
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Removes a file or directory; that it is not there is as good.
pub(super) fn remove(path: &Path) {
    if fs::remove_file(path).is_err() {
        let _ = fs::remove_dir_all(path);
    }
}

/// SHA-256 of a file, in hexadecimal.
pub(super) fn sha256_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 17]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(n) => hash.update(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(vars: &[(&str, &str)]) -> CacheOptions {
        CacheOptions::from_vars(|name| vars.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into()))
    }

    #[test]
    #[cfg(all(unix, not(target_os = "macos")))]
    fn the_environment_chooses_the_directory() {
        let dir = |vars| options(vars).dir;
        assert_eq!(dir(&[("HOME", "/h")]), Some("/h/.cache/lenet".into()));
        assert_eq!(dir(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")]), Some("/x/lenet".into()));
        assert_eq!(dir(&[("HOME", "/h"), ("XDG_CACHE_HOME", "relative")]), Some("/h/.cache/lenet".into()));
        assert_eq!(dir(&[("HOME", "/h"), ("LENET_CACHE", "c")]), Some("c".into()));
        assert_eq!(dir(&[]), None);
        assert_eq!(options(&[]).system, [Path::new("/usr/local/share/datasets"), Path::new("/usr/share/datasets")]);
    }

    #[test]
    fn the_environment_chooses_mirror_and_network() {
        assert_eq!(options(&[("LENET_MIRROR", "http://m/")]).mirrors, ["http://m/"]);
        assert!(options(&[("LENET_OFFLINE", "1")]).offline);
        assert!(!options(&[("LENET_OFFLINE", "0")]).offline);
        assert!(!options(&[]).offline);
    }
}
