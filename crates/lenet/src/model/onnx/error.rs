//! Why an ONNX file is no model of this program.

use crate::spec::SpecError;

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
