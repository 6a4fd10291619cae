//! A spec as JSON, for a model's `config.json`: a layer is one flat object, `{"type": "conv2d", "channels": 6, …}`.

use super::{Activation, BatchNorm, Conv2d, Dense, Dropout, Layer, Pool, Rbf, Residual, Spec};
use crate::json::{Json, JsonError, object};

impl Spec {
    /// Reads a spec from JSON. Only the form is checked: whether the sizes make sense, [`Spec::infer`] says.
    ///
    /// # Errors
    /// A text that is no JSON, keys or types of layers that are missing or unknown, values of another type.
    pub fn from_json(text: &str) -> Result<Spec, JsonError> {
        Spec::read(&Json::parse(text.as_bytes())?)
    }

    /// The spec as JSON, in one line.
    pub fn to_json(&self) -> String {
        self.write().to_string()
    }

    pub(crate) fn read(json: &Json) -> Result<Spec, JsonError> {
        json.only(&["input", "layers"])?;
        Ok(Spec { input: json.field("input", Json::numbers)?, layers: json.field("layers", layers)? })
    }

    pub(crate) fn write(&self) -> Json {
        object([("input", self.input[..].into()), ("layers", list(&self.layers))])
    }
}

fn layers(json: &Json) -> Result<Vec<Layer>, JsonError> {
    json.list_of(|json| {
        let kind = json.field("type", Json::text)?;
        layer(kind, json).map_err(|e| e.within(kind))
    })
}

/// What makes a layer of pooling, for the types that are such.
fn pooling(kind: &str) -> Option<fn(Pool) -> Layer> {
    match kind {
        "avg_pool" => Some(Layer::AvgPool),
        "max_pool" => Some(Layer::MaxPool),
        "subsample" => Some(Layer::Subsample),
        _ => None,
    }
}

fn layer(kind: &str, json: &Json) -> Result<Layer, JsonError> {
    let only = |known: &[&str]| json.only(&[&["type"], known].concat());
    if let Some(make) = pooling(kind) {
        only(&["window", "stride", "padding"])?;
        let pair = |key| json.field(key, Json::numbers);
        return Ok(make(Pool { window: pair("window")?, stride: pair("stride")?, padding: pair("padding")? }));
    }
    if let Some(activation) = Activation::ALL.into_iter().find(|a| a.name() == kind) {
        return only(&[]).map(|()| Layer::Activation(activation));
    }
    match kind {
        "conv2d" => {
            only(&["channels", "window", "stride", "padding", "groups", "connections", "bias"])?;
            conv2d(json).map(Layer::Conv2d)
        }
        "global_avg_pool" => only(&[]).map(|()| Layer::GlobalAvgPool),
        "flatten" => only(&[]).map(|()| Layer::Flatten),
        "dense" => {
            only(&["units", "bias"])?;
            Ok(Layer::Dense(Dense { units: json.field("units", Json::number)?, bias: json.field("bias", Json::bool)? }))
        }
        "batch_norm" => {
            only(&["eps", "momentum"])?;
            let BatchNorm { eps, momentum } = BatchNorm::default();
            let value = |key, default| json.field_or(key, default, Json::finite);
            Ok(Layer::BatchNorm(BatchNorm { eps: value("eps", eps)?, momentum: value("momentum", momentum)? }))
        }
        "dropout" => {
            only(&["rate"])?;
            Ok(Layer::Dropout(Dropout { rate: json.field("rate", Json::finite)? }))
        }
        "residual" => {
            only(&["body", "shortcut"])?;
            let shortcut = json.field_or("shortcut", Vec::new(), layers)?;
            Ok(Layer::Residual(Residual { body: json.field("body", layers)?, shortcut }))
        }
        "rbf" => {
            only(&["units"])?;
            Ok(Layer::Rbf(Rbf { units: json.field("units", Json::number)? }))
        }
        _ => Err(JsonError("this type of layer is not known".into())),
    }
}

fn conv2d(json: &Json) -> Result<Conv2d, JsonError> {
    let usual = Conv2d::default();
    let connections = |value: &Json| value.list_of(|map| map.list_of(Json::number));
    Ok(Conv2d {
        channels: json.field_or("channels", usual.channels, Json::number)?,
        window: json.field_or("window", usual.window, Json::numbers)?,
        stride: json.field_or("stride", usual.stride, Json::numbers)?,
        padding: json.field_or("padding", usual.padding, Json::numbers)?,
        groups: json.field_or("groups", usual.groups, Json::number)?,
        connections: json.field_or("connections", None, |value| match value {
            Json::Null => Ok(None),
            value => connections(value).map(Some),
        })?,
        bias: json.field_or("bias", usual.bias, Json::bool)?,
    })
}

fn list(layers: &[Layer]) -> Json {
    let one = |layer: &Layer| object([("type", layer.kind().into())].into_iter().chain(settings(layer)));
    Json::List(layers.iter().map(one).collect())
}

fn settings(layer: &Layer) -> Vec<(&'static str, Json)> {
    match layer {
        Layer::Conv2d(c) => {
            let mut fields = vec![
                ("channels", c.channels.into()),
                ("window", c.window[..].into()),
                ("stride", c.stride[..].into()),
                ("padding", c.padding[..].into()),
            ];
            if c.groups != 1 {
                fields.push(("groups", c.groups.into()));
            }
            if let Some(maps) = &c.connections {
                fields.push(("connections", Json::List(maps.iter().map(|m| m[..].into()).collect())));
            }
            fields.push(("bias", c.bias.into()));
            fields
        }
        Layer::AvgPool(p) | Layer::MaxPool(p) | Layer::Subsample(p) => {
            vec![("window", p.window[..].into()), ("stride", p.stride[..].into()), ("padding", p.padding[..].into())]
        }
        Layer::Dense(d) => vec![("units", d.units.into()), ("bias", d.bias.into())],
        Layer::BatchNorm(b) => vec![("eps", b.eps.into()), ("momentum", b.momentum.into())],
        Layer::Dropout(d) => vec![("rate", d.rate.into())],
        Layer::Residual(r) => {
            let mut fields = vec![("body", list(&r.body))];
            if !r.shortcut.is_empty() {
                fields.push(("shortcut", list(&r.shortcut)));
            }
            fields
        }
        Layer::Rbf(r) => vec![("units", r.units.into())],
        Layer::GlobalAvgPool | Layer::Flatten | Layer::Activation(_) => Vec::new(),
    }
}
