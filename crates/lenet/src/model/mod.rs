//! Models as files: all that a prediction needs, and nothing of the training's state.

mod classifier;
mod error;
mod load;
#[cfg(feature = "onnx")]
pub mod onnx;
mod safetensors;
#[cfg(feature = "train")]
mod save;
pub(crate) mod tensors;
#[cfg(feature = "train")]
pub mod torch;

pub use classifier::{Classifier, ClassifyError, Prediction};
pub use error::ModelError;
#[cfg(feature = "train")]
pub(crate) use load::read_bounded;

use crate::data::Normalization;
use crate::engine::{Batch, CpuEngine, CpuOptions, Engine, EngineError, Pixels, forward_with_mirror};
use crate::spec::{Network, Spec};

/// Version of `config.json`.
const FORMAT: u32 = 1;

/// A trained network, with what turns a picture into its input and its output into a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The layers.
    pub spec: Spec,
    /// The shapes that follow from the spec.
    pub network: Network,
    /// How bytes become inputs.
    pub normalization: Normalization,
    /// Whether logits are the means of those of image and mirror image ([`Model::logits`]).
    pub flip_test: bool,
    /// Names of the classes, one an output.
    pub classes: Vec<String>,
    /// Where it comes from.
    pub training: Training,
    /// The parameter slab, in the order of [`Network::tensors`].
    pub parameters: Vec<f32>,
    /// The buffer slab, in the order of [`Network::buffer_tensors`].
    pub buffers: Vec<f32>,
}

/// How a model was trained.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Training {
    /// Name of the recipe or preset.
    pub recipe: String,
    /// Dataset, as recipes name it.
    pub dataset: String,
    /// Epochs done.
    pub epochs: usize,
    /// Seed.
    pub seed: u64,
    /// Accuracy on the test images after the last epoch, 0 to 1.
    pub test_accuracy: Option<f64>,
}

impl Model {
    /// A CPU engine that holds the model's parameters and buffers.
    ///
    /// # Errors
    /// An instruction path that this CPU does not have.
    pub fn engine(&self, options: CpuOptions) -> Result<CpuEngine, EngineError> {
        let mut engine = CpuEngine::new(self.network.clone(), options)?;
        self.fill(&mut engine)?;
        Ok(engine)
    }

    /// Gives an engine of the same network the model's parameters and buffers.
    ///
    /// # Errors
    /// An engine of another network, or what its device says.
    pub fn fill(&self, engine: &mut dyn Engine) -> Result<(), EngineError> {
        engine.set_parameters(&self.parameters)?;
        engine.set_buffers(&self.buffers)
    }

    /// The logits of a batch of bytes, `[n, outputs]`, on an engine that holds the model's parameters.
    ///
    /// # Errors
    /// As [`Engine::forward`].
    pub fn logits(&self, engine: &mut dyn Engine, batch: &Batch, logits: &mut [f32]) -> Result<(), EngineError> {
        if self.flip_test { forward_with_mirror(engine, batch, logits) } else { engine.forward(batch, logits) }
    }

    /// The logits of some of the images `[n, c, h, w]`, `[indices, outputs]`, a few thousand at a time.
    ///
    /// # Errors
    /// As [`Engine::forward`].
    pub fn logits_of(&self, engine: &mut dyn Engine, images: &[u8], indices: &[u32]) -> Result<Vec<f32>, EngineError> {
        const AT_A_TIME: usize = 4096;
        let tables = self.normalization.tables();
        let pixels = Pixels::Bytes { data: images, tables: &tables };
        let outputs = self.network.outputs;
        let mut all = vec![0.0; indices.len() * outputs];
        for (part, logits) in indices.chunks(AT_A_TIME).zip(all.chunks_mut(AT_A_TIME * outputs.max(1))) {
            self.logits(engine, &Batch { pixels, labels: &[], indices: part }, logits)?;
        }
        Ok(all)
    }
}
