//! Models as ONNX files: one self-contained file out, and in again, from here or from PyTorch's exporters.

mod export;
mod import;
mod read;
mod wire;

pub use import::ImportOptions;

use super::{Model, ModelError, read_bounded};
use crate::spec::SpecError;
use std::path::Path;

/// Why an ONNX file is no model of this program. Each is one line that follows the file's name.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OnnxError {
    /// The bytes are no ONNX file, or a part of one.
    #[error("is no whole ONNX file: {0}")]
    Malformed(String),
    /// More of something than a network can have.
    #[error("has more than {limit} {what}, which is more than is read")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The most that is read.
        limit: usize,
    },
    /// A tensor lies in another file, which is never opened.
    #[error(
        "keeps tensor '{0}' in another file, which is not read: save all in one file (torch.onnx.export with \
         external_data=False, or onnx.save_model of the loaded model)"
    )]
    External(String),
    /// A constant cannot be used.
    #[error("tensor '{name}' {what}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// A node computes what no layer does.
    #[error("node {node}: {what}")]
    Node {
        /// Its name, or that of its output, and its operator.
        node: String,
        /// What is not possible, and what to do.
        what: String,
    },
    /// The graph as a whole is no classifier of images.
    #[error("{0}")]
    Graph(String),
    /// The layers are no network.
    #[error("as layers: {0}")]
    Spec(#[from] SpecError),
}

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

/// Element types, as the format numbers them.
mod kind {
    pub const FLOAT: u64 = 1;
    pub const UINT8: u64 = 2;
    pub const INT64: u64 = 7;
}
