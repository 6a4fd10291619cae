//! All that is wrong with a recipe, where reading stops at the first of each section.

use super::document::{Document, Value};
use super::read::{SECTIONS, check_keys, kind, layer};
use super::{RecipeError, augment};

impl Document {
    /// Everything that is wrong with the recipe, in the order of its sections; nothing if [`Document::recipe`] works.
    /// Whether the layers' shapes fit is looked at when all else is right.
    pub fn problems(&self) -> Vec<RecipeError> {
        let mut found = Vec::new();
        let mut note = |error: Option<RecipeError>| match error {
            Some(RecipeError::Many(errors)) => found.extend(errors),
            other => found.extend(other),
        };
        let names = SECTIONS.map(|(name, _)| name);
        note(check_keys(&self.root, "the recipe", &[&names[..], &["preset"]].concat()).err());
        note(self.data().err());
        let layers = self.layer_problems();
        if layers.is_empty() {
            note(self.model().err());
        }
        layers.into_iter().for_each(|e| note(Some(e)));
        note(self.train().err());
        note(self.root.get("train").and_then(|n| augment::read_targets(n).err()));
        note(self.root.get("augment").and_then(|n| augment::read(n).err()));
        if found.is_empty() {
            found.extend(self.recipe().err());
        }
        found
    }

    /// What is wrong with each layer by itself.
    fn layer_problems(&self) -> Vec<RecipeError> {
        let layers = self.root.get("model").and_then(|m| m.get("layers"));
        let Some(Value::List(nodes)) = layers.map(|l| &l.value) else { return Vec::new() };
        let last = nodes.iter().rposition(|n| matches!(kind(n), Ok("dense" | "rbf")));
        nodes.iter().enumerate().filter_map(|(i, n)| layer(n, last == Some(i), 0).err()).collect()
    }
}
