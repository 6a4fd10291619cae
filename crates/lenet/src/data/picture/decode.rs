//! From a file's bytes to pixels. PNG by the `png` package, the rest by `image`, which reads PNG through the former too.

use super::{MAX_ALLOC, MAX_PIXELS, MAX_SIDE, PictureError, Raster, luma};
use png::{BitDepth, ColorType, Decoder, DecodingError, Limits, Transformations};
use std::io::Cursor;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Width, height and whether there is colour, from the picture's header alone.
///
/// # Errors
/// As [`prepare`](super::prepare), as far as the header tells.
pub fn look(bytes: &[u8]) -> Result<(u32, u32, bool), PictureError> {
    if !bytes.starts_with(SIGNATURE) {
        return others::look(bytes);
    }
    let reader = open(bytes)?;
    let info = reader.info();
    Ok((info.width, info.height, !matches!(info.color_type, ColorType::Grayscale | ColorType::GrayscaleAlpha)))
}

/// The picture as its orientation says: grey, with or without alpha, or likewise in colour, where it is not `grey`.
pub(super) fn decode(bytes: &[u8], grey: bool) -> Result<Raster, PictureError> {
    if !bytes.starts_with(SIGNATURE) {
        return others::decode(bytes, grey);
    }
    let mut reader = open(bytes)?;
    let size = reader.output_buffer_size().filter(|&n| n as u64 <= MAX_ALLOC).ok_or(PictureError::Memory)?;
    let mut samples = vec![0; size];
    let frame = reader.next_frame(&mut samples).map_err(explain)?;
    samples.truncate(frame.buffer_size());
    // With all expanded there is no palette, and nothing below 8 bits.
    let channels = frame.color_type.samples();
    if frame.bit_depth == BitDepth::Sixteen {
        let narrow = |v: &[u8; 2]| ((u32::from(u16::from_be_bytes(*v)) * 255 + 32_767) / 65_535) as u8;
        samples = samples.as_chunks::<2>().0.iter().map(narrow).collect();
    }
    let (width, height) = (frame.width as usize, frame.height as usize);
    let orientation = reader.info().exif_metadata.as_deref().and_then(orientation).unwrap_or(1);
    Ok(in_channels(Raster { width, height, channels, samples }, grey).turned(orientation))
}

/// A reader of a PNG of bounded size.
fn open(bytes: &[u8]) -> Result<png::Reader<Cursor<&[u8]>>, PictureError> {
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_ALLOC as usize });
    decoder.set_transformations(Transformations::EXPAND);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // The header before the rest: what follows may want memory.
    let header = decoder.read_header_info().map_err(explain)?;
    check([header.width, header.height])?;
    decoder.read_info().map_err(explain)
}

fn check([width, height]: [u32; 2]) -> Result<(), PictureError> {
    if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PictureError::TooLarge { width, height });
    }
    if width == 0 || height == 0 {
        return Err(PictureError::Damaged("it has no pixel".into()));
    }
    Ok(())
}

fn explain(e: DecodingError) -> PictureError {
    match e {
        DecodingError::LimitsExceeded => PictureError::Memory,
        other => PictureError::Damaged(other.to_string()),
    }
}

/// Grey, or colour, whatever it was; alpha stays.
fn in_channels(picture: Raster, grey: bool) -> Raster {
    let has_alpha = picture.channels.is_multiple_of(2);
    let channels = if grey { 1 } else { 3 } + usize::from(has_alpha);
    if picture.channels == channels {
        return picture;
    }
    let mut samples = Vec::with_capacity(picture.width * picture.height * channels);
    for pixel in picture.samples.chunks_exact(picture.channels) {
        if grey {
            samples.push(luma(pixel))
        } else {
            samples.extend([pixel[0]; 3])
        }
        if has_alpha {
            samples.push(pixel[picture.channels - 1]);
        }
    }
    Raster { channels, samples, ..picture }
}

