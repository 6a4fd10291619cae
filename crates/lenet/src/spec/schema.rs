//! The recipe's form as JSON Schema, for editors. Sections, keys, types of layers and names are the reader's own tables.

use super::read::{COUNTS, PADDINGS, SECTIONS, SIZES, WINDOWS, kinds, layer_keys};
use super::{Init, OptimizerKind, PRESETS, ScheduleKind};
use serde_json::{Map, Value, json};
use std::ops::RangeInclusive;

/// The schema (draft 2020-12) that every recipe satisfies, as one JSON object.
///
/// It says what single values may be. What depends on several (whether shapes fit, whether `units = "classes"` is in the
/// last dense layer), [`Document::problems`](super::Document::problems) says.
pub fn json_schema() -> Value {
    let mut sections: Map<String, Value> =
        SECTIONS.iter().map(|(name, keys)| (name.to_string(), object(keys))).collect();
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
        "$defs": { "layer": { "oneOf": kinds().into_iter().map(layer).collect::<Vec<_>>() } },
    })
}

fn object(keys: &[&str]) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.to_string(), value(key))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn layer(kind: &str) -> Value {
    let (keys, needed) = layer_keys(kind);
    let mut layer = object(keys);
    layer["properties"]["type"] = json!({ "const": kind });
    if kind == "batch_norm" {
        // Here, 1 forgets all but the last batch; for the optimizer it would never forget.
        layer["properties"]["momentum"] = from_to(0.0, 1.0);
    }
    layer["required"] = json!(keys[..needed]);
    layer
}

fn whole(range: RangeInclusive<u64>) -> Value {
    json!({ "type": "integer", "minimum": range.start(), "maximum": range.end() })
}

fn pair(range: RangeInclusive<u64>) -> Value {
    let one = whole(range);
    json!({ "oneOf": [one, { "type": "array", "items": one, "minItems": 2, "maxItems": 2 }] })
}

fn from_to(least: f64, most: f64) -> Value {
    json!({ "type": "number", "minimum": least, "maximum": most })
}

fn from_to_below(least: f64, limit: f64) -> Value {
    json!({ "type": "number", "minimum": least, "exclusiveMaximum": limit })
}

fn above_0() -> Value {
    json!({ "type": "number", "exclusiveMinimum": 0 })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items, "minItems": 1 })
}

/// What the value of a key may be. A key means the same wherever it stands, but for a layer's `momentum`.
fn value(key: &str) -> Value {
    match key {
        "source" | "init_from" => json!({ "type": "string", "pattern": "\\S" }),
        "normalize" => json!({ "oneOf": [
            { "enum": ["unit", "dataset"] },
            {
                "type": "object",
                "properties": { "mean": list(json!({ "type": "number" })), "std": list(above_0()) },
                "required": ["mean", "std"],
                "additionalProperties": false,
            },
        ] }),
        "train_limit" | "test_limit" => whole(COUNTS),
        "input" => json!({ "type": "array", "items": whole(SIZES), "minItems": 3, "maxItems": 3 }),
        "layers" | "body" | "shortcut" => list(json!({ "$ref": "#/$defs/layer" })),
        "channels" | "groups" => whole(SIZES),
        "units" => json!({ "oneOf": [whole(SIZES), { "const": "classes" }] }),
        "window" | "stride" => pair(WINDOWS),
        "padding" => pair(PADDINGS),
        "connections" => json!({ "oneOf": [
            { "const": "lenet5" },
            { "type": "array", "items": { "type": "array", "items": whole(0..=1 << 26) } },
        ] }),
        "epochs" | "batch" | "step_epochs" | "patience" | "evaluate_every" => whole(1..=1_000_000),
        "warmup_epochs" => whole(0..=1_000_000),
        "seed" => json!({ "type": "integer", "minimum": 0 }),
        "checkpoint_seconds" => whole(0..=super::read_train::YEAR),
        "init" => json!({ "enum": Init::names() }),
        "optimizer" => json!({ "enum": OptimizerKind::ALL.map(OptimizerKind::name) }),
        "schedule" => json!({ "enum": ScheduleKind::ALL.map(ScheduleKind::name) }),
        "init_gain" | "init_std" => json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 100 }),
        "lr" | "eps" | "gamma" | "clip_norm" => above_0(),
        "weight_decay" | "final_lr" => json!({ "type": "number", "minimum": 0 }),
        "momentum" | "beta1" | "beta2" | "val_fraction" | "label_smoothing" | "rate" => from_to_below(0.0, 1.0),
        "peak" | "ema" => json!({ "type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1 }),
        "class_weights" => {
            json!({ "oneOf": [{ "const": "balanced" }, list(json!({ "type": "number", "minimum": 0 }))] })
        }
        "shift" | "cutout" => whole(0..=super::augment::PIXELS),
        "border" => json!({ "enum": ["zeros", "edge"] }),
        "rotate" => from_to(0.0, 180.0),
        "scale" => from_to(0.0, 0.9),
        "shear" => from_to(0.0, 60.0),
        "brightness" | "contrast" => from_to(0.0, 1.0),
        "erase" => json!({ "oneOf": [
            from_to(0.0, 1.0),
            {
                "type": "object",
                "properties": {
                    "probability": from_to(0.0, 1.0),
                    "area": { "type": "array", "items": from_to(0.0, 1.0), "minItems": 2, "maxItems": 2 },
                },
                "additionalProperties": false,
            },
        ] }),
        "fill" => json!({ "oneOf": [{ "const": "noise" }, whole(0..=255)] }),
        "mixup" => json!({ "oneOf": [{ "const": 0 }, from_to(0.01, 100.0)] }),
        "bias" | "skip_bad" | "flip" | "flip_test" | "nesterov" | "decay_norms_and_biases" | "histograms" => {
            json!({ "type": "boolean" })
        }
        // A key that this does not know yet may be anything; a test says which.
        _ => json!(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_reader_has_a_form() {
        let layers = kinds().into_iter().flat_map(|kind| layer_keys(kind).0.iter().filter(|k| **k != "type"));
        for key in SECTIONS.iter().flat_map(|(_, keys)| keys.iter()).chain(layers) {
            assert!(value(key).is_object(), "{key} has no form: add one to `value`");
        }
    }
}
