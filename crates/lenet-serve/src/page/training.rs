//! Trainings that the page starts, each a process of this program. Off unless the server was started with
//! `--allow-training`.

use super::runs::{datasets, find, is_name, parent};
use crate::guard::trainer;
use crate::http::{Problem, Response, json};
use crate::request::{Call, Request, read_body};
use crate::state::State;
use hyper::StatusCode;
use hyper::header::CONTENT_TYPE;
use lenet::spec::preset;
use lenet::train::Run;
use serde::Deserialize;
use serde_json::json as object;
use std::ffi::OsString;

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
pub async fn start(call: Call<'_>) -> Result<Response, Problem> {
    let state = call.state;
    let (program, parent) = (trainer(state)?, parent(state)?);
    let wish = wish(state, call.request).await?;
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
pub async fn resume(call: Call<'_>) -> Result<Response, Problem> {
    let (state, name) = (call.state, call.name);
    let program = trainer(state)?;
    let dir = find(state, name)?;
    let wish = wish(state, call.request).await?;
    let mut arguments: Vec<OsString> = vec!["--resume".into(), dir.into()];
    arguments.extend(wish.epochs.into_iter().flat_map(|n| ["--epochs".into(), n.to_string().into()]));
    state.trainings.spawn(program, name, &arguments)?;
    answer(name, "training")
}

/// `POST /v1/runs/{name}/stop`: asks a training that this server started to save a checkpoint and end.
pub async fn stop(call: Call<'_>) -> Result<Response, Problem> {
    if !call.state.trainings.stop(call.name) {
        return Err(Problem::not_found("this server trains no run of this name"));
    }
    answer(call.name, "stopping")
}

fn answer(name: &str, status: &str) -> Result<Response, Problem> {
    let mut response = json(&object!({"name": name, "status": status}))?;
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}
