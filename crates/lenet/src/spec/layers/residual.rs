//! Residual blocks.

use super::Layer;
use crate::spec::keyed::keyed;

keyed! {
    /// Two ways for one input, whose outputs are added. In files the layers are named `INDEX.body.0`,
    /// `INDEX.shortcut.0`.
    pub struct Residual {
        /// The layers of one way.
        pub body: Vec<Layer> = Vec::new(), Layers.needed();
        /// The layers of the other way; without, it is the input itself.
        pub shortcut: Vec<Layer> = Vec::new(), Layers.quiet();
    }
}

impl Residual {
    /// What these layers give, plus the input itself.
    pub fn new(body: impl IntoIterator<Item = Layer>) -> Self {
        Residual { body: body.into_iter().collect(), shortcut: Vec::new() }
    }

    /// Adds what these layers give instead of the input itself.
    pub fn shortcut(self, layers: impl IntoIterator<Item = Layer>) -> Self {
        Residual { shortcut: layers.into_iter().collect(), ..self }
    }
}