/// The orientation that EXIF data state, 1 to 8: a TIFF header, then a directory of entries of 12 bytes.
fn orientation(exif: &[u8]) -> Option<u8> {
    let big = match exif.first_chunk::<4>()? {
        b"II*\0" => false,
        b"MM\0*" => true,
        _ => return None,
    };
    let u16_at = |at: usize| {
        let bytes = *exif.get(at..)?.first_chunk::<2>()?;
        Some(if big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    };
    let u32_at = |at: usize| {
        let bytes = *exif.get(at..)?.first_chunk::<4>()?;
        Some(if big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    };
    let directory = u32_at(4)? as usize;
    let entries = usize::from(u16_at(directory)?);
    let entry = |i: usize| directory.checked_add(2 + 12 * i);
    let found = (0..entries).find(|&i| entry(i).and_then(u16_at) == Some(0x112)).and_then(entry)?;
    let is_one_short = u16_at(found + 2)? == 3 && u32_at(found + 4)? == 1;
    u16_at(found + 8).filter(|value| is_one_short && (1..=8).contains(value)).map(|value| value as u8)
}

impl Raster {
    /// The picture whose orientation is stated to be this one, as it is to be looked at.
    fn turned(self, orientation: u8) -> Raster {
        let (w, h, c) = (self.width, self.height, self.channels);
        // Where an output pixel comes from.
        let from = |x: usize, y: usize| match orientation {
            2 => (w - 1 - x, y),
            3 => (w - 1 - x, h - 1 - y),
            4 => (x, h - 1 - y),
            5 => (y, x),
            6 => (y, h - 1 - x),
            7 => (w - 1 - y, h - 1 - x),
            _ => (w - 1 - y, x),
        };
        if !(2..=8).contains(&orientation) {
            return self;
        }
        let (width, height) = if orientation < 5 { (w, h) } else { (h, w) };
        let mut samples = Vec::with_capacity(self.samples.len());
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let (x, y) = from(x, y);
            samples.extend_from_slice(&self.samples[(y * w + x) * c..][..c]);
        }
        Raster { width, height, channels: c, samples }
    }
}

#[cfg(feature = "images")]
mod others {
    use super::super::{MAX_ALLOC, PictureError, Raster};
    use super::{check, in_channels};
    use image::{DynamicImage, ImageDecoder, ImageError, ImageReader, Limits};
    use std::io::Cursor;

    pub fn look(bytes: &[u8]) -> Result<(u32, u32, bool), PictureError> {
        let decoder = open(bytes)?;
        let (width, height) = decoder.dimensions();
        Ok((width, height, decoder.color_type().has_color()))
    }

    pub fn decode(bytes: &[u8], grey: bool) -> Result<Raster, PictureError> {
        let mut decoder = open(bytes)?;
        // An unreadable orientation is no reason to refuse the picture.
        let orientation = decoder.orientation().map_or(1, |o| o.to_exif());
        let picture = DynamicImage::from_decoder(decoder).map_err(explain)?;
        let (width, height) = (picture.width() as usize, picture.height() as usize);
        let (channels, samples) = match (picture.color().has_color(), picture.color().has_alpha()) {
            (false, false) => (1, picture.into_luma8().into_raw()),
            (false, true) => (2, picture.into_luma_alpha8().into_raw()),
            (true, false) => (3, picture.into_rgb8().into_raw()),
            (true, true) => (4, picture.into_rgba8().into_raw()),
        };
        Ok(in_channels(Raster { width, height, channels, samples }, grey).turned(orientation))
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
            other => PictureError::Damaged(other.to_string()),
        }
    }
}

#[cfg(not(feature = "images"))]
mod others {
    use super::super::{PictureError, Raster};

    pub fn look(_: &[u8]) -> Result<(u32, u32, bool), PictureError> {
        Err(PictureError::Format)
    }

    pub fn decode(_: &[u8], _: bool) -> Result<Raster, PictureError> {
        Err(PictureError::Format)
    }
}
