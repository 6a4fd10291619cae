//! Why there is nothing to look at.

use crate::engine::EngineError;

/// Why a network could not be looked into.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum InspectError {
    /// The bytes are no whole images of the model's size.
    #[error("{found} bytes are no whole number of images of {sample} bytes, as the model takes them")]
    Images {
        /// Bytes that were given.
        found: usize,
        /// Bytes of an image.
        sample: usize,
    },
    /// No layer has this name.
    #[error("there is no layer {name:?}: the nearest are {nearest} (`lenet summary` lists them all)")]
    UnknownLayer {
        /// What was asked for.
        name: String,
        /// Names of layers with their types.
        nearest: String,
    },
    /// No class has this name.
    #[error("there is no class {name:?}: the classes are {known}")]
    UnknownClass {
        /// What was asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// The first layer with weights has none that an image could show.
    #[error("layer {0}, the first with weights, has none that look at pixels: there are no filters to show")]
    NoFilters(String),
    /// A class without images.
    #[error("the data has no image of class {0:?}: give other --data or --split")]
    NoImages(String),
    /// The engine refuses.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The picture cannot be drawn.
    #[cfg(feature = "report")]
    #[error(transparent)]
    Draw(#[from] crate::draw::DrawError),
    /// A file's format cannot hold it.
    #[error("cannot encode: {0}")]
    Encode(String),
}
