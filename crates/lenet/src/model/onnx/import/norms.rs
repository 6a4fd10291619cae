//! How bytes become what the first layer takes.

use super::super::OnnxError;
use super::super::read::File;
use super::options::ImportOptions;
use crate::spec::Normalization;

/// The normalisation: that of the file's input, and what the graph does before its first layer.
pub fn normalization(
    file: &File,
    options: &ImportOptions,
    bytes_in: bool,
    channels: usize,
    affine: &Option<(Vec<f64>, Vec<f64>)>,
) -> Result<Normalization, OnnxError> {
    let error = |what: String| Err(OnnxError::Graph(what));
    let metadata = |key| file.metadata.iter().find(|(k, _)| *k == key).map(|(_, value)| *value);
    let list = |key| metadata(key).and_then(|text| serde_json::from_str::<Vec<f32>>(text).ok());
    let said = || Some(Normalization { mean: list("mean")?, std: list("std")? });
    // What comes is (byte / 255 - mean) / std; bytes themselves are that with the deviation 1 / 255.
    let n = match &options.normalization {
        Some(_) if bytes_in => return error("it takes bytes, and normalises them itself: give no mean and std".into()),
        Some(given) => given.clone(),
        None if bytes_in => Normalization::unit(channels),
        None => said().unwrap_or_else(|| Normalization::unit(channels)),
    };
    if n.mean.len() != channels || n.std.len() != channels {
        return error(format!(
            "{} means and {} deviations are given for {channels} channels",
            n.mean.len(),
            n.std.len()
        ));
    }
    let mut result = Normalization { mean: Vec::new(), std: Vec::new() };
    for c in 0..channels {
        let (mean, std) = (f64::from(n.mean[c]), if bytes_in { 1.0 / 255.0 } else { f64::from(n.std[c]) });
        let (factor, addend) = affine.as_ref().map_or((1.0, 0.0), |(f, a)| (f[c], a[c]));
        result.mean.push((mean - addend * std / factor) as f32);
        result.std.push((std / factor) as f32);
    }
    let valid = result.mean.iter().all(|m| m.is_finite()) && result.std.iter().all(|s| s.is_finite() && *s > 0.0);
    if valid { Ok(result) } else { error("its normalisation of the image needs finite means and positive stds".into()) }
}
