//! A picture of one's own, PNG, JPEG, WebP or BMP, as the bytes a network takes in.
//!
//! With the feature `png` and without `images` PNG alone is read, with the same result; without either, nothing.

#[cfg(feature = "images")]
mod images;
#[cfg(any(test, all(feature = "png", not(feature = "images"))))]
mod only_png;
mod raster;
mod resize;
#[cfg(all(test, feature = "images"))]
mod tests;

#[cfg(feature = "images")]
use images as format;
#[cfg(all(feature = "png", not(feature = "images")))]
use only_png as format;

pub use raster::{MAX_PIXELS, MAX_SIDE, PictureError};
use raster::{Raster, luma};

/// Whether a picture is turned into its negative. The datasets show light things on a dark ground; pens and product
/// photographs do the opposite.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Invert {
    /// If the border is light, and lighter than what it surrounds; never for colour networks.
    #[default]
    Auto,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

/// A picture as a network takes it in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// `[c, h, w]`
    pub pixels: Vec<u8>,
    /// Whether it was turned into its negative.
    pub inverted: bool,
    /// Width and height of the picture as it is looked at, in pixels.
    pub original: (u32, u32),
}

/// Decodes a picture and fits it to `shape`, `[c, h, w]`.
///
/// The picture is turned as its EXIF orientation says, then scaled, its proportions kept, to fit into `h`×`w` (each output
/// pixel averages what it covers), and centred on a ground of its border's mean. One channel is luma. Transparent parts
/// show white, or black if what is visible is light. A picture that has the size already keeps its exact bytes.
///
/// # Errors
/// Bytes that are no picture, one that is damaged or too large (refused before it is decoded), or a shape of other than 1
/// or 3 channels.
pub fn prepare(bytes: &[u8], shape: [usize; 3], invert: Invert) -> Result<Prepared, PictureError> {
    let [c, h, w] = shape;
    let is_side = |n: usize| (1..=MAX_SIDE as usize).contains(&n);
    if !(is_side(h) && is_side(w) && (c == 1 || c == 3)) {
        return Err(PictureError::Shape(shape));
    }
    let picture = format::decode(bytes, c == 1)?;
    let original = (picture.width as u32, picture.height as u32);
    let content = picture.opaque().fit(w, h);
    let mut pixels = content.centered(w, h);
    let inverted = invert == Invert::Always || invert == Invert::Auto && c == 1 && content.is_dark_on_light();
    if inverted {
        pixels.iter_mut().for_each(|p| *p = 255 - *p);
    }
    Ok(Prepared { pixels, inverted, original })
}

/// Width, height and whether there is colour, from the picture's header alone.
///
/// # Errors
/// As [`prepare`], as far as the header tells.
pub fn look(bytes: &[u8]) -> Result<(u32, u32, bool), PictureError> {
    format::look(bytes)
}

#[cfg(not(any(feature = "images", feature = "png")))]
mod format {
    use super::raster::{PictureError, Raster};

    pub fn look(_: &[u8]) -> Result<(u32, u32, bool), PictureError> {
        Err(PictureError::Format)
    }

    pub fn decode(_: &[u8], _: bool) -> Result<Raster, PictureError> {
        Err(PictureError::Format)
    }
}

/// The ground that transparent parts show, so that what is visible stands out.
fn ground(luma_alpha: impl Iterator<Item = (u8, u8)>) -> u8 {
    let (sum, weight) = luma_alpha
        .fold((0u64, 0u64), |(sum, weight), (l, a)| (sum + u64::from(l) * u64::from(a), weight + u64::from(a)));
    if sum > 127 * weight { 0 } else { 255 }
}

fn over(value: u8, alpha: u8, ground: u8) -> u8 {
    let (value, alpha, ground) = (u32::from(value), u32::from(alpha), u32::from(ground));
    ((value * alpha + ground * (255 - alpha) + 127) / 255) as u8
}

impl Raster {
    /// Without transparency, over a ground that contrasts.
    fn opaque(self) -> Raster {
        let colours = match self.channels {
            2 => 1,
            4 => 3,
            _ => return self,
        };
        let pixels = || self.samples.chunks_exact(colours + 1);
        let ground = ground(pixels().map(|p| (if colours == 3 { luma(p) } else { p[0] }, p[colours])));
        let samples = pixels().flat_map(|p| p[..colours].iter().map(|&v| over(v, p[colours], ground))).collect();
        Raster { channels: colours, samples, ..self }
    }

    /// Scaled to the largest size within `w`×`h` that keeps the proportions.
    fn fit(self, w: usize, h: usize) -> Raster {
        let (pw, ph) = (self.width, self.height);
        // Sides are at most `MAX_SIDE`: their products are far from overflow on 32-bit machines too.
        let rounded = |side: usize, to: usize, of: usize| ((2 * side * to + of) / (2 * of)).max(1);
        let (nw, nh) = if pw * h >= ph * w { (w, rounded(ph, w, pw).min(h)) } else { (rounded(pw, h, ph).min(w), h) };
        if (nw, nh) == (pw, ph) { self } else { resize::resize(&self, nw, nh) }
    }

    /// Means of the border and of what it surrounds in a channel. The border is a fourteenth of the shorter side: two of
    /// 28 pixels.
    fn border_and_inside(&self, channel: usize) -> (f64, f64) {
        let (w, h) = (self.width, self.height);
        let ring = (w.min(h) / 14).max(1);
        let (mut border, mut inside) = ((0u64, 0u64), (0u64, 0u64));
        for (i, pixel) in self.samples.chunks_exact(self.channels).enumerate() {
            let (x, y) = (i % w, i / w);
            let is_border = x < ring || y < ring || x + ring >= w || y + ring >= h;
            let (sum, n) = if is_border { &mut border } else { &mut inside };
            *sum += u64::from(pixel[channel]);
            *n += 1;
        }
        let mean = |(sum, n): (u64, u64)| sum as f64 / n.max(1) as f64;
        (mean(border), mean(inside))
    }

    /// Right for all 10,000 test images of Fashion-MNIST as they are, and for all but 16 of their negatives.
    fn is_dark_on_light(&self) -> bool {
        let (border, inside) = self.border_and_inside(0);
        border > 127.5 && border > inside
    }

    /// In the middle of `w`×`h` pixels of the border's mean, one channel after the other: `[channels, h, w]`.
    fn centered(&self, w: usize, h: usize) -> Vec<u8> {
        let (left, top) = ((w - self.width) / 2, (h - self.height) / 2);
        let mut all = Vec::with_capacity(self.channels * w * h);
        for channel in 0..self.channels {
            let mut plane = vec![0; w * h];
            if (w, h) != (self.width, self.height) {
                plane.fill(self.border_and_inside(channel).0.round() as u8);
            }
            for (y, row) in self.samples.chunks_exact(self.width * self.channels).enumerate() {
                let to = &mut plane[(top + y) * w + left..];
                to.iter_mut().zip(row.chunks_exact(self.channels)).for_each(|(to, pixel)| *to = pixel[channel]);
            }
            all.extend(plane);
        }
        all
    }
}
