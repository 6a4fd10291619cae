//! Parameters and buffers from a state dict, whose names are ours or those of another `Sequential` of the same layers.

use crate::spec::Network;
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;

/// Why a state dict does not fit. Each is one line that follows the file's name.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StateDictError {
    /// The bytes are no safetensors file, or a part of one.
    #[error("is no whole safetensors file: {0}")]
    Malformed(String),
    /// Tensors are missing, left over, or of another shape or type.
    #[error("does not fit the network: {0}")]
    Misfit(String),
    /// A value is no number.
    #[error("tensor '{name}' holds a value that is not finite, at position {position}")]
    NotFinite {
        /// The tensor.
        name: String,
        /// Where in it, in row-major order.
        position: usize,
    },
}

/// Most differences that a message lists.
const LISTED: usize = 8;

/// What the network needs: its name, shape, and place in parameters and buffers behind them.
fn needed(network: &Network) -> Vec<(&str, &[usize], Range<usize>)> {
    let shift = network.parameters;
    let all = network.layers.iter().flat_map(|l| {
        let parameters = l.weight.iter().chain(&l.bias).map(|p| (&p.name[..], &p.shape[..], p.range.clone()));
        let buffers = l.buffers.iter();
        parameters.chain(buffers.map(move |b| (&b.name[..], &b.shape[..], b.range.start + shift..b.range.end + shift)))
    });
    all.collect()
}

/// A name taken apart for sorting: numbers compare as numbers.
fn natural(name: &str) -> Vec<(u64, &str)> {
    name.split('.').map(|part| (part.parse().unwrap_or(u64::MAX), part)).collect()
}

/// The name of a tensor's module, and its name in there.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// The modules of some names, each once: in order of their numbers.
fn modules<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut all: Vec<&str> = names.map(|n| split(n).0).collect();
    all.sort_by_key(|n| natural(n));
    all.dedup();
    all
}

/// What each name of the network is called in the file. Equal names are taken as they are. Otherwise the modules that
/// have tensors are matched in the order of their numbers (`0`, `2`, `10`), which a `Sequential` with other layers
/// between has in common with the network, behind whatever prefix (`net.0`).
fn matching<'a>(wanted: &[&'a str], found: &[&'a str]) -> BTreeMap<&'a str, String> {
    let (ours, theirs) = (modules(wanted.iter().copied()), modules(found.iter().copied()));
    let numbered = theirs.iter().all(|m| m.split('.').any(|part| part.parse::<u64>().is_ok()));
    let known: HashSet<&str> = theirs.iter().copied().collect();
    let same = ours.iter().all(|m| known.contains(m));
    let renamed = |name: &'a str| {
        let (module, tensor) = split(name);
        let at = ours.iter().position(|m| *m == module)?;
        Some(format!("{}.{tensor}", theirs.get(at)?))
    };
    let by_order = !same && numbered && ours.len() == theirs.len();
    let to = |name: &'a str| if by_order { renamed(name) } else { None };
    wanted.iter().map(|name| (*name, to(name).unwrap_or_else(|| name.to_string()))).collect()
}

/// The parameters and buffers of a network from a safetensors file's bytes, after everything was checked. Counters of
/// batches (`num_batches_tracked`) are passed over.
///
/// # Errors
/// A file that is damaged, tensors that are missing, left over, or of another shape or type, values that are not finite.
pub fn parameters(network: &Network, bytes: &[u8]) -> Result<[Vec<f32>; 2], StateDictError> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string().replace(char::is_control, " "));
    let file = file.map_err(StateDictError::Malformed)?;
    let needed = needed(network);
    let wanted: Vec<&str> = needed.iter().map(|n| n.0).collect();
    let mut found: Vec<&str> = file.names();
    found.retain(|n| split(n).1 != "num_batches_tracked");
    let names = matching(&wanted, &found);
    let mut wrong = Vec::new();
    let mut fitting = Vec::new();
    for (name, shape, range) in &needed {
        let theirs = &names[name];
        let quoted = theirs.escape_debug();
        let shown = if theirs == name { format!("'{name}'") } else { format!("'{quoted}' (here {name})") };
        let Ok(tensor) = file.tensor(theirs) else {
            wrong.push(format!("{shown} is missing"));
            continue;
        };
        if tensor.shape() != *shape {
            wrong.push(format!("{shown} has the shape {:?} instead of {shape:?}", tensor.shape()));
            continue;
        }
        match tensor.dtype() {
            Dtype::F32 | Dtype::F64 => fitting.push((theirs, range, tensor)),
            other => wrong.push(format!("{shown} is {other:?}: save the network as float32 (model.float())")),
        }
    }
    let taken: HashSet<&str> = names.values().map(String::as_str).collect();
    let mut left: Vec<_> = found.iter().filter(|n| !taken.contains(*n)).collect();
    left.sort_by_key(|n| natural(n));
    wrong.extend(left.iter().map(|n| format!("'{}' is left over", n.escape_debug())));
    if !wrong.is_empty() {
        let more = wrong.len().saturating_sub(LISTED);
        wrong.truncate(LISTED);
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        return Err(StateDictError::Misfit(wrong.join("; ") + &more));
    }
    // All is in the file: memory for it no longer depends on what only the network claims.
    let mut values = vec![0.0; network.parameters + network.buffers];
    for (name, range, tensor) in fitting {
        let to = &mut values[range.clone()];
        if tensor.dtype() == Dtype::F32 {
            let from = tensor.data().as_chunks::<4>().0;
            to.iter_mut().zip(from).for_each(|(v, b)| *v = f32::from_le_bytes(*b));
        } else {
            let from = tensor.data().as_chunks::<8>().0;
            to.iter_mut().zip(from).for_each(|(v, b)| *v = f64::from_le_bytes(*b) as f32);
        }
        if let Some(position) = to.iter().position(|v| !v.is_finite()) {
            return Err(StateDictError::NotFinite { name: name.escape_debug().to_string(), position });
        }
    }
    // What a table of connections leaves out stays 0 here.
    network.tensors().for_each(|t| t.clear_missing(&mut values));
    let buffers = values.split_off(network.parameters);
    Ok([values, buffers])
}
