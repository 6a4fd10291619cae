//! All that is wrong with a recipe, where reading stops at the first of each section.

use super::document::{Document, kind};
use super::node::Node;
use super::read::each_layer;
use super::{Layer, ModelRecipe, Recipe, RecipeError, Spec};

impl Recipe {
    /// Whether everything that a training reads of the recipe may be in a text, as is always so if it was read from one: the
    /// fields are public, and may hold a batch of 0 or a learning rate that is no number. Where the data come from and what
    /// the layers are is not looked at.
    ///
    /// # Errors
    /// All that is wrong, with its place in [`Recipe::to_toml`].
    pub fn check(&self) -> Result<(), RecipeError> {
        let mut recipe = self.clone();
        if recipe.data.source.trim().is_empty() {
            recipe.data.source = "in memory".into();
        }
        // TOML spells it in small letters.
        let document = Document::parse(&recipe.to_toml().replace("NaN", "nan"), "recipe")?;
        let mut found = Vec::new();
        for error in [document.data().err(), document.train().err(), document.augment().err()].into_iter().flatten() {
            match error {
                RecipeError::Many(errors) => found.extend(errors),
                error => found.push(error),
            }
        }
        match found.len() {
            0 => Ok(()),
            1 => Err(found.remove(0)),
            _ => Err(RecipeError::Many(found)),
        }
    }
}

impl Document {
    /// Everything that is wrong with the recipe, in the order of its sections; nothing if [`Document::recipe`] works.
    /// Whether the layers' shapes fit, [`Document::problems_for`] says.
    pub fn problems(&self) -> Vec<RecipeError> {
        let mut found = Vec::new();
        let mut note = |error: Option<RecipeError>| match error {
            Some(RecipeError::Many(errors)) => found.extend(errors),
            other => found.extend(other),
        };
        note(self.unknown_sections().into_iter().next());
        note(self.data().err());
        let layers: Vec<_> = each_layer(self.layer_nodes(), 0).filter_map(Result::err).collect();
        if layers.is_empty() {
            note(self.model().err());
        }
        layers.into_iter().for_each(|e| note(Some(e)));
        note(self.train().err());
        note(self.augment().err());
        if found.is_empty() {
            found.extend(self.recipe().err());
        }
        found
    }

    /// As [`Document::problems`], for data of this shape and so many classes: also whether the layers fit, as far as their
    /// shapes can be known beside all else that is wrong.
    pub fn problems_for(&self, input: [usize; 3], classes: usize) -> Vec<RecipeError> {
        let mut found = self.problems();
        let misfit = if found.is_empty() { self.spec(input, classes).err() } else { self.misfit(input, classes) };
        // A recipe that states its input's shape may have told of it already.
        let known = |e: &RecipeError| found.iter().any(|f| f.to_string() == e.to_string());
        let news = misfit.filter(|e| !known(e));
        found.extend(news);
        found
    }

    /// Where the data comes from, if that can be read.
    pub fn source(&self) -> Option<String> {
        self.data().ok().map(|data| data.source)
    }

    /// The first layer that does not fit what is before it. A layer that changes no shape may be wrong in itself.
    fn misfit(&self, input: [usize; 3], classes: usize) -> Option<RecipeError> {
        let nodes = self.layer_nodes();
        let as_far = |(node, read): (&Node, Result<_, _>)| match (read, kind(node)) {
            (Ok(layer), _) => Some(layer),
            (Err(_), Ok(layer)) => Some(layer).filter(Layer::keeps_shape),
            (Err(_), Err(_)) => None,
        };
        let layers: Vec<_> = nodes.iter().zip(each_layer(nodes, 0)).map(as_far).collect::<Option<_>>()?;
        if layers.is_empty() {
            return None;
        }
        Spec::from_model(&ModelRecipe::of(layers), input, classes).infer().err().map(|e| self.locate(e))
    }
}
