//! The settings of augmentation: what training images go through. `kernel::augment` does it.

use super::keyed::keyed;
#[cfg(feature = "train")]
use super::layers::Range;
use super::named::named;

/// Pixels that a shift or a cutout can matter for: the largest side of a picture.
#[cfg(feature = "train")]
const PIXELS: std::ops::RangeInclusive<u64> = 0..=1 << 16;

named! {
    /// What lies outside an image.
    pub enum Border {
        /// Zeros.
        Zeros = "zeros",
        /// The nearest pixel of the image.
        Edge = "edge",
    }
}

/// What erased pixels become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// This byte.
    Byte(u8),
    /// Uniform random bytes.
    Noise,
}

/// Random erasing (Zhong et al. 2017): a rectangle whose sides' ratio is log-uniform between 0.3 and 1 / 0.3.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Erase {
    /// How often, 0 to 1.
    pub probability: f32,
    /// Smallest and largest share of the image's area, 0 to 1; uniform between them.
    pub area: [f32; 2],
}

impl Default for Erase {
    fn default() -> Self {
        Erase { probability: 0.5, area: [0.02, 0.33] }
    }
}

keyed! {
    #![cfg(feature = "train")]
    /// The section `[augment]` of a recipe. The default changes nothing.
    pub struct Augment {
        /// Shift in pixels, uniform in `-shift..=shift`, rows and columns apart: padding and a random crop.
        pub shift: usize = 0, Whole(PIXELS);
        /// What comes in from outside an image.
        pub border: Border = Border::Zeros, Choice;
        /// Whether images are mirrored left and right, half of the time.
        pub flip: bool = false, Flag;
        /// Rotation in degrees, uniform in ±; 0 to 180.
        pub rotate: f32 = 0.0, Number(Range::new("a number from 0 to 180", 0.0, 180.0));
        /// Size, a factor uniform in 1 ± `scale`; 0 to 0.9.
        pub scale: f32 = 0.0, Number(Range::new("a number from 0 to 0.9", 0.0, 0.9));
        /// Shear in degrees, uniform in ±; 0 to 60.
        pub shear: f32 = 0.0, Number(Range::new("a number from 0 to 60", 0.0, 60.0));
        /// Brightness, a factor uniform in 1 ± `brightness`; 0 to 1.
        pub brightness: f32 = 0.0, Number(Range::UP_TO_1);
        /// Contrast, a factor uniform in 1 ± `contrast`; 0 to 1.
        pub contrast: f32 = 0.0, Number(Range::UP_TO_1);
        /// Random erasing: its probability, or a table with that and the range of the rectangle's share of the image.
        pub erase: Option<Erase> = None, Form;
        /// Side in pixels of a square around a random pixel that is always erased, cut at the image's borders; 0 for
        /// none.
        pub cutout: usize = 0, Whole(PIXELS);
        /// What erased pixels become: a byte, or `"noise"` for random bytes.
        pub fill: Fill = Fill::Byte(0), Form;
        /// Mixup: each image and its label is mixed with another's, by a share from the distribution Beta(α, α) with
        /// this α; 0 for none.
        pub mixup: f32 = 0.0, Number(Range::new("0 or a number from 0.01 to 100", 0.01, 100.0).or_zero());
        /// Whether evaluation and prediction average the logits of image and mirror image.
        pub flip_test: bool = false, Flag;
    }
}

impl Augment {
    /// Whether training images change at all.
    pub fn is_active(&self) -> bool {
        let still = Augment { border: self.border, fill: self.fill, flip_test: self.flip_test, ..Augment::default() };
        *self != still
    }
}
