//! Trainings as processes: each a child of the server, running this program.

use crate::http::Problem;
use hyper::StatusCode;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Trainings at a time: each one takes all cores.
const MOST: usize = 1;

/// Bytes of what a training says in the end that are kept.
const WORDS: u64 = 4096;

/// The trainings of this server, by the name of their run.
#[derive(Default)]
pub struct Trainings {
    running: Mutex<BTreeMap<String, Child>>,
    /// Those that have ended.
    ended: Mutex<BTreeSet<String>>,
    /// The last words of those that failed.
    failed: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Trainings {
    /// Takes out what has ended.
    fn running(&self) -> MutexGuard<'_, BTreeMap<String, Child>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|name, child| {
            let goes_on = matches!(child.try_wait(), Ok(None));
            if !goes_on {
                ended.insert(name.clone());
            }
            goes_on
        });
        running
    }

    /// Runs that this server trains, and those that it trained.
    pub fn names(&self) -> (Vec<String>, BTreeSet<String>) {
        let active = self.running().keys().cloned().collect();
        (active, self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Runs whose training ended in an error, and its words.
    pub fn failures(&self) -> BTreeMap<String, String> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Starts `program train …` for the run of a name.
    pub fn spawn(&self, program: &Path, name: &str, arguments: &[OsString]) -> Result<(), Problem> {
        let mut running = self.running();
        if running.len() >= MOST {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "a training is under way already: stop it, or wait for its end",
            ));
        }
        let mut command = Command::new(program);
        command.arg("train").args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // Ctrl+C in the server's terminal is the server's alone: a second signal would end a training without a checkpoint.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(|e| Problem::internal(format!("cannot start the training: {e}")))?;
        let (errors, name) = (child.stderr.take(), name.to_string());
        running.insert(name.clone(), child);
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        let failed = self.failed.clone();
        failed.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
        // Someone must read, or the training would wait; without a terminal it only says what is wrong.
        std::thread::spawn(move || {
            let Some(mut errors) = errors else { return };
            let mut text = Vec::new();
            let _ = errors.by_ref().take(WORDS).read_to_end(&mut text);
            let _ = std::io::copy(&mut errors, &mut std::io::sink());
            let text = String::from_utf8_lossy(&text);
            if let Some(line) = text.lines().find(|line| line.starts_with("error")) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).insert(name, line.to_string());
            }
        });
        Ok(())
    }

    /// Asks the training of a run to save a checkpoint and end; whether this server trains it.
    pub fn stop(&self, name: &str) -> bool {
        self.running().get_mut(name).map(interrupt).is_some()
    }
}

impl Drop for Trainings {
    /// A training does not outlive its server: it saves a checkpoint and ends.
    fn drop(&mut self) {
        for child in self.running().values_mut() {
            interrupt(child);
            let _ = child.wait();
        }
    }
}

/// Asks a training to save a checkpoint and stop.
#[cfg(unix)]
fn interrupt(child: &mut Child) {
    let id = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id {
        let _ = rustix::process::kill_process(id, rustix::process::Signal::INT);
    }
}

/// There is no such signal: what its last checkpoint does not have is lost.
#[cfg(not(unix))]
fn interrupt(child: &mut Child) {
    let _ = child.kill();
}
