//! The recipe's form as JSON Schema, for editors: the tables of sections and layers once more.

use super::layers::{Field, Key, Range, SIZES};
use super::recipe::Section;
use super::{Layer, PRESETS, Recipe};
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;

/// The schema (draft 2020-12) that every recipe satisfies, as one JSON object.
///
/// It says what single values may be. What depends on several (whether shapes fit, whether `units = "classes"` is in the
/// last dense layer), [`Document::problems`](super::Document::problems) says.
pub fn json_schema() -> Value {
    let mut recipe = Recipe::default();
    let section = |s: Section| (s.name.to_string(), object(&s.keys, s.doc));
    let mut sections: Map<String, Value> = recipe.sections().map(section).into_iter().collect();
    sections.insert("preset".into(), json!({ "enum": PRESETS.map(|(name, _)| name) }));
    let alone = json!({
        "required": ["data", "model"],
        "properties": { "data": { "required": ["source"] }, "model": { "required": ["layers"] } },
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Recipe of a training",
        "type": "object",
        "properties": sections,
        "additionalProperties": false,
        "if": { "required": ["preset"] },
        "else": alone,
        "$defs": { "layer": { "oneOf": Layer::all().into_iter().map(layer).collect::<Vec<_>>() } },
    })
}

fn object(keys: &[Key], doc: &str) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.name.into(), property(key))).collect();
    json!({ "description": prose(doc), "type": "object", "properties": properties, "additionalProperties": false })
}

fn layer(mut layer: Layer) -> Value {
    let [kind, doc] = layer.row();
    let keys = layer.keys();
    let mut schema = object(&keys, doc);
    schema["properties"]["type"] = json!({ "const": kind });
    let needed = keys.iter().filter(|key| key.is_needed).map(|key| key.name);
    schema["required"] = std::iter::once("type").chain(needed).collect();
    schema
}

/// What the value of a key may be, and what it means.
fn property(key: &Key) -> Value {
    let (mut schema, mut doc) = (value(&key.field), prose(key.doc));
    if let Field::Choice(choice) = &key.field {
        doc.extend(choice.rows().into_iter().map(|[name, about]| format!("\n- {name}: {}", prose(about))));
    }
    schema["description"] = doc.into();
    schema
}

/// A text in one line, however it is broken where it was written.
fn prose(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn whole(range: &RangeInclusive<u64>) -> Value {
    let mut schema = json!({ "type": "integer", "minimum": range.start() });
    if *range.end() < u64::MAX {
        schema["maximum"] = json!(range.end());
    }
    schema
}

fn number(range: &Range) -> Value {
    let mut schema = json!({ "type": "number" });
    for (bound, value, open) in [("Minimum", range.least, range.open[0]), ("Maximum", range.most, range.open[1])] {
        let name = if open { format!("exclusive{bound}") } else { bound.to_lowercase() };
        if value.is_finite() {
            schema[name] = json!(value);
        }
    }
    if range.or_zero { json!({ "oneOf": [{ "const": 0 }, schema] }) } else { schema }
}

fn value(field: &Field) -> Value {
    let list = |items: Value, n: usize| json!({ "type": "array", "items": items, "minItems": n, "maxItems": n });
    match field {
        Field::Whole(_, range) => whole(range),
        Field::Number(_, range) => number(range),
        Field::Flag(_) => json!({ "type": "boolean" }),
        Field::Sides(_, range) => json!({ "oneOf": [whole(range), list(whole(range), 2)] }),
        Field::Triple(_, range) => list(whole(range), 3),
        Field::Units(_) => json!({ "oneOf": [whole(&SIZES), { "const": "classes" }] }),
        Field::Connections(_) => json!({ "oneOf": [
            { "const": "lenet5" },
            { "type": "array", "items": { "type": "array", "items": whole(&(0..=*SIZES.end())) } },
        ] }),
        Field::Layers(_) => json!({ "type": "array", "items": { "$ref": "#/$defs/layer" }, "minItems": 1 }),
        Field::Choice(choice) => {
            json!({ "enum": choice.rows().into_iter().map(|[name, _]| name).collect::<Vec<_>>() })
        }
        Field::Text(..) => json!({ "type": "string", "pattern": "\\S" }),
        Field::Form(form) => form.schema(),
    }
}
