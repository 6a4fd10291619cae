//! A picture of one's own, PNG, JPEG, WebP or BMP, as the bytes a network takes in.

use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageDecoder, ImageError, ImageReader, Limits, Luma, LumaA, Rgb, RgbImage, Rgba};
use std::io::Cursor;

/// Longest side of a picture, in pixels.
pub const MAX_SIDE: u32 = 16_384;

/// Most pixels of a picture.
pub const MAX_PIXELS: u64 = 1 << 26;

/// Most bytes a decoder may allocate: eight a pixel, as 16-bit colour with alpha takes.
const MAX_ALLOC: u64 = 8 * MAX_PIXELS;

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

/// Why a picture cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum PictureError {
    /// The bytes begin like no format that is read.
    #[error("this is no picture that can be read: PNG, JPEG, WebP and BMP can")]
    Format,
    /// The picture is larger than this program decodes.
    #[error(
        "the picture has {width}×{height} pixels: at most {MAX_SIDE} a side and {MAX_PIXELS} in all are read, make it smaller"
    )]
    TooLarge { width: u32, height: u32 },
    /// The picture needs more memory than this program gives a decoder.
    #[error("the picture needs more than {MAX_ALLOC} bytes to decode: make it smaller")]
    Memory,
    /// The decoder fails.
    #[error("the picture is damaged: {0}")]
    Damaged(String),
    /// The network takes no pictures.
    #[error("the network takes {0:?}: pictures have 1 channel (grey) or 3 (red, green, blue), and at least one pixel")]
    Shape([usize; 3]),
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
    let side = |n: usize| u32::try_from(n).ok().filter(|n| (1..=MAX_SIDE).contains(n));
    let (Some(h), Some(w), 1 | 3) = (side(h), side(w), c) else { return Err(PictureError::Shape(shape)) };
    let picture = decode(bytes)?;
    let original = (picture.width(), picture.height());
    let (mut pixels, inverted) = if c == 1 {
        let mut content = fit(&flatten_grey(picture), w, h);
        let inverted = invert == Invert::Always || invert == Invert::Auto && is_dark_on_light(&content);
        if inverted {
            imageops::invert(&mut content);
        }
        (center_grey(&content, w, h), inverted)
    } else {
        (center_colour(&fit(&flatten_colour(picture), w, h), w, h), false)
    };
    if c == 3 && invert == Invert::Always {
        pixels.iter_mut().for_each(|p| *p = 255 - *p);
        return Ok(Prepared { pixels, inverted: true, original });
    }
    Ok(Prepared { pixels, inverted, original })
}

/// Width, height and whether there is colour, from the picture's header alone.
///
/// # Errors
/// As [`prepare`], as far as the header tells.
pub fn look(bytes: &[u8]) -> Result<(u32, u32, bool), PictureError> {
    let decoder = open(bytes)?;
    let (width, height) = decoder.dimensions();
    Ok((width, height, decoder.color_type().has_color()))
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
    let (width, height) = decoder.dimensions();
    if width.max(height) > MAX_SIDE || u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PictureError::TooLarge { width, height });
    }
    if width == 0 || height == 0 {
        return Err(PictureError::Damaged("it has no pixel".into()));
    }
    Ok(decoder)
}

fn decode(bytes: &[u8]) -> Result<DynamicImage, PictureError> {
    let mut decoder = open(bytes)?;
    // An unreadable orientation is no reason to refuse the picture.
    let orientation = decoder.orientation().unwrap_or(image::metadata::Orientation::NoTransforms);
    let mut picture = DynamicImage::from_decoder(decoder).map_err(explain)?;
    picture.apply_orientation(orientation);
    Ok(picture)
}

