//! The models that are served, by name, and how their files replace them while the server runs.

use crate::batch::{BatchStats, Batcher};
use crate::log::Log;
use lenet::engine::EngineError;
use lenet::model::layout::{CONFIG, DIRECTORY, TENSORS};
use lenet::model::{Model, ModelError};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

/// A model to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Under which name.
    pub name: String,
    /// Directory of the model, or of the run that trained it.
    pub path: PathBuf,
}

impl Source {
    /// Reads `NAME=DIR`, or `DIR`, whose last part is the name (that before it, if the last is `model`).
    ///
    /// # Errors
    /// A name of other than 1 to 64 of the characters `A-Z a-z 0-9 . _ -`, or that begins with a dot.
    pub fn parse(text: &str) -> Result<Source, LoadError> {
        let (name, path) = match text.split_once('=') {
            Some((name, path)) => (name.to_string(), PathBuf::from(path)),
            None => {
                let path = PathBuf::from(text);
                let full = std::fs::canonicalize(&path).unwrap_or_else(|_| path.clone());
                let parts = full.iter().rev().filter_map(|p| p.to_str());
                (parts.take(2).find(|p| *p != DIRECTORY).unwrap_or(DIRECTORY).to_string(), path)
            }
        };
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        if !(1..=64).contains(&name.len()) || name.starts_with('.') || !name.bytes().all(fits) {
            return Err(LoadError::Name(name));
        }
        Ok(Source { name, path })
    }
}

/// Why a model cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Its name.
    #[error("{0:?} cannot be a model's name: letters, digits, dots, _ and - can; give another as NAME=DIR")]
    Name(String),
    /// Two of one name.
    #[error("two models have the name {0:?}: give one another name as NAME=DIR")]
    Twice(String),
    /// There is none.
    #[error("there is no model to serve")]
    None,
    /// Its files.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The engine.
    #[error("{path}: {error}")]
    Engine {
        /// The model's directory.
        path: PathBuf,
        /// What is wrong.
        error: EngineError,
    },
}

/// A model in memory, with the threads that run it.
pub struct Loaded {
    /// The model.
    pub model: Arc<Model>,
    /// Which one it is under its name: 1 at the start, one more with each reload.
    pub version: u64,
    /// What turns inputs into logits.
    pub batcher: Batcher,
    /// The input that each byte becomes, one table a channel.
    pub tables: Vec<[f32; 256]>,
}

/// What the model's files looked like: time and length.
type Signature = [Option<(SystemTime, u64)>; 2];

/// A name, and the model that now stands behind it.
pub struct Slot {
    source: Source,
    threads: usize,
    queue: usize,
    current: RwLock<Arc<Loaded>>,
    /// What was last tried to be loaded, and what the last look saw.
    seen: Mutex<[Signature; 2]>,
    /// Samples and batches of all versions.
    pub stats: Arc<BatchStats>,
    /// Reloads that replaced the model.
    pub reloaded: AtomicU64,
    /// Reloads that left it.
    pub refused: AtomicU64,
}

impl Slot {
    fn load(source: Source, threads: usize, queue: usize) -> Result<Slot, LoadError> {
        let seen = signature(&source.path);
        let stats = Arc::new(BatchStats::default());
        let loaded = load(&source.path, 1, threads, queue, &stats)?;
        Ok(Slot {
            source,
            threads,
            queue,
            current: RwLock::new(Arc::new(loaded)),
            seen: Mutex::new([seen, seen]),
            stats,
            reloaded: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        })
    }

    /// The model's name.
    pub fn name(&self) -> &str {
        &self.source.name
    }

    /// Where its files are.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// The model that requests get from now on. Those that hold an older one finish with it.
    pub fn current(&self) -> Arc<Loaded> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the files anew and, if they are a model that computes, puts it in place of the current one.
    pub fn reload(&self, log: &Log) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = [signature(self.path()); 2];
        let version = self.current().version + 1;
        match load(self.path(), version, self.threads, self.queue, &self.stats) {
            Ok(loaded) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
                self.reloaded.fetch_add(1, Ordering::Relaxed);
                log.line("info", json!({"event": "reload", "model": self.name(), "version": version}));
            }
            Err(error) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                let kept = version - 1;
                let error = error.to_string();
                let fields = json!({"event": "reload", "model": self.name(), "kept_version": kept, "error": error});
                log.line("error", fields);
            }
        }
    }

    /// Reloads if the files have changed, and have since stayed the same for the time between two calls.
    pub fn poll(&self, log: &Log) {
        let now = signature(self.path());
        let changed = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let settled = seen[1] == now;
            seen[1] = now;
            settled && seen[0] != now
        };
        if changed {
            self.reload(log);
        }
    }
}

/// Reads a model, starts its engine threads and lets them compute once.
fn load(path: &Path, version: u64, threads: usize, queue: usize, stats: &Arc<BatchStats>) -> Result<Loaded, LoadError> {
    let model = Arc::new(Model::load(path)?);
    let engine = |error| LoadError::Engine { path: path.to_path_buf(), error };
    let batcher = Batcher::start(model.clone(), threads, queue, stats.clone()).map_err(engine)?;
    let tables = model.normalization.tables();
    Ok(Loaded { model, version, batcher, tables })
}

fn signature(path: &Path) -> Signature {
    let inner = path.join(DIRECTORY);
    let dir = if path.join(CONFIG).is_file() { path } else { &inner };
    [CONFIG, TENSORS].map(|name| {
        let data = std::fs::metadata(dir.join(name)).ok()?;
        Some((data.modified().ok()?, data.len()))
    })
}

/// All models, in the order in which they were named.
pub struct Models(Vec<Slot>);

impl Models {
    /// Loads all.
    pub fn load(sources: Vec<Source>, threads: usize, queue: usize) -> Result<Models, LoadError> {
        let mut slots: Vec<Slot> = Vec::new();
        for source in sources {
            if slots.iter().any(|s| s.name() == source.name) {
                return Err(LoadError::Twice(source.name));
            }
            slots.push(Slot::load(source, threads, queue)?);
        }
        if slots.is_empty() { Err(LoadError::None) } else { Ok(Models(slots)) }
    }

    /// The one of a name; the first one without a name.
    pub fn get(&self, name: Option<&str>) -> Option<&Slot> {
        match name {
            None => self.0.first(),
            Some(name) => self.0.iter().find(|s| s.name() == name),
        }
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_the_folder_or_are_given() {
        let parsed = |text: &str| Source::parse(text).map(|s| (s.name, s.path.display().to_string()));
        assert_eq!(parsed("a=runs/x").unwrap(), ("a".into(), "runs/x".into()));
        assert_eq!(parsed("runs/x/").unwrap(), ("x".into(), "runs/x/".into()));
        assert_eq!(parsed("runs/x/model").unwrap(), ("x".into(), "runs/x/model".into()));
        for bad in ["=runs/x", "a/b=c", "..=c", "a b=c", "ä=c"] {
            assert!(matches!(Source::parse(bad), Err(LoadError::Name(_))), "{bad}");
        }
    }
}
