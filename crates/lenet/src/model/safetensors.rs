//! The safetensors format: a length, a header of JSON that says where each tensor lies, and the tensors' bytes.
//!
//! Only reading, which programs that only predict do without the `safetensors` package and what that needs.

use crate::json::{Json, JsonError};
use std::ops::Range;

/// Longest header, in bytes. The largest network has far fewer tensors than this has room for.
const HEADER: u64 = 1 << 22;

/// A tensor within a file.
pub(crate) struct Tensor<'a> {
    pub name: String,
    /// The type of its values, as the format calls it: `F32`.
    pub dtype: String,
    pub shape: Vec<usize>,
    /// Little-endian, row-major.
    pub data: &'a [u8],
}

/// The tensors of a file, in the order of their bytes, which they cover without gap or overlap.
///
/// # Errors
/// What is wrong, in words.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Tensor<'_>>, JsonError> {
    let error = |what: &str| JsonError(what.to_string());
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(|| error("it ends before the header's length"))?;
    let length = u64::from_le_bytes(*length);
    if length > HEADER {
        return Err(JsonError(format!("its header claims {length} bytes, at most {HEADER} are read")));
    }
    let (header, data) = rest.split_at_checked(length as usize).ok_or_else(|| error("it ends within the header"))?;
    let json = Json::parse(header).map_err(|e| e.within("header"))?;
    let Json::Object(fields) = &json else { return Err(error("its header is no object")) };
    let mut placed: Vec<(Range<usize>, &str, &Json)> = Vec::new();
    for (name, info) in fields.iter().filter(|(name, _)| name != "__metadata__") {
        let [start, end] = info.field("data_offsets", Json::numbers).map_err(|e| e.within(name))?;
        placed.push((start..end, name, info));
    }
    placed.sort_by_key(|(range, ..)| (range.start, range.end));
    let mut tensors = Vec::with_capacity(placed.len());
    let mut at = 0;
    for (range, name, info) in placed {
        if range.start != at {
            return Err(error("its tensors overlap, or leave bytes between them").within(name));
        }
        at = range.end;
        let tensor = tensor(name, info, data.get(range)).map_err(|e| e.within(name))?;
        tensors.push(tensor);
    }
    if at != data.len() { Err(error("bytes are left behind the last tensor")) } else { Ok(tensors) }
}

fn tensor<'a>(name: &str, info: &Json, data: Option<&'a [u8]>) -> Result<Tensor<'a>, JsonError> {
    let data = data.ok_or_else(|| JsonError("its bytes are not all in the file".into()))?;
    let dtype = info.field("dtype", Json::text)?.to_string();
    let shape: Vec<usize> = info.field("shape", |list| list.list_of(Json::number))?;
    // Other types are refused by whoever asks for the values.
    if dtype == "F32" {
        let bytes = shape.iter().try_fold(4usize, |n, &side| n.checked_mul(side));
        if bytes != Some(data.len()) {
            return Err(JsonError(format!("{} bytes for the shape {shape:?}", data.len())));
        }
    }
    Ok(Tensor { name: name.to_string(), dtype, shape, data })
}
