//! Models as ONNX files: one self-contained file out, and in again, from here or from PyTorch's exporters.

mod error;
pub(super) mod export;
pub(super) mod import;
mod kind;
pub(super) mod read;
mod wire;

pub use error::OnnxError;
pub use import::ImportOptions;

use super::{Model, ModelError, read_bounded};
use std::path::Path;

impl Model {
    /// The model as one ONNX file of operator set 18: image `[batch, c, h, w]` in, logits `[batch, classes]` out.
    ///
    /// The image is float32 and normalised, or, with `raw_input`, uint8 as it comes: then the normalisation is part of
    /// the graph. Class names (`classes`), normalisation (`mean`, `std`) and origin are in the metadata, as JSON. A model
    /// that averages over mirror images ([`Model::flip_test`]) does so in the graph.
    pub fn to_onnx(&self, raw_input: bool) -> Vec<u8> {
        export::file(self, raw_input)
    }

    /// The model of an ONNX file's bytes: of [`Model::to_onnx`], or of a network of the same operators from elsewhere.
    ///
    /// # Errors
    /// The first thing that is wrong or that no layer computes.
    pub fn from_onnx(bytes: &[u8], options: &ImportOptions) -> Result<Model, OnnxError> {
        import::model(bytes, options)
    }

    /// As [`Model::from_onnx`], from a file.
    ///
    /// # Errors
    /// As [`Model::from_onnx`], and whatever the file system says.
    pub fn load_onnx(path: &Path, options: &ImportOptions) -> Result<Model, ModelError> {
        let bytes = read_bounded(path)?;
        Model::from_onnx(&bytes, options)
            .map_err(|error| ModelError::Onnx { path: path.to_path_buf(), error: Box::new(error) })
    }
}
