//! Prediction: a model on an engine, from pixels to logits, probabilities and scores.

mod classifier;
mod energy;
mod mirror;

pub use classifier::{Classifier, ClassifyError, Prediction};
pub use energy::{Distribution, Verdict, energy};
pub use mirror::forward_with_mirror;
#[cfg(feature = "train")]
pub(crate) use mirror::mirror;

use crate::engine::{Batch, CpuEngine, CpuOptions, Engine, EngineError, Pixels};
use crate::model::Model;

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
