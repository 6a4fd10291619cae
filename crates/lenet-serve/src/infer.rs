//! The Open Inference Protocol, version 2.

use crate::http::{Problem, Response, json, ok};
use crate::models::Loaded;
use crate::predict::no_model;
use crate::request::{Call, read_body};
use crate::state::State;
use crate::tensor::{BinarySize, InferRequest, InferResponse, OutputTensor};
use hyper::StatusCode;
use hyper::header::HeaderName;
use serde_json::json as object;
use std::sync::Arc;

/// Name of the input tensor: FP32 `[n, c, h, w]`, normalised as the network sees it.
const INPUT: &str = "input";

/// Name of the output tensor: FP32 `[n, classes]`, the engine's own bits.
const OUTPUT: &str = "logits";

/// Bodies up to this many bytes are parsed where they arrive: another thread would cost more time.
const SMALL: usize = 64 << 10;

/// The number of bytes of JSON in front of a body's tensors.
static JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// What the server is.
pub async fn server(_: Call<'_>) -> Result<Response, Problem> {
    json(&object!({"name": "lenet", "version": env!("CARGO_PKG_VERSION"), "extensions": ["binary_tensor_data"]}))
}

/// Whether the server lives: it does, or nothing would answer.
pub async fn live(_: Call<'_>) -> Result<Response, Problem> {
    json(&object!({"live": true}))
}

/// Whether the server takes requests: it does until it stops.
pub async fn ready(call: Call<'_>) -> Result<Response, Problem> {
    if call.state.stopping() {
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the server is about to stop"));
    }
    json(&object!({"ready": true}))
}

/// Whether a model takes requests: all that are loaded do, as long as the server does.
pub async fn model_ready(call: Call<'_>) -> Result<Response, Problem> {
    find(call.state, call.name, call.version)?;
    ready(call).await
}

/// The model of a name that is loaded now, which must be of `version`, if one is given.
pub fn find(state: &State, name: &str, version: Option<&str>) -> Result<Arc<Loaded>, Problem> {
    let loaded = state.models.get(Some(name)).ok_or_else(|| no_model(state, name))?.current();
    if version.is_some_and(|v| v != loaded.version.to_string()) {
        let current = loaded.version;
        return Err(Problem::not_found(format!("the version of {name:?} that is loaded is {current}")));
    }
    Ok(loaded)
}

/// What a model takes and gives.
pub async fn metadata(call: Call<'_>) -> Result<Response, Problem> {
    let loaded = find(call.state, call.name, call.version)?;
    let [c, h, w] = loaded.model.spec.input.map(|n| n as i64);
    json(&object!({
        "name": call.name, "versions": [loaded.version.to_string()], "platform": "lenet",
        "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, c, h, w]}],
        "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, loaded.model.classes.len() as i64]}],
    }))
}

/// Answers with the logits of a batch of images.
pub async fn infer(call: Call<'_>) -> Result<Response, Problem> {
    let (state, name) = (call.state, call.name);
    let loaded = find(state, name, call.version)?;
    let (head, body) = call.request.into_parts();
    let json_len = match head.headers.get(&JSON_LENGTH).map(|v| v.to_str().ok().and_then(|v| v.parse().ok())) {
        None => None,
        Some(Some(len)) => Some(len),
        Some(None) => return Err(Problem::bad("Inference-Header-Content-Length must be a whole number")),
    };
    let body = read_body(state, &head.headers, body, state.options.max_body).await?;
    let shape = loaded.model.spec.input;
    let (request, values, samples) = if body.len() <= SMALL {
        read(&body, json_len, shape)?
    } else {
        let _turn = state.decoders.acquire().await.map_err(|e| Problem::internal(e.to_string()))?;
        let bytes = body.clone();
        let parsed = tokio::task::spawn_blocking(move || read(&bytes, json_len, shape)).await;
        parsed.map_err(|_| Problem::internal("the body could not be read"))??
    };
    let logits = loaded.batcher.logits(values, state.options.body_time).await?;
    answer(name, &loaded, &request, samples, &logits)
}

/// The request, the values `[n, c, h, w]` of its one input, and n.
fn read(body: &[u8], json_len: Option<usize>, shape: [usize; 3]) -> Result<(InferRequest, Vec<f32>, usize), Problem> {
    let (mut request, mut rest) = InferRequest::read(body, json_len)?;
    if let Some(other) = request.outputs.iter().find(|o| o.name != OUTPUT) {
        return Err(Problem::unfit(format!("there is no output {:?}, but {OUTPUT}", other.name)));
    }
    let input = match request.inputs.pop() {
        Some(input) if request.inputs.is_empty() && input.name == INPUT => input,
        _ => return Err(Problem::unfit(format!("the model takes one input, named {INPUT:?}"))),
    };
    let (values, samples) = input.images(shape, &mut rest)?;
    if !rest.is_empty() {
        return Err(Problem::bad(format!("{} bytes behind the JSON belong to no input", rest.len())));
    }
    Ok((request, values, samples))
}

fn answer(
    name: &str,
    loaded: &Loaded,
    request: &InferRequest,
    samples: usize,
    logits: &[f32],
) -> Result<Response, Problem> {
    let binary = request.wants_binary(OUTPUT);
    let output = OutputTensor {
        name: OUTPUT,
        datatype: "FP32",
        shape: [samples, loaded.model.network.outputs()],
        data: (!binary).then_some(logits),
        parameters: binary.then_some(BinarySize { binary_data_size: 4 * logits.len() }),
    };
    let version = loaded.version.to_string();
    let response =
        InferResponse { model_name: name, model_version: version, id: request.id.clone(), outputs: vec![output] };
    if !binary {
        return json(&response);
    }
    let mut body = serde_json::to_vec(&response).map_err(|e| Problem::internal(e.to_string()))?;
    let json_len = body.len();
    body.extend(logits.iter().flat_map(|v| v.to_le_bytes()));
    let mut response = ok("application/octet-stream", body);
    response.headers_mut().insert(&JSON_LENGTH, json_len.into());
    Ok(response)
}
