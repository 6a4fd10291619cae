//! The directory of a run: recipe, environment, metrics, checkpoints, model.

use super::checkpoint::Checkpoint;
use super::error::{CheckpointError, RunError, TrainError};
use super::event::EpochMetrics;
use super::layout::{BEST, CHECKPOINTS, ENVIRONMENT, LAST, LOCK, METRICS, METRICS_TABLE, MODEL, RECIPE};
use super::tensorboard::EventFile;
use crate::fs::{is_temporary, remove_temporaries, write_atomic};
use crate::model::{Model, ModelError};
use crate::spec::{Network, Recipe};
use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A run's directory, locked against other processes while this lives.
#[derive(Debug)]
pub struct Run {
    dir: PathBuf,
    metrics: Vec<EpochMetrics>,
    /// From the first epoch that this process ends.
    events: Option<EventFile>,
    _lock: File,
}

impl Run {
    /// Whether a directory holds a run.
    pub fn is_at(dir: impl AsRef<Path>) -> bool {
        dir.as_ref().join(RECIPE).is_file()
    }

    /// The file of a run's recipe.
    ///
    /// # Errors
    /// A directory that is no run.
    pub fn recipe_path(dir: impl AsRef<Path>) -> Result<PathBuf, RunError> {
        let dir = dir.as_ref();
        if Run::is_at(dir) { Ok(dir.join(RECIPE)) } else { Err(RunError::NotARun(dir.to_path_buf())) }
    }

    /// A directory `PARENT/NAME-N` with the first free number.
    pub fn free_name(parent: impl AsRef<Path>, name: &str) -> PathBuf {
        let parent = parent.as_ref();
        (1..).map(|n| parent.join(format!("{name}-{n}"))).find(|p| !p.exists()).unwrap_or_else(|| parent.join(name))
    }

    /// Starts a run in a directory that is empty or not there.
    ///
    /// # Errors
    /// A directory that holds something, is in use, or cannot be written.
    pub fn create(dir: impl AsRef<Path>, recipe: &Recipe, environment: &Value) -> Result<Run, RunError> {
        let dir = dir.as_ref();
        let io = |path: &Path| {
            let path = path.to_path_buf();
            move |error| RunError::Io { path, error }
        };
        // Before the lock, so that nothing is put into somebody's directory; and again when nobody else can write.
        refuse_content(dir)?;
        fs::create_dir_all(dir).map_err(io(dir))?;
        let lock = lock(dir)?;
        refuse_content(dir)?;
        remove_temporaries(dir).map_err(io(dir))?;
        let run = Run { dir: dir.to_path_buf(), metrics: Vec::new(), events: None, _lock: lock };
        fs::create_dir_all(run.checkpoints()).map_err(io(dir))?;
        run.write_environment(environment)?;
        // The recipe is last: where it is, the run can be resumed.
        run.write_recipe(recipe)?;
        Ok(run)
    }

    /// Starts a run in `PARENT/NAME-N`, with the first number that is free.
    pub(super) fn create_numbered(
        parent: &Path,
        name: &str,
        recipe: &Recipe,
        environment: &Value,
    ) -> Result<Run, RunError> {
        loop {
            match Run::create(Run::free_name(parent, name), recipe, environment) {
                // Another process has just taken the number.
                Err(RunError::InUse(_) | RunError::Exists(_)) => {}
                run => return run,
            }
        }
    }

    /// Opens a run to go on with it, and removes what a killed process left half-written.
    ///
    /// # Errors
    /// A directory that is no run, is in use, or cannot be read.
    pub fn open(dir: impl AsRef<Path>) -> Result<Run, RunError> {
        let dir = dir.as_ref();
        Run::recipe_path(dir)?;
        let lock = lock(dir)?;
        let run = Run { dir: dir.to_path_buf(), metrics: Vec::new(), events: None, _lock: lock };
        for d in [dir.to_path_buf(), run.checkpoints(), run.model_dir()] {
            if d.is_dir() {
                remove_temporaries(&d).map_err(|error| RunError::Io { path: d, error })?;
            }
        }
        Ok(run)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory of the model.
    pub fn model_dir(&self) -> PathBuf {
        self.dir.join(MODEL)
    }

    fn checkpoints(&self) -> PathBuf {
        self.dir.join(CHECKPOINTS)
    }

    /// The checkpoint that a resumed run goes on from.
    pub fn last_checkpoint(&self) -> PathBuf {
        self.checkpoints().join(LAST)
    }

    /// Metrics of the epochs done.
    pub fn metrics(&self) -> &[EpochMetrics] {
        &self.metrics
    }

    /// The metrics of a run's epochs so far, whether it is being trained or not: nothing is locked.
    ///
    /// # Errors
    /// A file that cannot be read, or lines that are not the metrics of epochs 1, 2, ….
    pub fn metrics_of(dir: impl AsRef<Path>) -> Result<Vec<EpochMetrics>, RunError> {
        let path = dir.as_ref().join(METRICS);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            read => read.map_err(|error| RunError::Io { path: path.clone(), error })?,
        };
        let one = |(i, line): (usize, &str)| match serde_json::from_str(line) {
            Ok(metrics @ EpochMetrics { epoch, .. }) if epoch == i + 1 => Ok(metrics),
            _ => Err(RunError::Metrics { path: path.clone(), epoch: i + 1 }),
        };
        text.lines().enumerate().map(one).collect()
    }

