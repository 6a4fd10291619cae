//! What a recipe makes of a dataset and of a step.

use super::split::split;
use crate::data::Dataset;
use crate::engine::TrainStep;
use crate::kernel::op::loss::Targets;
use crate::spec::{Normalization, Normalize, Recipe};

/// The positions of a recipe's images for training and of those for validation, within its limit: see [`split`].
pub fn recipe_split(recipe: &Recipe, train: &Dataset) -> (Vec<u32>, Vec<u32>) {
    let limit = recipe.data.train_limit.unwrap_or(usize::MAX).min(train.labels.len());
    split(&train.labels[..limit], recipe.train.val_fraction, recipe.train.seed)
}

impl Recipe {
    /// Puts numbers in the place of `normalize = "dataset"`, from the images that are trained on: those within the
    /// recipe's limit, without those for validation. The training is the same; the recipe then says all of it.
    pub fn resolve_normalization(&mut self, train: &Dataset) {
        if self.data.normalization == Normalize::Dataset {
            let (indices, _) = recipe_split(self, train);
            self.data.normalization = Normalize::Given(Normalization::of(train, &indices));
        }
    }
}

impl<'a> TrainStep<'a> {
    /// What a recipe makes of a step in an epoch, from 0, with these weights of the classes.
    pub fn of(recipe: &'a Recipe, epoch: usize, weights: &'a [f32]) -> Self {
        TrainStep {
            seed: recipe.train.seed,
            epoch: epoch as u32,
            augment: Some(&recipe.augment).filter(|a| a.is_active()),
            targets: Targets { smoothing: recipe.targets.label_smoothing, weights },
        }
    }
}
