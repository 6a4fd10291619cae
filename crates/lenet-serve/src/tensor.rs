//! Tensors as the Open Inference Protocol writes them: JSON, with values in it or as bytes behind it.

use crate::http::Problem;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// Deepest nesting of values in JSON: one more than a batch of images has.
const DEPTH: usize = 5;

/// A request for inference.
#[derive(Debug, Deserialize)]
pub struct InferRequest {
    /// The client's name for it, given back.
    pub id: Option<String>,
    /// What goes in.
    pub inputs: Vec<InputTensor>,
    /// What is wished; all, if nothing is.
    #[serde(default)]
    pub outputs: Vec<OutputWish>,
    #[serde(default)]
    parameters: Map<String, Value>,
}

/// An input.
#[derive(Debug, Deserialize)]
pub struct InputTensor {
    /// Its name.
    pub name: String,
    /// Its sizes.
    pub shape: Vec<u64>,
    /// The type of its values.
    pub datatype: String,
    #[serde(default)]
    parameters: Map<String, Value>,
    data: Option<Values>,
}

/// An output that is wished.
#[derive(Debug, Deserialize)]
pub struct OutputWish {
    /// Its name.
    pub name: String,
    #[serde(default)]
    parameters: Map<String, Value>,
}

impl InferRequest {
    /// Reads a body whose first `json_len` bytes are JSON, all of it without a number. The rest belongs to the inputs.
    pub fn read(body: &[u8], json_len: Option<usize>) -> Result<(InferRequest, &[u8]), Problem> {
        let (json, rest) = body.split_at_checked(json_len.unwrap_or(body.len())).ok_or_else(|| {
            let (n, len) = (json_len.unwrap_or_default(), body.len());
            Problem::bad(format!("Inference-Header-Content-Length is {n}, the body has {len} bytes"))
        })?;
        let request =
            serde_json::from_slice(json).map_err(|e| Problem::bad(format!("the body is no inference request: {e}")))?;
        Ok((request, rest))
    }

    /// Whether the client wants an output as bytes: what the output says goes before what the request says.
    pub fn wants_binary(&self, output: &str) -> bool {
        let flag = |map: &Map<String, Value>, key: &str| map.get(key).and_then(Value::as_bool);
        let wish = self.outputs.iter().find(|o| o.name == output);
        let own = wish.and_then(|o| flag(&o.parameters, "binary_data"));
        own.or(flag(&self.parameters, "binary_data_output")).unwrap_or(false)
    }
}

impl InputTensor {
    /// The values, and how many images `[c, h, w]` they are; takes the input's bytes from the front of `rest`.
    pub fn images(self, shape: [usize; 3], rest: &mut &[u8]) -> Result<(Vec<f32>, usize), Problem> {
        let name = &self.name;
        if self.datatype != "FP32" {
            return Err(Problem::unfit(format!("input {name:?} has the type {}, the model takes FP32", self.datatype)));
        }
        let [c, h, w] = shape.map(|n| n as u64);
        let n = match self.shape[..] {
            [n, sc, sh, sw] if [sc, sh, sw] == [c, h, w] && n > 0 => n,
            ref other => {
                let message = format!("input {name:?} has the shape {other:?}, the model takes [n, {c}, {h}, {w}]");
                return Err(Problem::unfit(message));
            }
        };
        let values = match (self.parameters.get("binary_data_size"), self.data) {
            (None, Some(Values(values))) => values,
            (Some(size), None) => {
                let size = size.as_u64().and_then(|n| usize::try_from(n).ok());
                let bytes = size.and_then(|size| rest.split_off(..size));
                let Some(bytes) = bytes.filter(|b| b.len().is_multiple_of(4)) else {
                    let message = "binary_data_size must be a multiple of 4 that the bytes behind the JSON cover";
                    return Err(Problem::bad(format!("input {name:?}: {message}")));
                };
                bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
            }
            (None, None) => return Err(Problem::bad(format!("input {name:?} has neither data nor binary_data_size"))),
            (Some(_), Some(_)) => return Err(Problem::bad(format!("input {name:?} has data and binary_data_size"))),
        };
        let wanted = (c * h * w).checked_mul(n);
        if wanted != Some(values.len() as u64) {
            let message = format!("input {name:?} has {} values, its shape says {:?}", values.len(), self.shape);
            return Err(Problem::unfit(message));
        }
        Ok((values, n as usize))
    }
}

