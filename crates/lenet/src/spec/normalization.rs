//! How bytes become a network's input.

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

    /// The value of every byte, one table a channel.
    pub fn tables(&self) -> Vec<[f32; 256]> {
        let value = |byte: usize, mean: f32, std: f32| (byte as f32 / 255.0 - mean) / std;
        self.mean.iter().zip(&self.std).map(|(&m, &s)| std::array::from_fn(|b| value(b, m, s))).collect()
    }
}

/// How bytes become inputs.
#[cfg(feature = "train")]
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Normalize {
    /// `byte / 255`.
    #[default]
    Unit,
    /// By mean and standard deviation of the training images, a channel each.
    Dataset,
    /// By these numbers.
    Given(Normalization),
}

#[cfg(feature = "train")]
impl Normalize {
    /// The numbers that the recipe itself gives.
    pub fn given(&self) -> Option<&Normalization> {
        if let Normalize::Given(n) = self { Some(n) } else { None }
    }
}
