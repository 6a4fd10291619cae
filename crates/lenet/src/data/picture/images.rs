//! PNG, JPEG, WebP and BMP by the `image` package.

use super::raster::{MAX_ALLOC, PictureError, Raster, check};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};
use std::io::Cursor;

/// As [`super::look`].
pub fn look(bytes: &[u8]) -> Result<(u32, u32, bool), PictureError> {
    let decoder = open(bytes)?;
    let (width, height) = decoder.dimensions();
    Ok((width, height, decoder.color_type().has_color()))
}

/// The pixels of a picture, as grey or as red, green and blue.
pub fn decode(bytes: &[u8], grey: bool) -> Result<Raster, PictureError> {
    let mut decoder = open(bytes)?;
    // An unreadable orientation is no reason to refuse the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(explain)?;
    picture.apply_orientation(orientation);
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let (channels, samples) = match (grey, picture.color().has_alpha()) {
        (true, false) => (1, picture.into_luma8().into_raw()),
        (true, true) => (2, picture.into_luma_alpha8().into_raw()),
        (false, false) => (3, picture.into_rgb8().into_raw()),
        (false, true) => (4, picture.into_rgba8().into_raw()),
    };
    Ok(Raster { width, height, channels, samples })
}

/// A decoder of a picture of bounded size.
fn open(bytes: &[u8]) -> Result<impl ImageDecoder + '_, PictureError> {
    let mut reader = ImageReader::new(Cursor::new(bytes));
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOC);
    reader.limits(limits);
    let reader = reader.with_guessed_format().map_err(|e| PictureError::Damaged(e.to_string()))?;
    if reader.format().is_none_or(|f| !f.reading_enabled()) {
        return Err(PictureError::Format);
    }
    let decoder = reader.into_decoder().map_err(explain)?;
    check(decoder.dimensions().into())?;
    Ok(decoder)
}

fn explain(e: ImageError) -> PictureError {
    match e {
        ImageError::Limits(_) => PictureError::Memory,
        ImageError::Unsupported(_) => PictureError::Format,
        // Some decoders end theirs with a line break.
        other => PictureError::Damaged(other.to_string().replace(char::is_control, " ").trim_end().to_string()),
    }
}