/// An answer.
#[derive(Serialize)]
pub struct InferResponse<'a> {
    /// Which model.
    pub model_name: &'a str,
    /// Which version of it.
    pub model_version: String,
    /// The client's name for the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What came out.
    pub outputs: Vec<OutputTensor<'a>>,
}

/// An output.
#[derive(Serialize)]
pub struct OutputTensor<'a> {
    /// Its name.
    pub name: &'a str,
    /// The type of its values.
    pub datatype: &'a str,
    /// Its sizes.
    pub shape: [usize; 2],
    /// The values, unless they are bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<&'a [f32]>,
    /// The number of bytes behind the JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameters: Option<BinarySize>,
}

/// Says how many bytes a tensor has behind the JSON.
#[derive(Serialize)]
pub struct BinarySize {
    /// The number of bytes.
    pub binary_data_size: usize,
}

/// Numbers, flat or in nested lists, in row-major order.
#[derive(Debug)]
struct Values(Vec<f32>);

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut values = Vec::new();
        deserializer.deserialize_seq(Nested { values: &mut values, depth: DEPTH })?;
        Ok(Values(values))
    }
}

/// Reads a number or a list into `values`.
struct Nested<'a> {
    values: &'a mut Vec<f32>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Nested<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a number or a list of numbers")
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.values.push(value as f32);
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.visit_f64(value as f64)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Some(depth) = self.depth.checked_sub(1) else { return Err(A::Error::custom("lists are nested too deep")) };
        while list.next_element_seed(Nested { values: self.values, depth })?.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(json: &str) -> Result<Vec<f32>, String> {
        serde_json::from_str::<Values>(json).map(|v| v.0).map_err(|e| e.to_string())
    }

    #[test]
    fn lists_are_flattened_in_order() {
        assert_eq!(values("[[1, 2.5], [-3, 4e0]]").unwrap(), [1.0, 2.5, -3.0, 4.0]);
        assert_eq!(values("[]").unwrap(), [0.0f32; 0]);
        for bad in ["[1, \"2\"]", "[NaN]", "[null]", "3", "[[[[[[1]]]]]]", "[1e999]"] {
            assert!(values(bad).is_err(), "{bad}");
        }
    }

    /// The bytes of `fuzz/targets/infer.rs`: JSON, and behind the first zero byte what belongs to the inputs.
    #[test]
    fn the_fuzzers_corpus_is_read_or_refused() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/infer");
        for entry in std::fs::read_dir(corpus).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            let json_len = bytes.iter().position(|b| *b == 0);
            let read = InferRequest::read(&bytes, json_len).ok().map(|(request, mut rest)| {
                request.wants_binary("logits");
                let read = request.inputs.into_iter().map(|input| input.images([1, 2, 2], &mut rest));
                read.map(|images| images.is_ok_and(|(values, n)| values.len() == 4 * n)).collect::<Vec<_>>()
            });
            let is_seed = path.file_name().unwrap().to_string_lossy().starts_with("seed-");
            assert!(!is_seed || read == Some(vec![true]), "{} is refused", path.display());
        }
    }

    #[test]
    fn every_value_survives_its_decimals() {
        // The f64 decimals that a client prints of an f32, and the shortest ones that we print.
        for bits in (0..u32::MAX).step_by(7_654_321).map(f32::from_bits).filter(|v| v.is_finite()) {
            let long = format!("[{}]", serde_json::to_string(&f64::from(bits)).unwrap());
            let short = format!("[{}]", serde_json::to_string(&bits).unwrap());
            assert_eq!(values(&long).unwrap()[0].to_bits(), bits.to_bits());
            assert_eq!(values(&short).unwrap()[0].to_bits(), bits.to_bits());
        }
    }
}
