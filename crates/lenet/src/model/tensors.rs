//! Parameters and buffers as a safetensors file with PyTorch's names and layouts.

use super::safetensors;
use crate::spec::Network;
use std::ops::Range;

/// Name, shape and place of every tensor: of the parameters, then of the buffers behind them.
fn all(network: &Network) -> impl Iterator<Item = (&str, &[usize], Range<usize>)> {
    let shift = network.parameters;
    let buffers = network.buffer_tensors();
    let parameters = network.tensors().map(|t| (&t.name[..], &t.shape[..], t.range.clone()));
    parameters.chain(buffers.map(move |b| (&b.name[..], &b.shape[..], b.range.start + shift..b.range.end + shift)))
}

/// The bytes of a file that holds the network's parameters and buffers, in a fixed order, with one entry of metadata.
///
/// # Errors
/// What the format cannot hold; nothing that a [`Network`] can name.
#[cfg(feature = "train")]
pub(crate) fn to_bytes(network: &Network, slabs: [&[f32]; 2], key: &str, value: &str) -> Result<Vec<u8>, String> {
    use ::safetensors::{Dtype, tensor::TensorView};
    let bytes: Vec<u8> = slabs.into_iter().flatten().flat_map(|v| v.to_le_bytes()).collect();
    let views: Result<Vec<_>, _> = all(network)
        .map(|(name, shape, range)| {
            let data = &bytes[range.start * 4..range.end * 4];
            TensorView::new(Dtype::F32, shape.to_vec(), data).map(|v| (name.to_string(), v))
        })
        .collect();
    let metadata = std::collections::HashMap::from([(key.to_string(), value.to_string())]);
    ::safetensors::serialize(views.map_err(|e| e.to_string())?, Some(metadata)).map_err(|e| e.to_string())
}

/// The parameters and buffers in a file's bytes, after everything about them was checked against the network.
///
/// # Errors
/// What is wrong, in words: the format, a tensor that is missing, left over, of another type or shape, or not finite.
pub(crate) fn from_bytes(network: &Network, bytes: &[u8]) -> Result<[Vec<f32>; 2], String> {
    let file = safetensors::read(bytes).map_err(|e| format!("is no whole safetensors file: {e}"))?;
    let tensors = all(network)
        .map(|(name, shape, range)| {
            let tensor = file.iter().find(|t| t.name == name).ok_or_else(|| format!("has no tensor '{name}'"))?;
            if tensor.dtype != "F32" {
                return Err(format!("tensor '{name}' is {}, not F32", tensor.dtype.escape_debug()));
            }
            if tensor.shape != shape {
                return Err(format!("tensor '{name}' has shape {:?}, the network needs {shape:?}", tensor.shape));
            }
            Ok((tensor, range))
        })
        .collect::<Result<Vec<_>, String>>()?;
    // Only now: a config of a few bytes may ask for a network that no memory holds.
    let mut values = vec![0.0; network.parameters + network.buffers];
    for (tensor, range) in tensors {
        for (p, b) in values[range.clone()].iter_mut().zip(tensor.data.as_chunks::<4>().0) {
            *p = f32::from_le_bytes(*b);
        }
        if let Some(i) = values[range].iter().position(|v| !v.is_finite()) {
            return Err(format!("tensor '{}' holds a value that is not finite, at position {i}", tensor.name));
        }
    }
    let known: Vec<&str> = all(network).map(|t| t.0).collect();
    if let Some(tensor) = file.iter().find(|t| !known.contains(&t.name.as_str())) {
        return Err(format!("has a tensor '{}' that the network does not know", tensor.name.escape_debug()));
    }
    let buffers = values.split_off(network.parameters);
    Ok([values, buffers])
}
