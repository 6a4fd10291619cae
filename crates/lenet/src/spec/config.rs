//! A layer as JSON, for a model's `config.json`: `{"type": "conv2d", "channels": 6, …}`.

use super::{Activation, BatchNorm, Conv2d, Dense, Dropout, Layer, Pool, Rbf, Residual};
use serde::{Deserialize, Serialize};

/// No fields; a unit variant would let unknown ones pass.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Empty {}

/// [`LayerForm`] from its lists: layers with settings (and their type), layers without, activations.
macro_rules! forms {
    (settings: [$($layer:ident: $settings:ident),*], plain: [$($plain:ident),*], activations: [$($activation:ident),*]) => {
        /// [`Layer`] in the form of the file: one flat object a layer, told apart by its `type`.
        #[derive(Serialize, Deserialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        pub(super) enum LayerForm {
            $($layer($settings),)*
            $($plain(Empty),)*
            $($activation(Empty),)*
        }

        impl From<Layer> for LayerForm {
            fn from(layer: Layer) -> Self {
                match layer {
                    $(Layer::$layer(l) => LayerForm::$layer(l),)*
                    $(Layer::$plain => LayerForm::$plain(Empty {}),)*
                    $(Layer::Activation(Activation::$activation) => LayerForm::$activation(Empty {}),)*
                }
            }
        }

        impl From<LayerForm> for Layer {
            fn from(form: LayerForm) -> Self {
                match form {
                    $(LayerForm::$layer(l) => Layer::$layer(l),)*
                    $(LayerForm::$plain(_) => Layer::$plain,)*
                    $(LayerForm::$activation(_) => Layer::Activation(Activation::$activation),)*
                }
            }
        }
    };
}

forms!(
    settings: [Conv2d: Conv2d, AvgPool: Pool, MaxPool: Pool, Subsample: Pool, Dense: Dense, BatchNorm: BatchNorm,
        Dropout: Dropout, Residual: Residual, Rbf: Rbf],
    plain: [Flatten, GlobalAvgPool],
    activations: [Sigmoid, Tanh, Relu, LeakyRelu, Elu, Gelu, Silu, HardSwish, ScaledTanh, Softplus]
);
