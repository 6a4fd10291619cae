//! Trainings that the page starts, each a process of this program. Off unless the server was started with
//! `--allow-training`.

use super::runs::{find, is_name, parent};
use crate::State;
use crate::http::{Problem, Request, Response, json, read_body};
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use lenet::data::catalog;
use lenet::spec::preset;
use lenet::train::Run;
use serde::Deserialize;
use serde_json::json as object;
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

    fn spawn(&self, program: &Path, name: &str, arguments: &[OsString]) -> Result<(), Problem> {
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

fn program(state: &State) -> Result<&Path, Problem> {
    let message = "this server starts no trainings: it does with --allow-training";
    state.options.trainer.as_deref().ok_or_else(|| Problem::new(StatusCode::FORBIDDEN, message))
}

/// What may be learnt from: named datasets, and those of the models that are served.
pub fn datasets(state: &State) -> Vec<String> {
    let mut all: Vec<String> = state.models.iter().map(|m| m.current().model.training.dataset.clone()).collect();
    all.extend(catalog::entries().iter().map(|e| e.name.to_string()));
    let mut seen = BTreeSet::new();
    all.retain(|name| !name.is_empty() && seen.insert(name.clone()));
    all
}

/// What is to be trained; of a run that goes on only the epochs count.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    #[serde(default)]
    recipe: String,
    epochs: Option<u32>,
    dataset: Option<String>,
}

async fn wish(state: &State, request: Request) -> Result<Wish, Problem> {
    let (head, body) = request.into_parts();
    // Forms of other pages cannot send this type.
    if head.headers.get(CONTENT_TYPE).is_none_or(|t| t != "application/json") {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json"));
    }
    let bytes = read_body(state, &head.headers, body, state.options.max_body.min(1 << 16)).await?;
    let wish: Wish = serde_json::from_slice(&bytes).map_err(|e| Problem::bad(format!("the body: {e}")))?;
    if wish.epochs.is_some_and(|n| !(1..=100_000).contains(&n)) {
        return Err(Problem::unfit("epochs must be from 1 to 100,000"));
    }
    Ok(wish)
}

/// `POST /v1/runs`: starts a training of a preset.
pub async fn start(state: &Arc<State>, request: Request) -> Result<Response, Problem> {
    let (program, parent) = (program(state)?, parent(state)?);
    let wish = wish(state, request).await?;
    if !is_name(&wish.recipe) || preset(&wish.recipe).is_none() {
        return Err(Problem::unfit("recipe must be the name of a preset: GET /v1/runs lists them"));
    }
    let mut arguments: Vec<OsString> = vec![wish.recipe.as_str().into()];
    if let Some(dataset) = wish.dataset {
        if !datasets(state).contains(&dataset) {
            return Err(Problem::unfit("dataset must be one of those that GET /v1/runs lists"));
        }
        arguments.extend(["--data".into(), dataset.into()]);
    }
    let out = Run::free_name(parent, &wish.recipe);
    let name = out.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_string();
    arguments.extend(["--out".into(), out.into()]);
    arguments.extend(wish.epochs.into_iter().flat_map(|n| ["--epochs".into(), n.to_string().into()]));
    state.trainings.spawn(program, &name, &arguments)?;
    answer(&name, "training")
}

/// `POST /v1/runs/{name}/resume`
pub async fn resume(state: &Arc<State>, name: &str, request: Request) -> Result<Response, Problem> {
    let program = program(state)?;
    let dir = find(state, name)?;
    let wish = wish(state, request).await?;
    let mut arguments: Vec<OsString> = vec!["--resume".into(), dir.into()];
    arguments.extend(wish.epochs.into_iter().flat_map(|n| ["--epochs".into(), n.to_string().into()]));
    state.trainings.spawn(program, name, &arguments)?;
    answer(name, "training")
}

/// `POST /v1/runs/{name}/stop`: asks a training that this server started to save a checkpoint and end.
pub fn stop(state: &State, name: &str) -> Result<Response, Problem> {
    program(state)?;
    match state.trainings.running().get_mut(name) {
        Some(child) => interrupt(child),
        None => return Err(Problem::not_found("this server trains no run of this name")),
    }
    answer(name, "stopping")
}

fn answer(name: &str, status: &str) -> Result<Response, Problem> {
    let mut response = json(&object!({"name": name, "status": status}))?;
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
