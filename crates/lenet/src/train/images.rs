//! The images of a training, and how they become inputs.

use super::error::TrainError;
use super::recipe::recipe_split;
use super::sampler::permutation;
use crate::data::{Dataset, Loaded};
use crate::engine::{Batch, Pixels};
use crate::spec::{Normalization, Recipe};

/// The images that a recipe trains on, and those that it keeps for validation.
pub(super) struct Images<'a> {
    pub data: &'a Dataset,
    /// Positions of the images to train on, within the recipe's limit.
    pub train: Vec<u32>,
    /// Positions of those for validation.
    pub val: Vec<u32>,
    pub normalization: Normalization,
    /// The input of every byte, one table per channel.
    pub tables: Vec<[f32; 256]>,
    /// The weight of every class; none if they count alike.
    pub weights: Vec<f32>,
}

impl<'a> Images<'a> {
    /// Of a recipe and data that [`check`] has let through.
    pub fn new(recipe: &Recipe, data: &'a Dataset) -> Self {
        let (train, val) = recipe_split(recipe, data);
        let normalization = recipe.data.normalization.resolve(data, &train);
        let labels = train.iter().map(|&i| data.labels[i as usize]);
        let weights = recipe.targets.class_weights.resolve(labels, data.classes.len());
        Images { data, val, tables: normalization.tables(), normalization, weights, train }
    }

    /// Positions of the images to train on, in the order of an epoch, which counts from 0.
    pub fn order(&self, seed: u64, epoch: usize) -> Vec<u32> {
        permutation(self.train.len(), seed, epoch).into_iter().map(|i| self.train[i as usize]).collect()
    }

    /// The images at these positions.
    pub fn batch<'b>(&'b self, indices: &'b [u32]) -> Batch<'b> {
        let pixels = Pixels::Bytes { data: &self.data.images, tables: &self.tables };
        Batch { pixels, labels: &self.data.labels, indices }
    }
}

/// The images that a recipe tests on: the first `len` of a dataset.
#[derive(Clone, Copy)]
pub(super) struct TestImages<'a> {
    pub data: &'a Dataset,
    pub len: usize,
}

/// All images of a training, whose recipe and training data [`check`] has let through.
pub(super) fn images<'a>(recipe: &Recipe, data: &'a Loaded) -> Result<(Images<'a>, TestImages<'a>), TrainError> {
    let images = Images::new(recipe, &data.train);
    check_images(&data.test)?;
    let len = recipe.data.test_limit.unwrap_or(usize::MAX).min(data.test.len());
    let train = images.train.len();
    if train == 0 || len == 0 {
        return Err(TrainError::NoImages { train, test: len });
    }
    if recipe.train.val_fraction > 0.0 && images.val.is_empty() {
        return Err(TrainError::NoValidation { train });
    }
    Ok((images, TestImages { data: &data.test, len }))
}

/// Whether a training can start from a recipe and its training data, whose fields are public.
pub(super) fn check(recipe: &Recipe, train: &Dataset) -> Result<(), TrainError> {
    recipe.check()?;
    check_images(train)
}

/// Whether a dataset, whose fields are public, holds an image for each label.
fn check_images(data: &Dataset) -> Result<(), TrainError> {
    let (labels, bytes, shape) = (data.labels.len(), data.images.len(), data.shape);
    let wanted = shape.iter().try_fold(labels, |n, &side| n.checked_mul(side));
    if Some(bytes) == wanted { Ok(()) } else { Err(TrainError::Images { bytes, labels, shape }) }
}
