//! Small pictures inside the page, as PNG data URIs.

use super::ReportError;
use crate::draw::ColourMap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::{DynamicImage, GrayImage, ImageFormat, Rgba, RgbaImage};
use std::io::Cursor;

/// A picture in the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// `data:image/png;base64,…`
    pub uri: String,
    /// Its own pixels.
    pub width: u32,
    /// Its own pixels.
    pub height: u32,
}

impl Picture {
    fn new(image: &DynamicImage) -> Result<Self, ReportError> {
        let mut bytes = Cursor::new(Vec::new());
        let drawing = |e: image::ImageError| ReportError::Drawing { what: "a picture", reason: e.to_string() };
        image.write_to(&mut bytes, ImageFormat::Png).map_err(drawing)?;
        let uri = format!("data:image/png;base64,{}", BASE64_STANDARD.encode(bytes.into_inner()));
        Ok(Picture { uri, width: image.width(), height: image.height() })
    }

    /// Bytes `[c, h, w]` as a picture: three channels are colours, others become their mean.
    pub fn of_image([c, h, w]: [usize; 3], bytes: &[u8]) -> Result<Self, ReportError> {
        let at = |channel: usize, y: u32, x: u32| bytes[(channel * h + y as usize) * w + x as usize];
        let (width, height) = (w as u32, h as u32);
        let image = if c == 3 {
            let pixel = |x, y| Rgba([at(0, y, x), at(1, y, x), at(2, y, x), 255]);
            DynamicImage::ImageRgba8(RgbaImage::from_fn(width, height, pixel)).to_rgb8().into()
        } else {
            let mean = |x, y| ((0..c).map(|k| usize::from(at(k, y, x))).sum::<usize>() / c.max(1)) as u8;
            DynamicImage::ImageLuma8(GrayImage::from_fn(width, height, |x, y| image::Luma([mean(x, y)])))
        };
        Picture::new(&image)
    }

    /// Maps of `[h, w]` values each, side by side in rows of `across`, with `gap` transparent pixels between.
    pub fn of_maps(
        maps: &[&[f32]],
        [h, w]: [usize; 2],
        across: usize,
        gap: usize,
        colour: impl Fn(f32) -> [u8; 3],
    ) -> Result<Self, ReportError> {
        let across = across.min(maps.len()).max(1);
        let down = maps.len().div_ceil(across);
        let (width, height) = (across * (w + gap) - gap, (down * (h + gap)).saturating_sub(gap));
        let mut image = RgbaImage::new(width as u32, height as u32);
        for (number, map) in maps.iter().enumerate() {
            let (left, top) = (number % across * (w + gap), number / across * (h + gap));
            for (i, value) in map.iter().enumerate() {
                let [r, g, b] = colour(*value);
                image.put_pixel((left + i % w) as u32, (top + i / w) as u32, Rgba([r, g, b, 255]));
            }
        }
        Picture::new(&image.into())
    }
}

/// From blue (−1) over white (0) to red (1).
pub fn diverging(value: f32) -> [u8; 3] {
    ColourMap::Diverging.at(f64::from(value) * 0.5 + 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(picture: &Picture) -> DynamicImage {
        let bytes = BASE64_STANDARD.decode(picture.uri.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        image::load_from_memory(&bytes).unwrap()
    }

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let grey = Picture::of_image([1, 2, 3], &[0, 1, 2, 3, 4, 255]).unwrap();
        assert_eq!(decoded(&grey).to_luma8().into_raw(), [0, 1, 2, 3, 4, 255]);
        let colour = Picture::of_image([3, 1, 2], &[10, 11, 20, 21, 30, 31]).unwrap();
        assert_eq!(decoded(&colour).to_rgb8().into_raw(), [10, 20, 30, 11, 21, 31]);
    }

    #[test]
    fn maps_stand_in_rows_with_gaps() {
        let (a, b, c) = ([0.0; 4], [1.0; 4], [-1.0; 4]);
        let picture = Picture::of_maps(&[&a, &b, &c], [2, 2], 2, 1, diverging).unwrap();
        let image = decoded(&picture).to_rgba8();
        assert_eq!(image.dimensions(), (5, 5));
        assert_eq!(image.get_pixel(1, 1).0, [247, 247, 247, 255]);
        assert_eq!(image.get_pixel(2, 0).0[3], 0);
        assert_eq!(image.get_pixel(3, 0).0, [103, 0, 31, 255]);
        assert_eq!(image.get_pixel(0, 3).0, [5, 48, 97, 255]);
        assert_eq!(image.get_pixel(4, 4).0[3], 0, "there is no fourth map");
    }
}
