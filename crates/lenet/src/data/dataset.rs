//! Images in memory, and how their bytes become inputs.

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

/// How bytes become the network's input: `(byte / 255 - mean) / std`, per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// Subtracted, one a channel.
    pub mean: Vec<f32>,
    /// Divided by, one a channel.
    pub std: Vec<f32>,
}

impl Normalization {
    /// Bytes to `[0, 1]`, nothing else.
    pub fn unit(channels: usize) -> Self {
        Normalization { mean: vec![0.0; channels], std: vec![1.0; channels] }
    }

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

    /// The value of every byte, one table a channel.
    pub fn tables(&self) -> Vec<[f32; 256]> {
        let value = |byte: usize, mean: f32, std: f32| (byte as f32 / 255.0 - mean) / std;
        self.mean.iter().zip(&self.std).map(|(&m, &s)| std::array::from_fn(|b| value(b, m, s))).collect()
    }
}
