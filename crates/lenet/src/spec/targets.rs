//! What the labels become in training.

use super::keyed::keyed;
use super::layers::Range;

keyed! {
    /// What the labels become in training; evaluation takes them as they are.
    pub struct TargetRecipe {
        /// Share of the target that is spread evenly over all classes, from 0 to below 1.
        pub label_smoothing: f32 = 0.0,
            Number(Range::SHARE.said("a number from 0 to below 1, for example 0.1")).quiet();
        /// How much each class counts in the loss: `"balanced"` for images / (classes · images of the class), or one
        /// number per class. Without, all count alike.
        pub class_weights: ClassWeights = ClassWeights::Even, Form;
    }
}

/// How much the classes count in the loss, which is the weighted mean over a batch.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum ClassWeights {
    /// Alike.
    #[default]
    Even,
    /// `images / (classes · images of the class)`; 0 for a class without images.
    Balanced,
    /// So much, one number a class.
    Given(Vec<f32>),
}

impl ClassWeights {
    /// The weights for a training on images with these labels; none if all count alike.
    pub fn resolve(&self, labels: impl Iterator<Item = u16>, classes: usize) -> Vec<f32> {
        match self {
            ClassWeights::Even => Vec::new(),
            ClassWeights::Given(weights) => weights.clone(),
            ClassWeights::Balanced => {
                let (mut counts, mut n) = (vec![0usize; classes], 0usize);
                for label in labels {
                    n += 1;
                    if let Some(count) = counts.get_mut(label as usize) {
                        *count += 1;
                    }
                }
                let weight = |&k: &usize| if k == 0 { 0.0 } else { (n as f64 / (classes * k) as f64) as f32 };
                counts.iter().map(weight).collect()
            }
        }
    }
}
