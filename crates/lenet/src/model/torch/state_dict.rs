//! Parameters and buffers from a state dict, whose names are ours or those of another `Sequential` of the same layers.

use super::order::{natural, order};
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
    /// Names and shapes leave the order of the modules open.
    #[error(
        "leaves open whether module '{}' or '{}' comes first: several orders of its modules fit the network. Name them by \
         the numbers of the network's layers, as a `Sequential` does (0.weight, 3.weight)",
        .0[0].escape_debug(), .0[1].escape_debug()
    )]
    Order([String; 2]),
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

/// A tensor that the network needs: its name, shape, and place in parameters and buffers behind them.
type Needed<'a> = (&'a str, &'a [usize], Range<usize>);

fn needed(network: &Network) -> Vec<Needed<'_>> {
    let shift = network.parameters;
    let all = network.layers.iter().flat_map(|l| {
        let parameters = l.weight.iter().chain(&l.bias).map(|p| (&p.name[..], &p.shape[..], p.range.clone()));
        let buffers = l.buffers.iter();
        parameters.chain(buffers.map(move |b| (&b.name[..], &b.shape[..], b.range.start + shift..b.range.end + shift)))
    });
    all.collect()
}

/// The name of a tensor's module, and its name in there.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// The modules of named tensors, by their names: of each tensor its name in there, and its shape.
type Modules<'a> = BTreeMap<&'a str, BTreeMap<&'a str, Vec<usize>>>;

fn modules<'a>(tensors: impl Iterator<Item = (&'a str, Vec<usize>)>) -> Modules<'a> {
    let mut all = Modules::new();
    for (name, shape) in tensors {
        let (module, tensor) = split(name);
        all.entry(module).or_default().insert(tensor, shape);
    }
    all
}

/// What each tensor of the network is called in the file. Equal names are taken as they are. Otherwise the modules that
/// have tensors are matched by their order, if that is certain: a `Sequential` with other layers between has it in common with
/// the network, behind whatever prefix (`net.0`).
fn matching<'a>(wanted: &[Needed<'a>], found: &Modules) -> Result<BTreeMap<&'a str, String>, StateDictError> {
    let mut modules_wanted: Vec<&str> = wanted.iter().map(|n| split(n.0).0).collect();
    modules_wanted.dedup();
    let same = modules_wanted.iter().all(|module| found.contains_key(module));
    let mut renamed = BTreeMap::new();
    if !same && modules_wanted.len() == found.len() {
        let mut all = modules(wanted.iter().map(|n| (n.0, n.1.to_vec())));
        let ours: Vec<_> = modules_wanted.iter().filter_map(|module| all.remove(module)).collect();
        let (names, theirs): (Vec<&str>, Vec<_>) = found.iter().map(|(name, tensors)| (*name, tensors.clone())).unzip();
        let order =
            order(&names, &theirs, &ours).map_err(|pair| StateDictError::Order(pair.map(|m| names[m].into())))?;
        renamed.extend(modules_wanted.into_iter().zip(order.into_iter().map(|m| names[m])));
    }
    let to = |name: &str| {
        let (module, tensor) = split(name);
        match renamed.get(module) {
            None => name.to_string(),
            Some(&"") => tensor.to_string(),
            Some(theirs) => format!("{theirs}.{tensor}"),
        }
    };
    Ok(wanted.iter().map(|n| (n.0, to(n.0))).collect())
}

