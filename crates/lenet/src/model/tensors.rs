//! Parameters as a safetensors file with PyTorch's names and layouts.

use crate::spec::Network;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::HashMap;

/// The bytes of a file that holds the network's parameters, in a fixed order, with one entry of metadata.
///
/// # Errors
/// What the format cannot hold; nothing that a [`Network`] can name.
pub(crate) fn to_bytes(network: &Network, parameters: &[f32], key: &str, value: &str) -> Result<Vec<u8>, String> {
    let bytes: Vec<u8> = parameters.iter().flat_map(|v| v.to_le_bytes()).collect();
    let views: Result<Vec<_>, _> = network
        .tensors()
        .map(|t| {
            let data = &bytes[t.range.start * 4..t.range.end * 4];
            TensorView::new(Dtype::F32, t.shape.clone(), data).map(|v| (t.name.clone(), v))
        })
        .collect();
    let metadata = HashMap::from([(key.to_string(), value.to_string())]);
    safetensors::serialize(views.map_err(|e| e.to_string())?, Some(metadata)).map_err(|e| e.to_string())
}

/// The parameters in a file's bytes, after everything about them was checked against the network.
///
/// # Errors
/// What is wrong, in words: the format, a tensor that is missing, left over, of another type or shape, or not finite.
pub(crate) fn from_bytes(network: &Network, bytes: &[u8]) -> Result<Vec<f32>, String> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| format!("is no whole safetensors file: {e}"))?;
    let mut parameters = vec![0.0; network.parameters];
    for t in network.tensors() {
        let tensor = file.tensor(&t.name).map_err(|_| format!("has no tensor '{}'", t.name))?;
        if tensor.dtype() != Dtype::F32 {
            return Err(format!("tensor '{}' is {:?}, not F32", t.name, tensor.dtype()));
        }
        if tensor.shape() != t.shape {
            return Err(format!("tensor '{}' has shape {:?}, the network needs {:?}", t.name, tensor.shape(), t.shape));
        }
        for (p, b) in parameters[t.range.clone()].iter_mut().zip(tensor.data().as_chunks::<4>().0) {
            *p = f32::from_le_bytes(*b);
        }
        if let Some(i) = parameters[t.range.clone()].iter().position(|v| !v.is_finite()) {
            return Err(format!("tensor '{}' holds a value that is not finite, at position {i}", t.name));
        }
    }
    let known: Vec<&str> = network.tensors().map(|t| t.name.as_str()).collect();
    if let Some(name) = file.names().into_iter().find(|n| !known.contains(n)) {
        return Err(format!("has a tensor '{name}' that the network does not know"));
    }
    Ok(parameters)
}