fn explain(e: ImageError) -> PictureError {
    match e {
        ImageError::Limits(_) => PictureError::Memory,
        ImageError::Unsupported(_) => PictureError::Format,
        // Some decoders end theirs with a line break.
        other => PictureError::Damaged(other.to_string().replace(char::is_control, " ").trim_end().to_string()),
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

fn flatten_grey(picture: DynamicImage) -> GrayImage {
    if !picture.color().has_alpha() {
        return picture.into_luma8();
    }
    let picture = picture.into_luma_alpha8();
    let ground = ground(picture.pixels().map(|&LumaA([l, a])| (l, a)));
    GrayImage::from_fn(picture.width(), picture.height(), |x, y| {
        let LumaA([l, a]) = *picture.get_pixel(x, y);
        Luma([over(l, a, ground)])
    })
}

fn flatten_colour(picture: DynamicImage) -> RgbImage {
    if !picture.color().has_alpha() {
        return picture.into_rgb8();
    }
    let ground = ground(picture.to_luma_alpha8().pixels().map(|&LumaA([l, a])| (l, a)));
    let picture = picture.into_rgba8();
    RgbImage::from_fn(picture.width(), picture.height(), |x, y| {
        let Rgba([r, g, b, a]) = *picture.get_pixel(x, y);
        Rgb([r, g, b].map(|v| over(v, a, ground)))
    })
}

type Buffer<P> = image::ImageBuffer<P, Vec<u8>>;

/// Scales to the largest size within `w`×`h` that keeps the proportions.
fn fit<P: image::Pixel<Subpixel = u8> + 'static>(picture: &Buffer<P>, w: u32, h: u32) -> Buffer<P> {
    let (pw, ph) = (u64::from(picture.width()), u64::from(picture.height()));
    let (w, h) = (u64::from(w), u64::from(h));
    let rounded = |side: u64, to: u64, of: u64| ((2 * side * to + of) / (2 * of)).max(1);
    let (nw, nh) = if pw * h >= ph * w { (w, rounded(ph, w, pw).min(h)) } else { (rounded(pw, h, ph).min(w), h) };
    if (nw, nh) == (pw, ph) {
        return picture.clone();
    }
    imageops::resize(picture, nw as u32, nh as u32, FilterType::Triangle)
}

/// Means of the border and of what it surrounds. The border is a fourteenth of the shorter side: two of 28 pixels.
fn border_and_inside(picture: &GrayImage) -> (f64, f64) {
    let (w, h) = picture.dimensions();
    let ring = (w.min(h) / 14).max(1);
    let (mut border, mut inside) = ((0u64, 0u64), (0u64, 0u64));
    for (x, y, &Luma([value])) in picture.enumerate_pixels() {
        let is_border = x < ring || y < ring || x + ring >= w || y + ring >= h;
        let (sum, n) = if is_border { &mut border } else { &mut inside };
        *sum += u64::from(value);
        *n += 1;
    }
    let mean = |(sum, n): (u64, u64)| sum as f64 / n.max(1) as f64;
    (mean(border), mean(inside))
}

/// Right for all 10,000 test images of Fashion-MNIST as they are, and for all but 16 of their negatives.
fn is_dark_on_light(picture: &GrayImage) -> bool {
    let (border, inside) = border_and_inside(picture);
    border > 127.5 && border > inside
}

fn center_grey(content: &GrayImage, w: u32, h: u32) -> Vec<u8> {
    if content.dimensions() == (w, h) {
        return content.as_raw().clone();
    }
    let (border, _) = border_and_inside(content);
    let mut canvas = GrayImage::from_pixel(w, h, Luma([border.round() as u8]));
    let (x, y) = ((w - content.width()) / 2, (h - content.height()) / 2);
    imageops::replace(&mut canvas, content, x.into(), y.into());
    canvas.into_raw()
}

/// As [`center_grey`], one channel after the other.
fn center_colour(content: &RgbImage, w: u32, h: u32) -> Vec<u8> {
    let channel = |c: usize| {
        let plane = GrayImage::from_fn(content.width(), content.height(), |x, y| Luma([content.get_pixel(x, y)[c]]));
        center_grey(&plane, w, h)
    };
    (0..3).flat_map(channel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::ImageFormat;

    fn encode(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        picture.into().write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    /// A light disc on black, `size` pixels a side.
    fn disc(size: u32) -> GrayImage {
        let (middle, radius) = (size as f32 / 2.0, size as f32 / 3.0);
        GrayImage::from_fn(size, size, |x, y| {
            let (dx, dy) = (x as f32 + 0.5 - middle, y as f32 + 0.5 - middle);
            Luma([if dx.hypot(dy) < radius { 230 } else { 0 }])
        })
    }

    fn close(a: &[u8], b: &[u8], most: u8) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.abs_diff(*y) <= most)
    }

    #[test]
    fn the_right_size_keeps_its_bytes_in_every_lossless_format() {
        let picture = disc(28);
        for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::WebP] {
            let bytes = encode(DynamicImage::from(picture.clone()).to_rgb8(), format);
            let prepared = prepare(&bytes, [1, 28, 28], Invert::Auto).unwrap();
            assert_eq!((prepared.pixels, prepared.inverted), (picture.as_raw().clone(), false), "{format:?}");
        }
        let jpeg = prepare(&encode(picture.clone(), ImageFormat::Jpeg), [1, 28, 28], Invert::Auto).unwrap();
        assert!(close(&jpeg.pixels, picture.as_raw(), 60));
    }

    #[test]
    fn scaling_averages_what_a_pixel_covers() {
        let mut fine = GrayImage::new(280, 280);
        for (x, y, p) in fine.enumerate_pixels_mut() {
            *p = Luma([if (x + y) % 2 == 0 { 200 } else { 100 }]);
        }
        let prepared = prepare(&encode(fine, ImageFormat::Png), [1, 28, 28], Invert::Never).unwrap();
        assert!(prepared.pixels.iter().all(|p| p.abs_diff(150) <= 3), "{:?}", &prepared.pixels[..8]);
        assert_eq!(prepared.original, (280, 280));
    }

    #[test]
    fn proportions_are_kept_and_the_rest_is_the_border() {
        let mut wide = GrayImage::from_pixel(56, 28, Luma([40]));
        wide.put_pixel(28, 14, Luma([255]));
        let prepared = prepare(&encode(wide, ImageFormat::Png), [1, 28, 28], Invert::Never).unwrap();
        assert!(prepared.pixels[..28 * 7].iter().all(|&p| p == 40));
        let brightest = (0..28 * 28).max_by_key(|&i| prepared.pixels[i]).unwrap();
        assert!((13..=14).contains(&(brightest / 28)) && (13..=14).contains(&(brightest % 28)));
    }

    #[test]
    fn dark_on_light_is_inverted_if_asked_to_check() {
        let mut negative = disc(100);
        imageops::invert(&mut negative);
        let bytes = encode(negative, ImageFormat::Png);
        let prepared = |invert| prepare(&bytes, [1, 28, 28], invert).unwrap();
        let (auto, always, never) = (prepared(Invert::Auto), prepared(Invert::Always), prepared(Invert::Never));
        assert!(auto.inverted && always.inverted && !never.inverted);
        assert_eq!(auto.pixels, always.pixels);
        assert!(close(
            &auto.pixels,
            &prepare(&encode(disc(100), ImageFormat::Png), [1, 28, 28], Invert::Auto).unwrap().pixels,
            1
        ));
        assert!(never.pixels[0] == 255);
    }

    #[test]
    fn transparent_grounds_contrast_with_what_is_drawn() {
        for ink in [0u8, 255] {
            let drawing = image::RgbaImage::from_fn(28, 28, |x, _| {
                Rgba([ink, ink, ink, if (10..18).contains(&x) { 255 } else { 0 }])
            });
            let prepared = prepare(&encode(drawing, ImageFormat::Png), [1, 28, 28], Invert::Auto).unwrap();
            assert_eq!((prepared.pixels[0], prepared.pixels[14], prepared.inverted), (0, 255, ink == 0));
        }
    }

    #[test]
    fn colour_goes_channel_by_channel() {
        let picture = RgbImage::from_pixel(8, 8, Rgb([200, 100, 50]));
        let bytes = encode(picture, ImageFormat::Png);
        let colour = prepare(&bytes, [3, 8, 8], Invert::Auto).unwrap().pixels;
        assert_eq!((colour[0], colour[64], colour[128], colour.len()), (200, 100, 50, 192));
        // Rec. 709: 0.2126·200 + 0.7152·100 + 0.0722·50 = 117.65
        assert!(prepare(&bytes, [1, 8, 8], Invert::Never).unwrap().pixels[0].abs_diff(118) <= 1);
    }

    #[test]
    fn exif_orientation_is_applied() {
        let mut picture = RgbImage::new(16, 8);
        for (x, _, p) in picture.enumerate_pixels_mut() {
            *p = Rgb([if x < 8 { 250 } else { 5 }; 3]);
        }
        let jpeg = encode(picture, ImageFormat::Jpeg);
        // An APP1 segment: little-endian TIFF, one entry, orientation 6 (turn clockwise).
        let tiff = [&b"II*\0\x08\0\0\0\x01\0"[..], &[0x12, 1, 3, 0, 1, 0, 0, 0, 6, 0, 0, 0], &[0; 4]].concat();
        let body = [&b"Exif\0\0"[..], &tiff].concat();
        let length = (body.len() as u16 + 2).to_be_bytes();
        let turned = [&jpeg[..2], &[0xff, 0xe1], &length, &body, &jpeg[2..]].concat();
        let prepared = prepare(&turned, [1, 16, 8], Invert::Never).unwrap();
        assert_eq!(prepared.original, (8, 16));
        assert!(prepared.pixels[0] > 200 && prepared.pixels[16 * 8 - 1] < 50);
    }

    /// A PNG that claims to be huge; its data would be enough for nothing.
    fn claimed(width: u32, height: u32) -> Vec<u8> {
        let mut header = b"IHDR".to_vec();
        header.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
        header.extend([8, 0, 0, 0, 0]);
        let mut crc = flate2::Crc::new();
        crc.update(&header);
        [&b"\x89PNG\r\n\x1a\n\0\0\0\x0d"[..], &header, &crc.sum().to_be_bytes(), b"\0\0\0\x05IDAT\0\0\0\0\0\0\0\0\0"]
            .concat()
    }

    #[test]
    fn huge_pictures_are_refused_before_they_are_decoded() {
        let error = prepare(&claimed(100_000, 100_000), [1, 28, 28], Invert::Auto).unwrap_err();
        assert!(matches!(error, PictureError::TooLarge { width: 100_000, height: 100_000 }), "{error}");
        assert!(matches!(
            prepare(&claimed(16_384, 16_384), [1, 28, 28], Invert::Auto),
            Err(PictureError::TooLarge { .. })
        ));
    }

    #[test]
    fn what_is_no_picture_is_refused() {
        assert!(matches!(prepare(b"", [1, 28, 28], Invert::Auto), Err(PictureError::Format)));
        assert!(matches!(prepare(b"GIF89a..............", [1, 28, 28], Invert::Auto), Err(PictureError::Format)));
        let png = encode(disc(64), ImageFormat::Png);
        for end in 0..png.len() - 12 {
            assert!(prepare(&png[..end], [1, 28, 28], Invert::Auto).is_err(), "{end}");
        }
        assert!(matches!(prepare(&png, [2, 28, 28], Invert::Auto), Err(PictureError::Shape(_))));
        assert!(matches!(prepare(&png, [1, 0, 28], Invert::Auto), Err(PictureError::Shape(_))));
    }
}