    /// Whether a process trains in a run's directory now; nothing where the file system has no locks.
    pub fn in_use(dir: impl AsRef<Path>) -> Option<bool> {
        let Ok(file) = File::open(dir.as_ref().join(LOCK)) else { return Some(false) };
        match file.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunError> {
        let path = self.dir.join(name);
        write_atomic(&path, bytes).map_err(|error| RunError::Io { path, error })
    }

    pub(super) fn write_recipe(&self, recipe: &Recipe) -> Result<(), RunError> {
        self.write(RECIPE, recipe.to_toml().as_bytes())
    }

    pub(super) fn write_environment(&self, environment: &Value) -> Result<(), RunError> {
        self.write(ENVIRONMENT, format!("{environment:#}\n").as_bytes())
    }

    /// The checkpoint to go on from, if one was written, of the training with this [`Checkpoint::identity`]. The metrics
    /// are then those of the epochs before it: later ones are dropped, and their epochs done again.
    pub(super) fn resume(&mut self, network: &Network, identity: &str) -> Result<Option<Checkpoint>, TrainError> {
        let path = self.last_checkpoint();
        let checkpoint = if path.exists() { Some(Checkpoint::load(network, identity, &path)?) } else { None };
        self.metrics = self.read_metrics(checkpoint.as_ref().map_or(0, |c| c.epoch))?;
        if self.metrics_path().exists() {
            self.write_metrics()?;
        }
        Ok(checkpoint)
    }

    fn metrics_path(&self) -> PathBuf {
        self.dir.join(METRICS)
    }

    /// The metrics of the first epochs; whatever the file has after them does not count.
    fn read_metrics(&self, epochs: usize) -> Result<Vec<EpochMetrics>, RunError> {
        let path = self.metrics_path();
        let text = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(|error| RunError::Io { path: path.clone(), error })?,
        };
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines();
        let line = |epoch| {
            let metrics = serde_json::from_str(lines.next().unwrap_or_default()).ok();
            let is_its_own = |m: &EpochMetrics| m.epoch == epoch;
            metrics.filter(is_its_own).ok_or_else(|| RunError::LostMetrics { path: path.clone(), epoch })
        };
        (1..=epochs).map(line).collect()
    }

    fn write_metrics(&self) -> Result<(), RunError> {
        let (mut text, mut table) = (String::new(), format!("{}\n", EpochMetrics::NAMES.join(",")));
        for metrics in &self.metrics {
            let io = |e: serde_json::Error| RunError::Io { path: self.metrics_path(), error: e.into() };
            let line = serde_json::to_string(metrics).map_err(io)?;
            // From the line, so that both have the same digits.
            let value: Value = serde_json::from_str(&line).map_err(io)?;
            let cell = |name| value.get(name).map_or(String::new(), Value::to_string);
            table += &format!("{}\n", EpochMetrics::NAMES.map(cell).join(","));
            text += &format!("{line}\n");
        }
        self.write(METRICS_TABLE, table.as_bytes())?;
        self.write(METRICS, text.as_bytes())
    }

    /// Adds an epoch to the metrics and to the event files.
    pub(super) fn add_epoch(
        &mut self,
        metrics: &EpochMetrics,
        model: &Model,
        histograms: bool,
    ) -> Result<(), RunError> {
        self.metrics.push(metrics.clone());
        self.write_metrics()?;
        let io = |error| RunError::Io { path: self.dir.clone(), error };
        let events = match &mut self.events {
            Some(events) => events,
            none => none.insert(EventFile::create(&self.dir, metrics.epoch).map_err(io)?),
        };
        events.add(metrics, model, histograms).map_err(io)
    }

    pub(super) fn save_checkpoint(&self, checkpoint: &Checkpoint, network: &Network) -> Result<(), CheckpointError> {
        checkpoint.save(network, self.last_checkpoint())
    }

    pub(super) fn save_best(&self, checkpoint: &Checkpoint, network: &Network) -> Result<(), CheckpointError> {
        checkpoint.save(network, self.checkpoints().join(BEST))
    }

    pub(super) fn save_model(&self, model: &Model) -> Result<(), ModelError> {
        model.save(&self.model_dir())
    }
}

/// A new run needs an empty directory. What a process left that was killed before it wrote the recipe does not count:
/// nothing of it is lost by starting again.
fn refuse_content(dir: &Path) -> Result<(), RunError> {
    let io = |error| RunError::Io { path: dir.to_path_buf(), error };
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io)?,
    };
    for entry in entries {
        let name = entry.map_err(io)?.file_name();
        let own: [&OsStr; 3] = [LOCK.as_ref(), ENVIRONMENT.as_ref(), CHECKPOINTS.as_ref()];
        if !own.contains(&name.as_os_str()) && !is_temporary(&name) {
            return Err(RunError::Exists(dir.to_path_buf()));
        }
    }
    Ok(())
}

fn lock(dir: &Path) -> Result<File, RunError> {
    let path = dir.join(LOCK);
    let file = File::create(&path).map_err(|error| RunError::Io { path: path.clone(), error })?;
    let mut locked = file.try_lock();
    // Who asks [`Run::in_use`] holds the lock for a moment.
    for _ in 0..20 {
        if !matches!(locked, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(RunError::InUse(dir.to_path_buf())),
        // Some network file systems have no locks: the renames still keep every file whole.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(error)) => Err(RunError::Io { path, error }),
    }
}
