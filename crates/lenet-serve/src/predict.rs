//! `POST /v1/predict`: a picture, and what it shows. `GET /v1/models`.

use crate::http::{Problem, Response, json};
use crate::models::{Loaded, Slot};
use crate::request::{Call, parameter, read_body};
use crate::state::State;
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::CONTENT_TYPE;
use lenet::data::picture::{self, Invert, PictureError, Prepared};
use lenet::softmax;
use serde_json::{Value, json as object};
use std::sync::Arc;

/// Most pixels of a picture, fewer than the library's bound: several are decoded at a time.
pub const MAX_PIXELS: u64 = 1 << 24;

/// Pictures up to this many pixels and bytes are decoded where they arrive: another thread would cost more time.
const SMALL: (u64, usize) = (64 * 64, 32 << 10);

/// Classes that are named without `top`.
const TOP: usize = 3;

/// Answers with the likeliest classes of a picture.
pub async fn predict(call: Call<'_>) -> Result<Response, Problem> {
    let state = call.state;
    let (head, body) = call.request.into_parts();
    let query = head.uri.query();
    let slot = slot(state, parameter(query, "model"))?;
    let top = match parameter(query, "top").map(str::parse::<usize>) {
        None => TOP,
        Some(Ok(top)) if top > 0 => top,
        Some(_) => return Err(Problem::bad("top must be a whole number from 1 on")),
    };
    let invert = match parameter(query, "invert") {
        None | Some("auto") => Invert::Auto,
        Some("always") => Invert::Always,
        Some("never") => Invert::Never,
        Some(_) => return Err(Problem::bad("invert must be auto, always or never")),
    };
    let declared = head.headers.get(CONTENT_TYPE).and_then(|t| t.to_str().ok()).unwrap_or_default();
    if declared.starts_with("multipart/") || declared.starts_with("application/json") {
        let message =
            "the body must be the bytes of a picture: curl --data-binary @FILE -H 'Content-Type: image/png' …";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let bytes = read_body(state, &head.headers, body, state.options.max_body).await?;
    let loaded = slot.current();
    let prepared = prepare(state, bytes.clone(), loaded.model.spec.input, invert).await?;
    let logits = loaded.batcher.logits(inputs(&loaded, &prepared.pixels), state.options.body_time).await?;
    let probabilities: Vec<f64> = softmax(&logits).collect();
    let mut ranking: Vec<usize> = (0..logits.len()).collect();
    ranking.sort_by(|a, b| probabilities[*b].total_cmp(&probabilities[*a]));
    let class = |i: usize| object!({"class": loaded.model.classes[i], "index": i, "probability": probabilities[i]});
    json(&object!({
        "model": slot.name(), "version": loaded.version.to_string(), "inverted": prepared.inverted,
        "width": prepared.original.0, "height": prepared.original.1,
        "top": ranking.into_iter().take(top).map(class).collect::<Vec<_>>(),
    }))
}

/// The model of a name, the first one without.
pub fn slot<'a>(state: &'a State, name: Option<&str>) -> Result<&'a Slot, Problem> {
    state.models.get(name).ok_or_else(|| no_model(state, name.unwrap_or_default()))
}

/// 404 for a model.
pub fn no_model(state: &State, name: &str) -> Problem {
    let name: String = name.chars().take(64).collect();
    let known: Vec<_> = state.models.iter().map(|m| m.name()).collect();
    Problem::not_found(format!("there is no model {name:?}, but {}", known.join(", ")))
}

/// Decodes a picture within the server's limits and fits it to `shape`, `[c, h, w]`.
pub async fn prepare(state: &Arc<State>, bytes: Bytes, shape: [usize; 3], invert: Invert) -> Result<Prepared, Problem> {
    let (width, height, _) = picture::look(&bytes).map_err(explain)?;
    let pixels = u64::from(width) * u64::from(height);
    if pixels > MAX_PIXELS {
        let message = format!("the picture has {width}×{height} pixels: at most {MAX_PIXELS} in all are read here");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, message));
    }
    if pixels <= SMALL.0 && bytes.len() <= SMALL.1 {
        return picture::prepare(&bytes, shape, invert).map_err(explain);
    }
    let _turn = state.decoders.acquire().await.map_err(|e| Problem::internal(e.to_string()))?;
    let decoded = tokio::task::spawn_blocking(move || picture::prepare(&bytes, shape, invert)).await;
    decoded.map_err(|_| Problem::internal("the decoder has failed"))?.map_err(explain)
}

fn explain(error: PictureError) -> Problem {
    let status = match error {
        PictureError::Format => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        PictureError::TooLarge { .. } | PictureError::Memory => StatusCode::PAYLOAD_TOO_LARGE,
        PictureError::Damaged(_) | PictureError::Shape(_) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    Problem::new(status, error.to_string())
}

/// Pixels `[n, c, h, w]` as the network sees them.
pub fn inputs(loaded: &Loaded, pixels: &[u8]) -> Vec<f32> {
    let [_, h, w] = loaded.model.spec.input;
    let planes = pixels.chunks(h * w).zip(loaded.tables.iter().cycle());
    planes.flat_map(|(plane, table)| plane.iter().map(|p| table[usize::from(*p)])).collect()
}

/// Lists the models.
pub async fn models(call: Call<'_>) -> Result<Response, Problem> {
    let entries: Vec<Value> = call.state.models.iter().map(entry).collect();
    json(&object!({ "models": entries }))
}

fn entry(slot: &Slot) -> Value {
    let loaded = slot.current();
    let model = &loaded.model;
    object!({
        "name": slot.name(), "version": loaded.version.to_string(), "input": model.spec.input, "classes": model.classes,
        "parameters": model.network.learnt(), "recipe": model.training.recipe, "dataset": model.training.dataset,
        "epochs": model.training.epochs, "test_accuracy": model.training.test_accuracy,
    })
}
