//! A layer as JSON, for a model's `config.json`: `{"type": "conv2d", "channels": 6, …}`.

use super::{Activation, Conv2d, Dense, Layer, Pool};
use serde::{Deserialize, Serialize};

/// [`Layer`] in the form of the file: one flat object a layer, told apart by its `type`.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum LayerForm {
    Conv2d(Conv2d),
    AvgPool(Pool),
    MaxPool(Pool),
    Flatten(Empty),
    Dense(Dense),
    Sigmoid(Empty),
    Tanh(Empty),
    Relu(Empty),
}

/// No fields; a unit variant would let unknown ones pass.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Empty {}

impl From<Layer> for LayerForm {
    fn from(layer: Layer) -> Self {
        match layer {
            Layer::Conv2d(l) => LayerForm::Conv2d(l),
            Layer::AvgPool(l) => LayerForm::AvgPool(l),
            Layer::MaxPool(l) => LayerForm::MaxPool(l),
            Layer::Flatten => LayerForm::Flatten(Empty {}),
            Layer::Dense(l) => LayerForm::Dense(l),
            Layer::Activation(Activation::Sigmoid) => LayerForm::Sigmoid(Empty {}),
            Layer::Activation(Activation::Tanh) => LayerForm::Tanh(Empty {}),
            Layer::Activation(Activation::Relu) => LayerForm::Relu(Empty {}),
        }
    }
}

impl From<LayerForm> for Layer {
    fn from(form: LayerForm) -> Self {
        match form {
            LayerForm::Conv2d(l) => Layer::Conv2d(l),
            LayerForm::AvgPool(l) => Layer::AvgPool(l),
            LayerForm::MaxPool(l) => Layer::MaxPool(l),
            LayerForm::Flatten(_) => Layer::Flatten,
            LayerForm::Dense(l) => Layer::Dense(l),
            LayerForm::Sigmoid(_) => Layer::Activation(Activation::Sigmoid),
            LayerForm::Tanh(_) => Layer::Activation(Activation::Tanh),
            LayerForm::Relu(_) => Layer::Activation(Activation::Relu),
        }
    }
}
