//! What the caller decides of an import.

use crate::spec::Normalization;

/// What an ONNX file may leave open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ImportOptions {
    /// Names of the classes; the file's unless given, and their numbers if that has none.
    pub classes: Option<Vec<String>>,
    /// How bytes become what the graph takes, if it takes floats; the file's unless given, and bytes / 255 if that says
    /// nothing.
    pub normalization: Option<Normalization>,
    /// Name of the model, for its card.
    pub name: String,
}
