//! The settings of augmentation: what training images go through. `kernel::augment` does it.

use super::named::named;

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

/// The section `[augment]` of a recipe. The default changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Augment {
    /// Shift in pixels, uniform in `-shift..=shift`, rows and columns apart: padding and a random crop.
    pub shift: usize,
    /// What comes in from outside.
    pub border: Border,
    /// Mirror left and right, half of the time.
    pub flip: bool,
    /// Rotation in degrees, uniform in ±; 0 to 180.
    pub rotate: f32,
    /// Size, uniform in 1 ± scale; 0 to 0.9.
    pub scale: f32,
    /// Shear in degrees, uniform in ±; 0 to 60.
    pub shear: f32,
    /// Brightness, a factor uniform in 1 ±; 0 to 1.
    pub brightness: f32,
    /// Contrast, a factor uniform in 1 ±; 0 to 1.
    pub contrast: f32,
    /// Random erasing.
    pub erase: Option<Erase>,
    /// Side in pixels of a square around a uniform pixel that is always erased, cut at the image's borders; 0 for none.
    pub cutout: usize,
    /// What erased pixels become.
    pub fill: Fill,
    /// α of the Beta(α, α) distribution of mixup's shares; 0 for none.
    pub mixup: f32,
    /// Whether evaluation and prediction average the logits of image and mirror image.
    pub flip_test: bool,
}

impl Default for Augment {
    fn default() -> Self {
        Augment {
            shift: 0,
            border: Border::Zeros,
            flip: false,
            rotate: 0.0,
            scale: 0.0,
            shear: 0.0,
            brightness: 0.0,
            contrast: 0.0,
            erase: None,
            cutout: 0,
            fill: Fill::Byte(0),
            mixup: 0.0,
            flip_test: false,
        }
    }
}

impl Augment {
    /// Whether training images change at all.
    pub fn is_active(&self) -> bool {
        let still = Augment { border: self.border, fill: self.fill, flip_test: self.flip_test, ..Augment::default() };
        *self != still
    }
}
