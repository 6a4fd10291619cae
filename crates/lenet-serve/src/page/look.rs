//! What the page shows of a model: activations, weights, images of the test set, strangeness.

use crate::http::{Problem, Response, json};
use crate::pool::on_pool;
use crate::predict::{inputs, no_model, prepare, slot};
use crate::request::{Call, parameter, read_body};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::CONTENT_TYPE;
use lenet::data::picture::Invert;
use lenet::inspect;
use lenet::model::Model;
use lenet::predict;
use lenet::softmax;
use lenet::spec::{Geometry, ParameterInfo, Shape};
use serde_json::{Value, json as object};

/// Most test images in one answer, and how many there are without `n`.
const SAMPLES: (usize, usize) = (100, 10);

/// `POST /v1/activations?model=`: what every layer gives for an image.
pub async fn activations(call: Call<'_>) -> Result<Response, Problem> {
    let state = call.state;
    let (head, body) = call.request.into_parts();
    let slot = slot(state, parameter(head.uri.query(), "model"))?;
    let loaded = slot.current();
    let bytes = read_body(state, &head.headers, body, state.options.max_body).await?;
    let raw = head.headers.get(CONTENT_TYPE).is_some_and(|t| t == "application/octet-stream");
    let pixels = if raw {
        bytes.to_vec()
    } else {
        prepare(state, bytes.clone(), loaded.model.spec.input, Invert::Auto).await?.pixels
    };
    let [c, h, w] = loaded.model.spec.input;
    if pixels.len() != c * h * w {
        return Err(Problem::unfit(format!("{} bytes are no image of {c}×{h}×{w}", pixels.len())));
    }
    let (model, image) = (loaded.model.clone(), pixels.clone());
    let layers = async {
        // The reference is slow beside the engine: few at a time, so that predictions have their cores.
        let _turn = state.decoders.acquire().await.map_err(|e| Problem::internal(e.to_string()))?;
        on_pool(move || layers(&model, &image)).await?
    };
    // Beside each other: who draws waits for the longer of the two.
    let logits = loaded.batcher.logits(inputs(&loaded, &pixels), state.options.body_time);
    let (logits, layers) = tokio::try_join!(logits, layers)?;
    let energy = predict::energy(&logits);
    let percentile = state.references.get(slot, &loaded).await.ok().map(|r| r.energies.percentile(energy));
    json(&object!({
        "model": slot.name(), "version": loaded.version.to_string(), "input": loaded.model.spec.input,
        "image": STANDARD.encode(&pixels), "layers": layers, "labels": loaded.model.classes, "logits": logits,
        "probabilities": softmax(&logits).collect::<Vec<_>>(), "energy": energy, "energy_percentile": percentile,
    }))
}

/// The input and every layer.
fn layers(model: &Model, pixels: &[u8]) -> Result<Vec<Value>, Problem> {
    let all = inspect::activations(model, pixels).map_err(|e| Problem::internal(e.to_string()))?;
    let describe = |(number, layer): (usize, &inspect::LayerValues)| {
        let info = number.checked_sub(1).and_then(|i| model.network.layers().get(i));
        let (low, high) =
            layer.values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
        let shape = match layer.shape {
            Shape::Image(shape) => shape.to_vec(),
            other => vec![other.len()],
        };
        object!({
            "name": layer.name, "kind": layer.kind, "shape": shape, "min": low, "max": high,
            "source": info.map(|i| i.source), "values": floats(&layer.values),
        })
    };
    Ok(all.iter().enumerate().map(describe).collect())
}

/// f32, little-endian, in base64.
fn floats(values: &[f32]) -> String {
    STANDARD.encode(values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>())
}

