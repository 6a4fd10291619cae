//! What a training says of itself before its first step.

use lenet::spec::{Network, Recipe};
use std::path::PathBuf;

/// What is about to be trained.
pub struct Start {
    pub data: String,
    pub provenance: String,
    pub images: [usize; 2],
    pub model: String,
    pub network: Network,
    pub device: String,
    pub threads: usize,
    pub recipe: Recipe,
    pub run: PathBuf,
}
