//! The runs of a directory: what they are, their metrics, and how these grow.

use super::files::protect;
use crate::http::{Problem, Response, json, ok};
use crate::pool::on_pool;
use crate::request::Call;
use crate::state::State;
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use lenet::data::catalog;
use lenet::model::layout::CONFIG;
use lenet::spec::{PRESETS, Recipe};
use lenet::train::Run;
use lenet::train::layout::{METRICS, MODEL, RECIPE, REPORT};
use serde_json::{Value, json as object};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Largest file of metrics or report that is read.
const MAX_FILE: u64 = 64 << 20;

/// Most runs that are listed: those that were touched last.
const MAX_RUNS: usize = 200;

/// How often a run's metrics are looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Looks after which a silent stream says that it lives; only so does it see that nobody listens.
const SILENCE: u32 = 20;

/// Where the file system has no locks, a run without metrics for so long is taken for one that stands still.
const STILL: Duration = Duration::from_secs(120);

/// What a report may do: be shown, with what it contains, and nothing in this origin's name.
const REPORT_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
     sandbox allow-scripts; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// The directory that runs are in.
pub fn parent(state: &State) -> Result<&Path, Problem> {
    state
        .options
        .runs
        .as_deref()
        .ok_or_else(|| Problem::not_found("this server shows no runs: start it with --runs DIR"))
}

/// Whether a name is that of a directory and no way out of the parent.
pub fn is_name(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(fits)
}

/// The directory of a run that is there.
pub fn find(state: &State, name: &str) -> Result<PathBuf, Problem> {
    let parent = parent(state)?;
    let dir = parent.join(name);
    if is_name(name) && Run::is_at(&dir) {
        return Ok(dir);
    }
    Err(Problem::not_found(format!("there is no run of this name in {}", parent.display())))
}

/// `GET /v1/runs`
pub async fn list(call: Call<'_>) -> Result<Response, Problem> {
    let state = call.state;
    let presets = PRESETS.map(|(name, _)| name);
    let training = state.options.trainer.is_some() && state.options.runs.is_some();
    let datasets = datasets(state);
    let Ok(parent) = parent(state) else {
        return json(
            &object!({"directory": null, "runs": [], "training": false, "presets": presets, "datasets": datasets}),
        );
    };
    let (directory, parent) = (parent.display().to_string(), parent.to_path_buf());
    let own = state.trainings.names();
    let runs = on_pool(move || all(&parent, &own)).await?;
    json(&object!({
        "directory": directory, "runs": runs, "training": training, "presets": presets, "datasets": datasets,
        "failures": state.trainings.failures(),
    }))
}

/// What may be learnt from: named datasets, and those of the models that are served.
pub fn datasets(state: &State) -> Vec<String> {
    let mut all: Vec<String> = state.models.iter().map(|m| m.current().model.training.dataset.clone()).collect();
    all.extend(catalog::entries().iter().map(|e| e.name.to_string()));
    let mut seen = BTreeSet::new();
    all.retain(|name| !name.is_empty() && seen.insert(name.clone()));
    all
}

/// Names of the runs that this server trains, and of those that it trained.
type Own = (Vec<String>, BTreeSet<String>);

fn all(parent: &Path, own: &Own) -> Vec<Value> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let named = entries.filter_map(|e| e.file_name().into_string().ok()).filter(|name| is_name(name));
    let mut found: Vec<(SystemTime, String)> =
        named.filter_map(|name| Some((touched(&parent.join(&name))?, name))).collect();
    found.sort_by(|a, b| b.cmp(a));
    found.truncate(MAX_RUNS);
    found.into_iter().map(|(time, name)| describe(parent, &name, time, own)).collect()
}

/// When a run last wrote metrics, or its recipe; nothing if it is no run.
fn touched(dir: &Path) -> Option<SystemTime> {
    let time = |file: &str| fs::metadata(dir.join(file)).and_then(|m| m.modified());
    let recipe = time(RECIPE).ok()?;
    Some(time(METRICS).map_or(recipe, |metrics| metrics.max(recipe)))
}

