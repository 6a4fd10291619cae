//! Training images as a recipe's augmentation changes them, to be looked at.

use super::Dataset;
use crate::kernel::augment::{Context, Scratch};
use crate::kernel::{CHUNK, Path};
use crate::spec::Augment;

impl Augment {
    /// The first image of every class, to be looked at: as it is, then as the first `n - 1` epochs see it.
    pub fn examples(&self, path: Path, seed: u64, data: &Dataset, n: usize) -> Dataset {
        let first = |class| data.labels.iter().position(|&l| usize::from(l) == class).map(|i| i as u32);
        let firsts: Vec<u32> = (0..data.classes.len()).filter_map(first).collect();
        let (mut images, mut scratch) = (Vec::new(), Scratch::default());
        firsts.iter().for_each(|&i| images.extend(data.image(i as usize)));
        for epoch in 1..n as u32 {
            for indices in firsts.chunks(CHUNK) {
                let context = Context { path, seed, epoch: epoch - 1 };
                images.extend(self.chunk(&context, &data.images, indices, data.shape, &mut scratch));
            }
        }
        let labels = firsts.iter().map(|&i| data.labels[i as usize]).collect::<Vec<_>>().repeat(n.max(1));
        Dataset { shape: data.shape, images, labels, classes: data.classes.clone() }
    }
}
