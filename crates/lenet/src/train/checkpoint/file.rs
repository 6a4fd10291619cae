//! A checkpoint's tensors: the parameters by their names, and whatever else training keeps, by slab.

use crate::spec::Network;
use crate::train::error::{CheckpointFault, line};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, HashMap};

/// Named slabs beside the parameters.
pub(super) type Slabs = BTreeMap<String, Vec<f32>>;

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// The bytes of the file, with one entry of metadata.
pub(super) fn to_bytes(
    network: &Network,
    parameters: &[f32],
    slabs: &Slabs,
    key: &str,
    value: &str,
) -> Result<Vec<u8>, String> {
    let mut pieces: Vec<(&str, Vec<usize>, Vec<u8>)> =
        network.tensors().map(|t| (&t.name[..], t.shape.clone(), bytes_of(&parameters[t.range.clone()]))).collect();
    pieces.extend(slabs.iter().map(|(name, values)| (&name[..], vec![values.len()], bytes_of(values))));
    let view = |(name, shape, bytes)| TensorView::new(Dtype::F32, shape, bytes).map(|v| (name, v));
    let views: Result<Vec<_>, _> =
        pieces.iter().map(|(name, shape, bytes)| view((*name, shape.clone(), &bytes[..]))).collect();
    let metadata = HashMap::from([(key.to_string(), value.to_string())]);
    safetensors::serialize(views.map_err(|e| e.to_string())?, Some(metadata)).map_err(|e| e.to_string())
}

/// The parameters and the slabs, of which only those in `known` may be there.
pub(super) fn from_bytes(
    network: &Network,
    known: &[&str],
    bytes: &[u8],
) -> Result<(Vec<f32>, Slabs), CheckpointFault> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| CheckpointFault::Content(line(e)))?;
    let read = |name: &str, shape: Option<&[usize]>| {
        let named = || name.to_string();
        let tensor = file.tensor(name).map_err(|_| CheckpointFault::NoTensor(named()))?;
        if tensor.dtype() != Dtype::F32 {
            return Err(CheckpointFault::TensorType { tensor: named(), found: format!("{:?}", tensor.dtype()) });
        }
        if let Some(needed) = shape.filter(|s| *s != tensor.shape()) {
            let (found, needed) = (tensor.shape().to_vec(), needed.to_vec());
            return Err(CheckpointFault::TensorShape { tensor: named(), found, needed });
        }
        let values: Vec<f32> = tensor.data().as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
        match values.iter().position(|v| !v.is_finite()) {
            Some(position) => Err(CheckpointFault::NotFinite { tensor: named(), position }),
            None => Ok(values),
        }
    };
    let mut parameters = vec![0.0; network.parameters];
    for t in network.tensors() {
        parameters[t.range.clone()].copy_from_slice(&read(&t.name, Some(&t.shape))?);
    }
    let mut slabs = Slabs::new();
    for name in file.names() {
        if known.contains(&name) {
            slabs.insert(name.to_string(), read(name, None)?);
        } else if !network.tensors().any(|t| t.name == name) {
            return Err(CheckpointFault::UnknownTensor(name.to_string()));
        }
    }
    Ok((parameters, slabs))
}
