//! PNG by a small decoder, for programs that read no other pictures.

use super::raster::{MAX_SIDE, PictureError, Raster, check, luma};
use zune_png::PngDecoder;
use zune_png::error::PngDecodeErrors;
use zune_png::zune_core::bit_depth::BitDepth;
use zune_png::zune_core::bytestream::ZCursor;
use zune_png::zune_core::colorspace::ColorSpace;
use zune_png::zune_core::options::DecoderOptions;
use zune_png::zune_core::result::DecodingResult;

/// As [`super::look`].
pub fn look(bytes: &[u8]) -> Result<(u32, u32, bool), PictureError> {
    let decoder = open(bytes)?;
    let (width, height) = size(&decoder);
    let has_color = !matches!(decoder.colorspace(), Some(ColorSpace::Luma | ColorSpace::LumaA));
    Ok((width, height, has_color))
}

/// The pixels of a picture, as grey or as red, green and blue.
pub fn decode(bytes: &[u8], grey: bool) -> Result<Raster, PictureError> {
    let mut decoder = open(bytes)?;
    let (width, height) = size(&decoder);
    let (width, height) = (width as usize, height as usize);
    let samples = match decoder.decode().map_err(explain)? {
        DecodingResult::U8(samples) => samples,
        DecodingResult::U16(samples) => {
            samples.into_iter().map(|v| ((u32::from(v) * 255 + 32_767) / 65_535) as u8).collect()
        }
        _ => return Err(PictureError::Damaged("its samples are neither 8 nor 16 bits".into())),
    };
    let channels = samples.len() / (width * height);
    if !(1..=4).contains(&channels) || samples.len() != width * height * channels {
        return Err(PictureError::Damaged("it has another number of samples than its header says".into()));
    }
    let orientation = decoder.info().and_then(|info| info.exif.as_deref()).and_then(orientation).unwrap_or(1);
    Ok(in_channels(Raster { width, height, channels, samples }, grey).turned(orientation))
}

/// A decoder that has read the header of a picture of bounded size.
fn open(bytes: &[u8]) -> Result<PngDecoder<ZCursor<&[u8]>>, PictureError> {
    if !bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Err(PictureError::Format);
    }
    // The sizes right behind the signature, before the rest, which may want memory; the decoder asks whether they are
    // where they should be.
    if let Some([w0, w1, w2, w3, h0, h1, h2, h3]) = bytes.get(16..).and_then(|rest| rest.first_chunk()) {
        check([u32::from_be_bytes([*w0, *w1, *w2, *w3]), u32::from_be_bytes([*h0, *h1, *h2, *h3])])?;
    }
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .png_set_confirm_crc(true)
        .png_set_decode_animated(false)
        .set_max_width(MAX_SIDE as usize)
        .set_max_height(MAX_SIDE as usize);
    let mut decoder = PngDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(explain)?;
    check(size(&decoder).into())?;
    match decoder.depth() {
        Some(BitDepth::Eight | BitDepth::Sixteen) => Ok(decoder),
        _ => Err(PictureError::Damaged("its samples are neither 8 nor 16 bits".into())),
    }
}

/// Width and height, 0 before the header is read.
fn size(decoder: &PngDecoder<ZCursor<&[u8]>>) -> (u32, u32) {
    decoder.dimensions().map_or((0, 0), |(w, h)| (w as u32, h as u32))
}

fn explain(e: PngDecodeErrors) -> PictureError {
    PictureError::Damaged(format!("{e:?}").lines().collect::<Vec<_>>().join(" "))
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
