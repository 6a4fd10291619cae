//! Residual blocks.

use super::{Field, Key, Layer};

/// Two ways for one input, whose outputs are added. In files the layers are named `INDEX.body.0`, `INDEX.shortcut.0`.
#[derive(Clone, Debug, PartialEq)]
pub struct Residual {
    /// The layers of one way.
    pub body: Vec<Layer>,
    /// The layers of the other; none for the input itself.
    pub shortcut: Vec<Layer>,
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

    pub(super) fn keys(&mut self) -> Vec<Key<'_>> {
        let direct = self.shortcut.is_empty();
        let shortcut = "The layers of the other way; without, it is the input itself.";
        vec![
            Key::needed("body", Field::Layers(&mut self.body), "The layers of one way."),
            Key::new("shortcut", Field::Layers(&mut self.shortcut), shortcut).hidden(direct),
        ]
    }
}