/// `GET /v1/models/{name}/weights?layer=&unit=`: what a cell of a layer is computed with. Kernels and biases of a convolution;
/// of a dense layer the weights of one unit; window, stride and padding of a pooling (with weights, if it has any).
pub async fn weights(call: Call<'_>) -> Result<Response, Problem> {
    let (state, name, query) = (call.state, call.name, call.request.uri().query());
    let loaded = state.models.get(Some(name)).ok_or_else(|| no_model(state, name))?.current();
    let model = &loaded.model;
    let wanted = parameter(query, "layer").ok_or_else(|| Problem::bad("say which layer: layer=NAME"))?;
    let layer = model.network.layers().iter().find(|l| l.name == wanted);
    let layer = layer.ok_or_else(|| Problem::not_found("there is no such layer: layer=NAME as activations name it"))?;
    let tensor = |info: &Option<ParameterInfo>| info.as_ref().map(|p| &model.parameters[p.range.clone()]);
    let (weight, bias) = (tensor(&layer.weight), tensor(&layer.bias));
    let mut answer = object!({"layer": layer.name, "kind": layer.kind, "source": layer.source});
    let (weight, bias) = match layer.geometry {
        Geometry::Conv2d(s) => {
            answer["shape"] = object!([s.oc, s.group_inputs(), s.kh, s.kw]);
            (answer["stride"], answer["padding"]) = (object!(s.stride), object!(s.padding));
            (answer["dilation"], answer["groups"]) = (object!(s.dilation), s.groups.into());
            (weight, bias)
        }
        Geometry::Dense(s) => {
            let unit = parameter(query, "unit").and_then(|u| u.parse::<usize>().ok()).filter(|u| *u < s.outputs);
            let last = s.outputs - 1;
            let unit = unit.ok_or_else(|| Problem::bad(format!("say which unit: unit=N, from 0 to {last}")))?;
            answer["shape"] = object!([1, s.inputs]);
            let row = weight.and_then(|w| w.get(unit * s.inputs..(unit + 1) * s.inputs));
            (row, bias.and_then(|b| b.get(unit..=unit)))
        }
        Geometry::AvgPool(s) | Geometry::MaxPool(s) | Geometry::Subsample(s) => {
            answer["window"] = object!([s.kh, s.kw]);
            (answer["stride"], answer["padding"]) = (object!(s.stride), object!(s.padding));
            (weight, bias)
        }
        _ => return Err(Problem::unfit(format!("{} sums nothing", layer.title()))),
    };
    (answer["weight"], answer["bias"]) = (object!(weight.map(floats)), object!(bias.map(floats)));
    json(&answer)
}

/// `GET /v1/samples?model=&class=&n=&from=`: test images, of one class or all; none if the dataset is not here.
pub async fn samples(call: Call<'_>) -> Result<Response, Problem> {
    let (state, query) = (call.state, call.request.uri().query());
    let number = |name: &str| match parameter(query, name).map(str::parse::<usize>) {
        None => Ok(None),
        Some(Ok(n)) => Ok(Some(n)),
        Some(Err(_)) => Err(Problem::bad(format!("{name} must be a whole number"))),
    };
    let (class, from) = (number("class")?, number("from")?.unwrap_or(0));
    let n = number("n")?.unwrap_or(SAMPLES.1);
    if n > SAMPLES.0 {
        return Err(Problem::bad(format!("n must be at most {}: ask for the others with from", SAMPLES.0)));
    }
    let slot = slot(state, parameter(query, "model"))?;
    let loaded = slot.current();
    let dataset = &loaded.model.training.dataset;
    let reference = match state.references.get(slot, &loaded).await {
        Ok(reference) => reference,
        Err(reason) => return json(&object!({"dataset": dataset, "samples": [], "reason": reason})),
    };
    let test = &reference.test;
    let fits = |i: &usize| class.is_none_or(|c| usize::from(test.labels[*i]) == c);
    let sample = |i| object!({"index": i, "label": test.labels[i], "image": STANDARD.encode(test.image(i))});
    let found: Vec<Value> = (0..test.len()).filter(fits).skip(from).take(n).map(sample).collect();
    json(&object!({"dataset": dataset, "shape": test.shape, "samples": found, "reason": null}))
}
