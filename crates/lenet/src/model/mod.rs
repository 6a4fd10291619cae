//! Models as files: all that a prediction needs, and nothing of the training's state.

#[cfg(feature = "train")]
mod activation;
mod error;
#[cfg(feature = "train")]
mod layers;
pub mod layout;
mod load;
#[cfg(feature = "onnx")]
pub mod onnx;
mod safetensors;
#[cfg(feature = "train")]
mod save;
pub(crate) mod tensors;
#[cfg(feature = "train")]
pub mod torch;

pub use error::ModelError;
#[cfg(feature = "train")]
pub(crate) use load::read_bounded;

use crate::spec::{Network, Normalization, Spec};

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
    /// The weights of the first layer that has any, as pictures: `[outputs, c, h, w]` with the layer's title; of a dense
    /// layer that sees the whole input, each output's weights in the input's shape. `None` for a first layer whose weights
    /// no image could show.
    pub fn filters(&self) -> Option<(String, [usize; 4], &[f32])> {
        let network = &self.network;
        let (layer, weight) = network.layers.iter().find_map(|l| l.weight.as_ref().map(|w| (l, w)))?;
        let [c, h, w] = network.input;
        // Of a convolution, of a dense layer; others have a weight a channel.
        let shape = match weight.shape[..] {
            [oc, ic, kh, kw] => [oc, ic, kh, kw],
            [outputs, inputs] if inputs == c * h * w => [outputs, c, h, w],
            _ => return None,
        };
        Some((layer.title(), shape, &self.parameters[weight.range.clone()]))
    }
}
