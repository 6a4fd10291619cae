//! The recipe: data, network and training as one text file.

use super::keyed::keyed;
use super::layers::{Key, SIZES};
use super::{Augment, ClassWeights, Layer, Normalize, RecipeError, Spec, TargetRecipe, TrainRecipe};

/// The recipes that come with the program: name and text.
pub const PRESETS: [(&str, &str); 10] = [
    ("lenet", include_str!("../../recipes/lenet.toml")),
    ("lenet-d2l-v1", include_str!("../../recipes/lenet-d2l-v1.toml")),
    ("lenet-relu-max", include_str!("../../recipes/lenet-relu-max.toml")),
    ("lenet-modern", include_str!("../../recipes/lenet-modern.toml")),
    ("lenet5-1998", include_str!("../../recipes/lenet5-1998.toml")),
    ("softmax", include_str!("../../recipes/softmax.toml")),
    ("mlp", include_str!("../../recipes/mlp.toml")),
    ("small", include_str!("../../recipes/small.toml")),
    ("medium", include_str!("../../recipes/medium.toml")),
    ("fast", include_str!("../../recipes/fast.toml")),
];

/// The text of a preset.
pub fn preset(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Everything that decides what a training computes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recipe {
    /// What is learnt from.
    pub data: DataRecipe,
    /// What learns.
    pub model: ModelRecipe,
    /// How it learns.
    pub train: TrainRecipe,
    /// What the labels become; keys of the section `[train]`.
    pub targets: TargetRecipe,
    /// What the images go through.
    pub augment: Augment,
}

keyed! {
    /// What is learnt from.
    pub struct DataRecipe {
        /// Name of a dataset (`fashion-mnist`), or where it is: `idx:DIR` for IDX files, `dir:DIR` for a folder of
        /// pictures.
        pub source: String = String::new(), Text("the name of a dataset or \"idx:DIR\"").needed();
        /// How bytes become inputs: `"unit"` divides by 255, `"dataset"` takes mean and standard deviation of the
        /// training images, a table gives both for each channel: (byte / 255 - mean) / std.
        pub normalization: Normalize = Normalize::Unit, Form.named("normalize");
        /// Only the first so many training images.
        pub train_limit: Option<usize> = None, Whole(1..=1_000_000_000);
        /// Only the first so many test images.
        pub test_limit: Option<usize> = None, Whole(1..=1_000_000_000);
        /// Whether pictures that cannot be read are left out instead of an error.
        pub skip_bad: bool = false, Flag.quiet();
    }
}

keyed! {
    /// What learns.
    pub struct ModelRecipe {
        /// Channels, rows and columns of an image; without, those of the data.
        pub input: Option<[usize; 3]> = None, Triple(SIZES);
        /// The layers, from the image to one score per class.
        pub layers: Vec<Layer> = Vec::new(), Layers.needed();
        /// Whether the last dense layer has as many units as the data has classes (`units = "classes"`). Its `units`
        /// here are then 0 and mean nothing; [`Recipe::spec`] fills them in.
        pub units_from_classes: bool = false, none;
    }
}

impl ModelRecipe {
    /// These layers as they are read, for images of any shape: no number of units is 0, so 0 stands for the number of
    /// classes.
    pub(super) fn of(mut layers: Vec<Layer>) -> Self {
        let units_from_classes = layers.iter_mut().any(|layer| layer.units() == Some(&mut 0));
        ModelRecipe { input: None, layers, units_from_classes }
    }
}

/// A section of a recipe.
pub(super) struct Section<'a> {
    pub name: &'static str,
    /// What it is about, for those who write recipes.
    pub doc: &'static str,
    pub keys: Vec<Key<'a>>,
}

impl Recipe {
    /// The sections, and the values that they have.
    pub(super) fn sections(&mut self) -> [Section<'_>; 4] {
        let mut train = self.train.keys();
        train.extend(self.targets.keys());
        let augment = "What training images go through; every epoch draws anew, for each image by itself.";
        [
            Section { name: "data", doc: "What the network learns from.", keys: self.data.keys() },
            Section { name: "model", doc: "The network.", keys: self.model.keys() },
            Section { name: "train", doc: "How the network learns.", keys: train },
            Section { name: "augment", doc: augment, keys: self.augment.keys() },
        ]
    }

    /// The names of the sections, and of their keys.
    pub(super) fn section_keys() -> [(&'static str, Vec<&'static str>); 4] {
        Recipe::default().sections().map(|section| (section.name, section.keys.iter().map(|key| key.name).collect()))
    }
}

impl Spec {
    /// The layers of a recipe over this input, with `classes` units where the recipe leaves them to the data.
    pub(super) fn from_model(model: &ModelRecipe, input: [usize; 3], classes: usize) -> Spec {
        let mut layers = model.layers.clone();
        let last_units = layers.iter_mut().rev().find_map(Layer::units);
        if let (true, Some(units)) = (model.units_from_classes, last_units) {
            *units = classes;
        }
        Spec { input, layers }
    }
}

impl Recipe {
    /// The network for data of this shape (channels, rows, columns) and so many classes. Its shapes fit:
    /// [`Spec::infer`] will not fail.
    ///
    /// # Errors
    /// A recipe for another shape or another number of classes, or layers that do not fit.
    pub fn spec(&self, input: [usize; 3], classes: usize) -> Result<Spec, RecipeError> {
        if let Some(recipe) = self.model.input.filter(|recipe| *recipe != input) {
            return Err(RecipeError::Input { recipe, data: input });
        }
        if let Some(n) = self.data.normalization.given().filter(|n| n.mean.len() != input[0]) {
            return Err(RecipeError::Normalization { values: n.mean.len(), channels: input[0] });
        }
        let spec = Spec::from_model(&self.model, input, classes);
        let outputs = spec.infer()?.outputs;
        if outputs != classes {
            return Err(RecipeError::Classes { outputs, classes });
        }
        if let ClassWeights::Given(weights) = &self.targets.class_weights
            && weights.len() != classes
        {
            return Err(RecipeError::ClassWeights { weights: weights.len(), classes });
        }
        Ok(spec)
    }
}
