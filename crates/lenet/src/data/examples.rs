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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};

    fn augmented(augment: &Augment, epoch: u32, data: &Dataset) -> Vec<u8> {
        let context = Context { path: Path::PORTABLE, seed: 4, epoch };
        augment.chunk(&context, &data.images, &[2, 0, 3], data.shape, &mut Scratch::default()).to_vec()
    }

    #[test]
    fn examples_are_the_first_images_as_they_are_and_then_as_the_epochs_see_them() {
        let shape = [1, 6, 6];
        let labels = vec![1, 1, 0, 3, 0];
        let classes = ["a", "b", "none", "d"].map(String::from).to_vec();
        let mut stream = Stream::new(1, Purpose::Init, 0, 0);
        let images = (0..5 * 36).map(|_| stream.next_u32() as u8).collect();
        let data = Dataset { shape, images, labels, classes };
        let augment = Augment { shift: 2, flip: true, ..Augment::default() };
        let shown = augment.examples(Path::PORTABLE, 4, &data, 3);
        assert_eq!(shown.labels, [0, 1, 3].repeat(3));
        assert_eq!([shown.image(0), shown.image(1), shown.image(2)], [data.image(2), data.image(0), data.image(3)]);
        assert_eq!(shown.images[3 * 36..6 * 36], augmented(&augment, 0, &data));
        assert_eq!(shown.images[6 * 36..], augmented(&augment, 1, &data));
    }
}
