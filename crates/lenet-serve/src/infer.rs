//! The Open Inference Protocol, version 2.

use crate::State;
use crate::http::{Problem, Request, Response, json};
use crate::models::Loaded;
use serde_json::json as object;
use std::sync::Arc;

/// Name of the input tensor: FP32 `[n, c, h, w]`, normalised as the network sees it.
const INPUT: &str = "input";

/// Name of the output tensor: FP32 `[n, classes]`, the engine's own bits.
const OUTPUT: &str = "logits";

/// What the server is.
pub fn server() -> Result<Response, Problem> {
    json(&object!({"name": "lenet", "version": env!("CARGO_PKG_VERSION"), "extensions": ["binary_tensor_data"]}))
}

/// What a model takes and gives.
pub fn metadata(name: &str, loaded: &Loaded) -> Result<Response, Problem> {
    let [c, h, w] = loaded.model.spec.input.map(|n| n as i64);
    json(&object!({
        "name": name, "versions": [loaded.version.to_string()], "platform": "lenet",
        "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, c, h, w]}],
        "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, loaded.model.classes.len() as i64]}],
    }))
}

/// Answers with logits.
pub async fn infer(_state: &Arc<State>, _name: &str, _loaded: &Loaded, _request: Request) -> Result<Response, Problem> {
    Err(Problem::internal("not yet"))
}
