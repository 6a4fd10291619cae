//! A spec as JSON, for a model's `config.json`: a layer is one flat object, `{"type": "conv2d", "channels": 6, …}`.

use super::layers::{Field, Key};
use super::{Layer, Spec};
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

fn layer(kind: &str, json: &Json) -> Result<Layer, JsonError> {
    let known = Layer::all().into_iter().find(|layer| layer.kind() == kind);
    let mut layer = known.ok_or_else(|| JsonError("this type of layer is not known".into()))?;
    // The keys of these two came one after another: older models lack some.
    let is_lenient = matches!(layer, Layer::Conv2d(_) | Layer::BatchNorm(_));
    let keys = layer.keys();
    json.only(&[&["type"], &keys.iter().map(|key| key.name).collect::<Vec<_>>()[..]].concat())?;
    for mut key in keys {
        if json.get(key.name).is_some() || !(is_lenient || key.is_quiet) {
            json.field(key.name, |value| key.field.read_json(value))?;
        }
    }
    Ok(layer)
}

fn list(layers: &[Layer]) -> Json {
    let value = |key: &Key| key.is_said().then(|| (key.name, key.field.write_json()));
    let one = |layer: &Layer| {
        let kind = ("type", layer.kind().into());
        object([kind].into_iter().chain(layer.clone().keys().iter().filter_map(value)))
    };
    Json::List(layers.iter().map(one).collect())
}

impl Field<'_> {
    fn read_json(&mut self, json: &Json) -> Result<(), JsonError> {
        match self {
            // As `usize`, so that what a machine has no number for is an error.
            Field::Whole(to, _) => to.set(json.number::<usize>()? as u64),
            Field::Number(to, _) => to.set(json.finite()?),
            Field::Flag(to) => **to = json.bool()?,
            Field::Sides(to, _) => **to = json.numbers()?,
            Field::Units(to) => **to = json.number()?,
            Field::Connections(to) => {
                let maps = |json: &Json| json.list_of(|map| map.list_of(Json::number));
                **to = if *json == Json::Null { None } else { Some(maps(json)?) };
            }
            Field::Layers(to) => **to = layers(json)?,
            Field::Choice(to) => {
                let name = json.text()?;
                if !to.choose(name) {
                    return Err(JsonError(format!("cannot be {name:?}")));
                }
            }
            #[cfg(feature = "train")]
            Field::Triple(..) | Field::Text(..) | Field::Form(_) => {
                return Err(JsonError("is of recipes alone".into()));
            }
        }
        Ok(())
    }

    pub(super) fn write_json(&self) -> Json {
        match self {
            Field::Whole(from, _) => from.get().map_or(Json::Null, Json::from),
            Field::Number(from, _) => from.get().map_or(Json::Null, Json::from),
            Field::Flag(from) => (**from).into(),
            Field::Sides(from, _) => from[..].into(),
            Field::Units(from) => (**from).into(),
            Field::Connections(from) => {
                from.as_ref().map_or(Json::Null, |maps| Json::List(maps.iter().map(|m| m[..].into()).collect()))
            }
            Field::Layers(from) => list(from),
            Field::Choice(from) => from.chosen().into(),
            #[cfg(feature = "train")]
            Field::Triple(..) | Field::Text(..) | Field::Form(_) => Json::Null,
        }
    }
}
