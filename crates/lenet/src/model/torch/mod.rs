//! Models and PyTorch: the program that rebuilds a network there, and state dicts from there.

mod order;
mod program;
mod state_dict;

pub(super) use program::program;
pub use state_dict::{StateDictError, parameters};

use super::{Model, ModelError, Training, read_bounded};
use crate::spec::Normalization;
use crate::spec::Spec;
use std::path::Path;

impl Model {
    /// A model from a PyTorch state dict in a safetensors file, for a network of this spec.
    ///
    /// The tensors have the names of this program, or of a `Sequential` whose other layers have other numbers:
    /// [`parameters`] says how they are matched.
    ///
    /// # Errors
    /// A spec that is no network, a file that cannot be read, tensors that do not fit: all of them, in one line.
    pub fn from_state_dict(
        path: &Path,
        spec: Spec,
        normalization: Normalization,
        classes: Vec<String>,
        training: Training,
    ) -> Result<Model, ModelError> {
        let network = spec.infer().map_err(|error| ModelError::Spec { path: path.to_path_buf(), error })?;
        let invalid = |what: String| ModelError::Invalid { path: path.to_path_buf(), what };
        if classes.len() != network.outputs {
            let (names, outputs) = (classes.len(), network.outputs);
            return Err(invalid(format!("is for a network of {outputs} classes, {names} names are given")));
        }
        if [normalization.mean.len(), normalization.std.len()] != [network.input[0]; 2] {
            let channels = network.input[0];
            return Err(invalid(format!("is for images of {channels} channels, the normalisation is for others")));
        }
        let bytes = read_bounded(path)?;
        let [parameters, buffers] = parameters(&network, &bytes).map_err(|e| invalid(e.to_string()))?;
        Ok(Model { spec, network, normalization, flip_test: false, classes, training, parameters, buffers })
    }
}
