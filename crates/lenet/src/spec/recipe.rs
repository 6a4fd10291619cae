//! The recipe: data, network and training as one text file.

use super::error::did_you_mean;
use super::{Augment, ClassWeights, Normalize, TargetRecipe};
use super::{Dense, Document, Init, Layer, Rbf, RecipeError, Spec, TrainRecipe, UnknownInit};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::str::FromStr;

/// The recipes that come with the program: name and text.
pub const PRESETS: [(&str, &str); 10] = [
    ("lenet", include_str!("../../../../recipes/lenet.toml")),
    ("lenet-d2l-v1", include_str!("../../../../recipes/lenet-d2l-v1.toml")),
    ("lenet-relu-max", include_str!("../../../../recipes/lenet-relu-max.toml")),
    ("lenet-modern", include_str!("../../../../recipes/lenet-modern.toml")),
    ("lenet5-1998", include_str!("../../../../recipes/lenet5-1998.toml")),
    ("softmax", include_str!("../../../../recipes/softmax.toml")),
    ("mlp", include_str!("../../../../recipes/mlp.toml")),
    ("small", include_str!("../../../../recipes/small.toml")),
    ("medium", include_str!("../../../../recipes/medium.toml")),
    ("fast", include_str!("../../../../recipes/fast.toml")),
];

/// The text of a preset.
pub fn preset(name: &str) -> Option<&'static str> {
    PRESETS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// Most bytes of a recipe's file.
const LIMIT: u64 = 1 << 20;

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

/// What is learnt from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DataRecipe {
    /// A name (`fashion-mnist`), `idx:DIR`, or a folder of pictures (`dir:DIR`).
    pub source: String,
    /// How bytes become inputs.
    pub normalization: Normalize,
    /// Only the first so many training images.
    pub train_limit: Option<usize>,
    /// Only the first so many test images.
    pub test_limit: Option<usize>,
    /// Whether pictures that cannot be read are left out instead of an error.
    pub skip_bad: bool,
}

/// What learns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelRecipe {
    /// Channels, rows, columns; `None` takes the data's.
    pub input: Option<[usize; 3]>,
    /// The layers, first to last.
    pub layers: Vec<Layer>,
    /// Whether the last dense layer has as many units as the data has classes (`units = "classes"`). Its `units` here
    /// are then 0 and mean nothing; [`Recipe::spec`] fills them in.
    pub units_from_classes: bool,
}

impl FromStr for Init {
    type Err = UnknownInit;

    fn from_str(name: &str) -> Result<Self, UnknownInit> {
        let unknown = || UnknownInit { name: name.into(), hint: did_you_mean(name, &Init::names()) };
        Init::ALL.into_iter().find(|i| i.name() == name).ok_or_else(unknown)
    }
}

impl Spec {
    /// The layers of a recipe over this input, with `classes` units where the recipe leaves them to the data.
    pub(super) fn from_model(model: &ModelRecipe, input: [usize; 3], classes: usize) -> Spec {
        let mut layers = model.layers.clone();
        let last_units = layers.iter_mut().rev().find_map(|l| match l {
            Layer::Dense(Dense { units, .. }) | Layer::Rbf(Rbf { units }) => Some(units),
            _ => None,
        });
        if let (true, Some(units)) = (model.units_from_classes, last_units) {
            *units = classes;
        }
        Spec { input, layers }
    }
}

impl Recipe {
    /// Reads a recipe from its text; `file_name` is what errors call it.
    ///
    /// ```
    /// use lenet::spec::Recipe;
    /// let error = Recipe::parse("preset = \"lenet\"\n[train]\nepoch = 3", "my.toml").unwrap_err();
    /// assert!(error.to_string().starts_with("my.toml:3:1: unknown key \"epoch\" in [train], did you mean \"epochs\"?"));
    /// ```
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and column.
    pub fn parse(text: &str, file_name: &str) -> Result<Recipe, RecipeError> {
        Document::parse(text, file_name)?.recipe()
    }

    /// A preset, or a recipe from a file.
    ///
    /// # Errors
    /// No such preset or file, a file that cannot be read, or as [`Recipe::parse`].
    pub fn load(name_or_path: &str) -> Result<Recipe, RecipeError> {
        Document::load(name_or_path)?.recipe()
    }

    /// As [`Recipe::load`], with overrides (`train.lr=0.1`) on top, later ones over earlier ones. What is wrong before
    /// the overrides and right after them is no error.
    ///
    /// # Errors
    /// As [`Recipe::load`] and [`Document::set`].
    pub fn load_with(name_or_path: &str, overrides: &[impl AsRef<str>]) -> Result<Recipe, RecipeError> {
        let mut document = Document::load(name_or_path)?;
        overrides.iter().try_for_each(|o| document.set(o.as_ref()))?;
        document.recipe()
    }

    /// Changes values by overrides (`train.lr=0.1`); all or, if one is wrong, none.
    ///
    /// # Errors
    /// As [`Document::set`] and [`Document::recipe`].
    pub fn apply_overrides(&mut self, overrides: &[impl AsRef<str>]) -> Result<(), RecipeError> {
        let mut document = Document::parse(&self.to_toml(), "recipe")?;
        overrides.iter().try_for_each(|o| document.set(o.as_ref()))?;
        *self = document.recipe()?;
        Ok(())
    }

    /// Changes one value by an override, `train.lr=0.1`.
    ///
    /// # Errors
    /// As [`Recipe::apply_overrides`].
    pub fn set(&mut self, assignment: &str) -> Result<(), RecipeError> {
        self.apply_overrides(&[assignment])
    }

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

impl Document {
    /// The text of a preset, or of a file.
    ///
    /// # Errors
    /// No such preset or file, a file that cannot be read, or as [`Document::parse`].
    pub fn load(name_or_path: &str) -> Result<Document, RecipeError> {
        if let Some(text) = preset(name_or_path) {
            return Document::parse(text, &format!("preset {name_or_path:?}"));
        }
        let path = Path::new(name_or_path);
        let names = PRESETS.map(|(name, _)| name);
        let read = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::NotFound => RecipeError::NotFound {
                name: name_or_path.into(),
                hint: did_you_mean(name_or_path, &names),
                presets: names.join(", "),
            },
            _ => RecipeError::Read { path: path.into(), source },
        };
        let mut bytes = Vec::new();
        File::open(path).map_err(read)?.take(LIMIT + 1).read_to_end(&mut bytes).map_err(read)?;
        if bytes.len() as u64 > LIMIT {
            return Err(RecipeError::TooLong { path: path.into(), limit: LIMIT });
        }
        let text = String::from_utf8(bytes).map_err(|e| RecipeError::Read {
            path: path.into(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidData, e.utf8_error()),
        })?;
        Document::parse(&text, name_or_path)
    }
}