/// The parameters and buffers of a network from a safetensors file's bytes, after everything was checked. Counters of
/// batches (`num_batches_tracked`) are passed over.
///
/// # Errors
/// A file that is damaged, modules whose order is open, tensors that are missing, left over, or of another shape or type,
/// values that are not finite.
pub fn parameters(network: &Network, bytes: &[u8]) -> Result<[Vec<f32>; 2], StateDictError> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string().replace(char::is_control, " "));
    let file = file.map_err(StateDictError::Malformed)?;
    let needed = needed(network);
    let mut found: Vec<&str> = file.names();
    found.retain(|n| split(n).1 != "num_batches_tracked");
    let shapes = found.iter().filter_map(|n| Some((*n, file.tensor(n).ok()?.shape().to_vec())));
    let names = matching(&needed, &modules(shapes))?;
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
    left.sort_by_cached_key(|n| natural(n));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Conv2d, Dense, Layer, Spec};
    use safetensors::tensor::TensorView;

    /// `convolutions` of one output channel, and a dense layer of so many units.
    fn network(convolutions: usize, units: usize) -> Network {
        let conv = Conv2d { channels: 1, window: [1, 1], ..Default::default() };
        let mut layers = vec![Layer::Conv2d(conv); convolutions];
        layers.extend([Layer::Flatten, Layer::Dense(Dense { units, bias: false })]);
        Spec { input: [1, 1, 1], layers }.infer().unwrap()
    }

    /// A file of tensors, each filled with a value of its own.
    fn file(tensors: &[(&str, Vec<usize>, f32)]) -> Vec<u8> {
        let data: Vec<Vec<u8>> =
            tensors.iter().map(|(_, shape, v)| v.to_le_bytes().repeat(shape.iter().product())).collect();
        let views = tensors.iter().zip(&data);
        let views =
            views.map(|((name, shape, _), data)| (*name, TensorView::new(Dtype::F32, shape.clone(), data).unwrap()));
        safetensors::serialize(views, None).unwrap()
    }

    #[test]
    fn modules_are_taken_by_number_and_by_what_they_hold() {
        let names: Vec<[String; 2]> = (1..=11).map(|i| ["weight", "bias"].map(|t| format!("layer{i}.0.{t}"))).collect();
        let mut tensors = vec![("out.1.weight", vec![2, 1], 0.0)];
        for (i, [weight, bias]) in names.iter().enumerate() {
            tensors.extend([(&weight[..], vec![1, 1, 1, 1], i as f32), (&bias[..], vec![1], i as f32 + 0.5)]);
        }
        let [values, _] = parameters(&network(11, 2), &file(&tensors)).unwrap();
        let want: Vec<f32> = (0..22).map(|i| i as f32 / 2.0).chain([0.0; 2]).collect();
        assert_eq!(values, want);
        // The alphabet has them the other way round.
        let tensors = [
            ("features.weight", vec![1, 1, 1, 1], 1.0),
            ("features.bias", vec![1], 2.0),
            ("classifier.weight", vec![3, 1], 3.0),
        ];
        assert_eq!(parameters(&network(1, 3), &file(&tensors)).unwrap()[0], [1.0, 2.0, 3.0, 3.0, 3.0]);
        assert_eq!(parameters(&network(0, 1), &file(&[("weight", vec![1, 1], 4.0)])).unwrap()[0], [4.0]);
    }

    #[test]
    fn an_order_that_is_open_is_not_guessed() {
        let names = ["first", "second"].map(|m| ["weight", "bias"].map(|t| format!("{m}\n.{t}")));
        let mut tensors = vec![("third.weight", vec![1, 1], 0.0)];
        for [weight, bias] in &names {
            tensors.extend([(&weight[..], vec![1, 1, 1, 1], 0.0), (&bias[..], vec![1], 0.0)]);
        }
        let error = parameters(&network(2, 1), &file(&tensors)).unwrap_err();
        assert_eq!(error, StateDictError::Order(["first\n".into(), "second\n".into()]));
        let words = "leaves open whether module 'first\\n' or 'second\\n' comes first";
        assert!(error.to_string().starts_with(words), "{error}");
        // What does not fit in any order is named as if it were in one.
        let error = parameters(&network(2, 2), &file(&tensors)).unwrap_err().to_string();
        let words = "does not fit the network: 'third.weight' (here 3.weight) has the shape [1, 1] instead of [2, 1]";
        assert_eq!(error, words);
    }
}