fn describe(parent: &Path, name: &str, time: SystemTime, (active, ended): &Own) -> Value {
    let dir = parent.join(name);
    let recipe = dir.join(RECIPE).to_str().map(Recipe::load).and_then(Result::ok);
    let metrics = read_metrics(&dir).unwrap_or_default();
    let last = metrics.last().cloned();
    let done = metrics.len();
    let planned = recipe.as_ref().map_or(0, |r| r.train.epochs);
    let line = recipe.map(|r| {
        let layers = r.model.layers.len();
        format!(
            "{layers} layers on {}, lr {}, batch {}, seed {}",
            r.data.source, r.train.lr, r.train.batch, r.train.seed
        )
    });
    let status = match Run::in_use(&dir) {
        _ if active.iter().any(|n| n == name) => "training",
        Some(true) => "training",
        _ if planned > 0 && done >= planned => "finished",
        None if !ended.contains(name) && time.elapsed().is_ok_and(|t| t < STILL) => "training",
        _ => "stopped",
    };
    object!({
        "name": name, "recipe": line, "epochs": planned, "done": done, "last": last, "status": status,
        "own": active.iter().any(|n| n == name), "report": dir.join(REPORT).is_file(),
        "model": dir.join(MODEL).join(CONFIG).is_file(),
    })
}

/// The lines of `metrics.jsonl`; none if the file is not there yet.
fn read_metrics(dir: &Path) -> io::Result<Vec<Value>> {
    let bytes = match read_bounded(&dir.join(METRICS)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        read => read?,
    };
    // A line that is half there is not there yet.
    Ok(bytes.split(|b| *b == b'\n').map_while(|line| serde_json::from_slice(line).ok()).collect())
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    if file.metadata()?.len() > MAX_FILE {
        return Err(io::Error::other("the file is too large"));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(error: &io::Error) -> Problem {
    Problem::internal(format!("the run cannot be read: {error}"))
}

/// `GET /v1/runs/{name}/metrics`
pub async fn metrics(call: Call<'_>) -> Result<Response, Problem> {
    let dir = find(call.state, call.name)?;
    let metrics = on_pool(move || read_metrics(&dir)).await?.map_err(|e| unreadable(&e))?;
    json(&object!({"name": call.name, "metrics": metrics}))
}

/// `GET /v1/runs/{name}/report`
pub async fn report(call: Call<'_>) -> Result<Response, Problem> {
    let path = find(call.state, call.name)?.join(REPORT);
    let bytes = on_pool(move || read_bounded(&path)).await?.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => Problem::not_found("this run has no report yet: lenet report RUN writes it"),
        _ => unreadable(&e),
    })?;
    let mut response = ok("text/html; charset=utf-8", bytes);
    protect(&mut response, REPORT_POLICY);
    Ok(response)
}

/// `GET /v1/runs/{name}/events`: an event `epoch` a line of the metrics, those there are and those to come; `restart` before
/// the first if lines are taken back (a run that goes on from an earlier checkpoint).
pub async fn events(call: Call<'_>) -> Result<Response, Problem> {
    let state = call.state;
    let dir = find(state, call.name)?;
    let permit = state.followers.clone().try_acquire_owned().map_err(|_| {
        let message = "too many follow runs already: try again later";
        Problem::new(hyper::StatusCode::SERVICE_UNAVAILABLE, message)
    })?;
    let (sender, body) = Channel::<Bytes>::new(8);
    let state = state.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = follow(dir, sender) => {}
            () = state.stopped() => {}
        }
        drop(permit);
    });
    let mut response = Response::new(body.boxed());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

/// Sends until nobody listens any more.
async fn follow(dir: PathBuf, mut sender: Sender<Bytes>) {
    let (mut sent, mut silent, mut seen) = (Vec::<Value>::new(), SILENCE, None);
    loop {
        let path = dir.clone();
        let before = seen;
        let look = on_pool(move || {
            let data = fs::metadata(path.join(METRICS)).ok();
            let now = data.and_then(|d| Some((d.modified().ok()?, d.len())));
            (now, if now == before { None } else { read_metrics(&path).ok() })
        });
        let Ok((now, lines)) = look.await else { return };
        seen = now;
        let mut text = String::new();
        if let Some(lines) = lines {
            let same = sent.iter().zip(&lines).take_while(|(a, b)| a == b).count();
            if same < sent.len() {
                text += "event: restart\ndata: {}\n\n";
                sent.clear();
            }
            for line in &lines[sent.len()..] {
                text += &format!("event: epoch\ndata: {line}\n\n");
            }
            sent = lines;
        }
        silent += 1;
        if text.is_empty() && silent > SILENCE {
            text += ": still here\n\n";
        }
        if !text.is_empty() {
            silent = 0;
            if sender.send_data(Bytes::from(text)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        assert!(is_name("lenet-1") && is_name("a.b_c"));
        for bad in ["", ".", "..", "../x", "a/b", "a\\b", "%2e%2e", ".hidden", "a b", "ä", &"x".repeat(65)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
