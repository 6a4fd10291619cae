//! Images in memory, and the normalisation that follows from them.

use crate::spec::Normalization;
#[cfg(feature = "train")]
use crate::spec::Normalize;

/// Labelled images, as bytes. Arrays only; where they came from is the business of the sources.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Channels, rows, columns of one image.
    pub shape: [usize; 3],
    /// Pixels, `[n, c, h, w]`.
    pub images: Vec<u8>,
    /// Class of each image, below `classes.len()`.
    pub labels: Vec<u16>,
    /// Names of the classes.
    pub classes: Vec<String>,
}

impl Dataset {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of one image.
    pub fn sample_len(&self) -> usize {
        self.shape.iter().product()
    }

    /// The pixels of image `index`, `[c, h, w]`.
    pub fn image(&self, index: usize) -> &[u8] {
        let n = self.sample_len();
        &self.images[index * n..(index + 1) * n]
    }
}

impl Normalization {
    /// Mean and standard deviation (that of all pixels, not of a sample of them) of the images at these positions, a
    /// channel each.
    ///
    /// From exact sums: rounded once, and the same in whatever order. A channel of one value gets the deviation 1.
    pub fn of(data: &Dataset, indices: &[u32]) -> Self {
        let [channels, h, w] = data.shape;
        let mut counts = vec![[0u64; 256]; channels];
        for &index in indices {
            let planes = data.image(index as usize).chunks_exact((h * w).max(1));
            for (counts, plane) in counts.iter_mut().zip(planes) {
                plane.iter().for_each(|&b| counts[b as usize] += 1);
            }
        }
        let channel = |counts: &[u64; 256]| {
            let sum = |power: u32| (0u128..256).zip(counts).map(|(b, &n)| b.pow(power) * u128::from(n)).sum::<u128>();
            let (n, sum, squares) = (sum(0).max(1), sum(1), sum(2));
            let (count, spread) = (n as f64 * 255.0, (n * squares - sum * sum) as f64);
            (sum as f64 / count, if spread > 0.0 { spread.sqrt() / count } else { 1.0 })
        };
        let (mean, std) = counts.iter().map(channel).map(|(m, s)| (m as f32, s as f32)).unzip();
        Normalization { mean, std }
    }
}

#[cfg(feature = "train")]
impl Normalize {
    /// The numbers for a training on the images at these positions.
    pub fn resolve(&self, train: &Dataset, indices: &[u32]) -> Normalization {
        match self {
            Normalize::Unit => Normalization::unit(train.shape[0]),
            Normalize::Dataset => Normalization::of(train, indices),
            Normalize::Given(n) => n.clone(),
        }
    }
}
