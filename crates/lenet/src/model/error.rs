//! Why a model could not be written or read.

use crate::spec::SpecError;
use std::fmt;
use std::path::PathBuf;

/// Why a model could not be written or read.
#[derive(Debug)]
pub enum ModelError {
    /// The file system.
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// There is no model.
    NoModel(PathBuf),
    /// A file says something that cannot be.
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The spec is no network.
    Spec {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: SpecError,
    },
    /// An ONNX file is no model of this program.
    #[cfg(feature = "onnx")]
    Onnx {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<super::onnx::OnnxError>,
    },
}

// By hand: the derive macro would be most of the packages of a program that only predicts.
impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelError::Io { path, error } => write!(f, "{}: {error}", path.display()),
            ModelError::NoModel(path) => write!(
                f,
                "{} is no model: there is no config.json in it, nor in its folder 'model' (give the folder that a \
                 training wrote)",
                path.display()
            ),
            ModelError::Invalid { path, what } => write!(f, "{} {what}", path.display()),
            ModelError::Spec { path, error } => write!(f, "{}: {error}", path.display()),
            #[cfg(feature = "onnx")]
            ModelError::Onnx { path, error } => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ModelError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ModelError::Io { error, .. } => Some(error),
            ModelError::Spec { error, .. } => Some(error),
            _ => None,
        }
    }
}
