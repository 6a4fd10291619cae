//! Pixels in memory, and the limits of what is decoded.

use std::fmt;

/// Longest side of a picture, in pixels.
pub const MAX_SIDE: u32 = 16_384;

/// Most pixels of a picture.
pub const MAX_PIXELS: u64 = 1 << 26;

/// Most bytes a decoder may allocate: eight a pixel, as 16-bit colour with alpha takes.
pub(super) const MAX_ALLOC: u64 = 8 * MAX_PIXELS;

/// Why a picture cannot be used.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum PictureError {
    /// The bytes begin like no format that is read.
    Format,
    /// The picture is larger than this program decodes.
    TooLarge { width: u32, height: u32 },
    /// The picture needs more memory than this program gives a decoder.
    Memory,
    /// The decoder fails.
    Damaged(String),
    /// The network takes no pictures.
    Shape([usize; 3]),
}

// By hand: the derive macro would be most of the packages of a program that only predicts.
impl fmt::Display for PictureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PictureError::Format => {
                let can = match (cfg!(feature = "images"), cfg!(feature = "png")) {
                    (true, _) => "PNG, JPEG, WebP and BMP can",
                    (_, true) => "PNG can",
                    _ => "this program was built to read none",
                };
                write!(f, "this is no picture that can be read: {can}")
            }
            PictureError::TooLarge { width, height } => write!(
                f,
                "the picture has {width}×{height} pixels: at most {MAX_SIDE} a side and {MAX_PIXELS} in all are read, \
                 make it smaller"
            ),
            PictureError::Memory => {
                write!(f, "the picture needs more than {MAX_ALLOC} bytes to decode: make it smaller")
            }
            PictureError::Damaged(what) => write!(f, "the picture is damaged: {what}"),
            PictureError::Shape(shape) => write!(
                f,
                "the network takes {shape:?}: pictures have 1 channel (grey) or 3 (red, green, blue), and at least one \
                 pixel"
            ),
        }
    }
}

impl std::error::Error for PictureError {}

/// Pixels in memory, `[height, width, channels]`: grey or colour, the last of an even number of channels is alpha.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Raster {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) channels: usize,
    pub(super) samples: Vec<u8>,
}

#[cfg_attr(not(any(feature = "images", feature = "png")), allow(dead_code))]
pub(super) fn check([width, height]: [u32; 2]) -> Result<(), PictureError> {
    if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PictureError::TooLarge { width, height });
    }
    if width == 0 || height == 0 {
        return Err(PictureError::Damaged("it has no pixel".into()));
    }
    Ok(())
}

/// Rec. 709 luma, rounded.
pub(super) fn luma(rgb: &[u8]) -> u8 {
    let [r, g, b] = [0, 1, 2].map(|c| u32::from(rgb[c]));
    ((2126 * r + 7152 * g + 722 * b + 5000) / 10_000) as u8
}
