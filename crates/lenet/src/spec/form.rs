//! Values of recipes that are neither one number nor one name: how each is read, written and checked by editors.

use super::error::{Problem, RecipeError};
use super::layers::Form;
use super::node::{Node, Value};
use super::{ClassWeights, Erase, Fill, Normalization, Normalize};
use serde_json::json;

impl Form for Normalize {
    fn read(&mut self, node: &Node, key: &str) -> Result<(), RecipeError> {
        *self = match &node.value {
            Value::Text(s) if s == "unit" => Normalize::Unit,
            Value::Text(s) if s == "dataset" => Normalize::Dataset,
            Value::Table(_) => Normalize::Given(normalization(node, key)?),
            _ => return Err(node.must(key, "\"unit\", \"dataset\" or { mean = [...], std = [...] }")),
        };
        Ok(())
    }

    fn write(&self) -> Option<String> {
        match self {
            Normalize::Unit => None,
            Normalize::Dataset => Some("\"dataset\"".into()),
            // `{:?}` is the shortest text that reads back as the same number, and always a float.
            Normalize::Given(n) => Some(format!("{{ mean = {:?}, std = {:?} }}", n.mean, n.std)),
        }
    }

    fn schema(&self) -> serde_json::Value {
        let list = |items| json!({ "type": "array", "items": items, "minItems": 1 });
        json!({ "oneOf": [
            { "enum": ["unit", "dataset"] },
            {
                "type": "object",
                "properties": {
                    "mean": list(json!({ "type": "number" })),
                    "std": list(json!({ "type": "number", "exclusiveMinimum": 0 })),
                },
                "required": ["mean", "std"],
                "additionalProperties": false,
            },
        ] })
    }
}

fn normalization(node: &Node, key: &str) -> Result<Normalization, RecipeError> {
    node.unknown_keys(key, &["mean", "std"]).into_iter().next().map_or(Ok(()), Err)?;
    let values = |name: &'static str, be: &str, valid: fn(f32) -> bool| -> Result<Vec<f32>, RecipeError> {
        let node = node.need(name, key)?;
        let nodes = node.list().ok_or_else(|| node.must(name, "a list of numbers, one a channel"))?;
        let value = |n: &Node| n.number().filter(|x| x.is_finite() && valid(*x)).ok_or_else(|| n.must(name, be));
        nodes.iter().map(value).collect()
    };
    let mean = values("mean", "finite numbers", |_| true)?;
    let std = values("std", "numbers above 0", |x| x > 0.0)?;
    if mean.len() != std.len() {
        let (means, deviations) = (mean.len(), std.len());
        return Err(RecipeError::at(&node.place, Problem::Deviations { means, deviations }));
    }
    Ok(Normalization { mean, std })
}

impl Form for ClassWeights {
    fn read(&mut self, node: &Node, key: &str) -> Result<(), RecipeError> {
        let be = |n: &Node| n.must(key, "\"balanced\" or a list of numbers from 0 on, one a class");
        *self = match (&node.value, node.list()) {
            (Value::Text(s), _) if s == "balanced" => ClassWeights::Balanced,
            (_, Some(list)) => {
                let weight = |n: &Node| n.number().filter(|w| w.is_finite() && *w >= 0.0).ok_or_else(|| be(n));
                let weights: Vec<f32> = list.iter().map(weight).collect::<Result<_, _>>()?;
                if weights.iter().all(|w| *w == 0.0) {
                    return Err(node.must(key, "above 0 for one class at least"));
                }
                ClassWeights::Given(weights)
            }
            _ => return Err(be(node)),
        };
        Ok(())
    }

    fn write(&self) -> Option<String> {
        match self {
            ClassWeights::Even => None,
            ClassWeights::Balanced => Some("\"balanced\"".into()),
            ClassWeights::Given(weights) => Some(format!("{weights:?}")),
        }
    }

    fn schema(&self) -> serde_json::Value {
        let weights = json!({ "type": "array", "items": { "type": "number", "minimum": 0 }, "minItems": 1 });
        json!({ "oneOf": [{ "const": "balanced" }, weights] })
    }
}

fn share(node: &Node, key: &str) -> Result<f32, RecipeError> {
    let share = node.number().filter(|x| (0.0..=1.0).contains(x));
    share.ok_or_else(|| node.must(key, "a number from 0 to 1"))
}

/// A probability, or a table with it and the range of the area.
impl Form for Option<Erase> {
    fn read(&mut self, node: &Node, key: &str) -> Result<(), RecipeError> {
        let mut erase = Erase::default();
        if let Value::Table(_) = node.value {
            node.unknown_keys(key, &["probability", "area"]).into_iter().next().map_or(Ok(()), Err)?;
            if let Some(probability) = node.get("probability") {
                erase.probability = share(probability, "probability")?;
            }
            if let Some(area) = node.get("area") {
                let be = || area.must("area", "[least, most], shares of the image from 0 to 1");
                let Some([least, most]) = area.list() else { return Err(be()) };
                erase.area = [share(least, "area")?, share(most, "area")?];
                if erase.area[0] > erase.area[1] {
                    return Err(be());
                }
            }
        } else {
            let be = "a probability from 0 to 1, or { probability = 0.5, area = [0.02, 0.33] }";
            erase.probability = share(node, key).map_err(|_| node.must(key, be))?;
        }
        *self = Some(erase).filter(|e| e.probability > 0.0);
        Ok(())
    }

    fn write(&self) -> Option<String> {
        let table = |e: &Erase| format!("{{ probability = {:?}, area = {:?} }}", e.probability, e.area);
        Some(self.as_ref().map_or("0.0".into(), table))
    }

    fn schema(&self) -> serde_json::Value {
        let share = json!({ "type": "number", "minimum": 0.0, "maximum": 1.0 });
        json!({ "oneOf": [
            share,
            {
                "type": "object",
                "properties": {
                    "probability": share,
                    "area": { "type": "array", "items": share, "minItems": 2, "maxItems": 2 },
                },
                "additionalProperties": false,
            },
        ] })
    }
}

impl Form for Fill {
    fn read(&mut self, node: &Node, key: &str) -> Result<(), RecipeError> {
        *self = match &node.value {
            Value::Text(s) if s == "noise" => Fill::Noise,
            Value::Integer(i) if (0..=255).contains(i) => Fill::Byte(*i as u8),
            _ => return Err(node.must(key, "a byte from 0 to 255 or \"noise\"")),
        };
        Ok(())
    }

    fn write(&self) -> Option<String> {
        Some(match self {
            Fill::Byte(byte) => byte.to_string(),
            Fill::Noise => "\"noise\"".into(),
        })
    }

    fn schema(&self) -> serde_json::Value {
        json!({ "oneOf": [{ "const": "noise" }, { "type": "integer", "minimum": 0, "maximum": 255 }] })
    }
}
