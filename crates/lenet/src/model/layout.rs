//! The names of a model's files.

/// The model's directory in that of its run.
pub const DIRECTORY: &str = "model";

/// Layers, classes and normalisation. Where this file is, there is a model.
pub const CONFIG: &str = "config.json";

/// Parameters and buffers.
pub const TENSORS: &str = "model.safetensors";

/// The model card.
pub const CARD: &str = "README.md";
