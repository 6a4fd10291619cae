use super::*;
use image::imageops::{self, FilterType};
use image::{DynamicImage, GrayImage, ImageFormat, Luma, Rgb, RgbImage, Rgba};
use std::io::Cursor;

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
    let error = only_png::decode(&claimed(100_000, 100_000), true).unwrap_err();
    assert!(matches!(error, PictureError::TooLarge { width: 100_000, height: 100_000 }), "{error}");
    // Within the limits, with data for nothing: refused whatever it claims.
    assert!(only_png::decode(&claimed(8000, 8000), true).is_err());
    assert!(matches!(prepare(&claimed(16_384, 16_384), [1, 28, 28], Invert::Auto), Err(PictureError::TooLarge { .. })));
}

#[test]
fn what_is_no_picture_is_refused() {
    assert!(matches!(prepare(b"", [1, 28, 28], Invert::Auto), Err(PictureError::Format)));
    assert!(matches!(prepare(b"GIF89a..............", [1, 28, 28], Invert::Auto), Err(PictureError::Format)));
    let png = encode(disc(64), ImageFormat::Png);
    for end in 0..png.len() - 12 {
        assert!(prepare(&png[..end], [1, 28, 28], Invert::Auto).is_err(), "{end}");
        assert!(only_png::decode(&png[..end], true).is_err(), "{end}");
    }
    assert!(matches!(prepare(&png, [2, 28, 28], Invert::Auto), Err(PictureError::Shape(_))));
    assert!(matches!(prepare(&png, [1, 0, 28], Invert::Auto), Err(PictureError::Shape(_))));
}

/// A picture of noise, smooth enough that neighbours are alike.
fn noise(w: u32, h: u32) -> image::RgbaImage {
    let value = |x: u32, y: u32, c: u32| ((x * 31 + y * 17 * (c + 1) + (x * y * (c + 3)) % 97) % 256) as u8;
    image::RgbaImage::from_fn(w, h, |x, y| Rgba([0, 1, 2, 3].map(|c| value(x, y, c))))
}

#[test]
fn scaling_gives_what_another_program_gives() {
    for ([w, h], [nw, nh]) in [([100, 40], [28, 11]), ([28, 28], [28, 27]), ([5, 3], [28, 17]), ([300, 1], [28, 1])] {
        let picture = DynamicImage::from(noise(w, h)).to_rgb8();
        let theirs = imageops::resize(&picture, nw, nh, FilterType::Triangle);
        let ours = Raster { width: w as usize, height: h as usize, channels: 3, samples: picture.into_raw() };
        let ours = resize::resize(&ours, nw as usize, nh as usize);
        assert_eq!(ours.samples, theirs.into_raw(), "{w}×{h} to {nw}×{nh}");
    }
}

#[test]
fn every_kind_of_png_is_read_as_another_program_reads_it() {
    let picture = DynamicImage::from(noise(33, 20));
    let kinds = [
        DynamicImage::from(picture.to_luma8()),
        picture.to_luma_alpha8().into(),
        picture.to_rgb8().into(),
        picture.to_rgba8().into(),
        picture.to_luma16().into(),
        picture.to_luma_alpha16().into(),
        picture.to_rgb16().into(),
        picture.to_rgba16().into(),
    ];
    for kind in kinds {
        let bytes = encode(kind.clone(), ImageFormat::Png);
        let read = image::load_from_memory(&bytes).unwrap();
        let (grey, colour) = (only_png::decode(&bytes, true).unwrap(), only_png::decode(&bytes, false).unwrap());
        let theirs = match kind.color().has_alpha() {
            true => [read.to_luma_alpha8().into_raw(), read.to_rgba8().into_raw()],
            false => [read.to_luma8().into_raw(), read.to_rgb8().into_raw()],
        };
        // They compute luma in f32, and from 16 bits where there are.
        assert!(close(&grey.samples, &theirs[0], 1), "{:?}", kind.color());
        assert!(close(&colour.samples, &theirs[1], u8::from(kind.color().bytes_per_pixel() > 4)), "{:?}", kind.color());
        assert_eq!(only_png::look(&bytes).unwrap(), (33, 20, kind.color().has_color()));
    }
}

/// A PNG of so many colours or greys a byte, which `image` does not write.
fn packed(depth: png::BitDepth, palette: Option<(Vec<u8>, Vec<u8>)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 16, 16);
    encoder.set_depth(depth);
    encoder.set_color(if palette.is_some() { png::ColorType::Indexed } else { png::ColorType::Grayscale });
    if let Some((colours, alpha)) = palette {
        encoder.set_palette(colours);
        encoder.set_trns(alpha);
    }
    let row = 16 * depth as usize / 8;
    let data: Vec<u8> = (0..16 * row).map(|i| (i * 37 % 256) as u8).collect();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&data).unwrap();
    writer.finish().unwrap();
    bytes
}

#[test]
fn packed_and_indexed_pngs_are_read_as_another_program_reads_them() {
    use png::BitDepth::{Four, One, Two};
    let palette = || {
        let colours = (0..16u8).flat_map(|i| [i * 16, 255 - i * 16, i * 7]).collect();
        Some((colours, (0..16u8).map(|i| i * 17).collect()))
    };
    for bytes in [packed(One, None), packed(Two, None), packed(Four, None), packed(Four, palette())] {
        let read = image::load_from_memory(&bytes).unwrap();
        let ours = only_png::decode(&bytes, false).unwrap();
        let theirs = if ours.channels == 4 { read.to_rgba8().into_raw() } else { read.to_rgb8().into_raw() };
        assert_eq!(ours.samples, theirs);
    }
}

#[test]
fn every_orientation_turns_as_another_program_turns() {
    let picture = DynamicImage::from(noise(7, 4)).to_rgb8();
    for orientation in 1..=8u8 {
        let mut png = encode(picture.clone(), ImageFormat::Png);
        // An eXIf chunk behind the header: little-endian TIFF, one entry.
        let tiff =
            [&b"II*\0\x08\0\0\0\x01\0"[..], &[0x12, 1, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0], &[0; 4]].concat();
        let content = [&b"eXIf"[..], &tiff].concat();
        let mut crc = flate2::Crc::new();
        crc.update(&content);
        let chunk = [&(tiff.len() as u32).to_be_bytes()[..], &content, &crc.sum().to_be_bytes()].concat();
        png.splice(33..33, chunk);
        let mut theirs = DynamicImage::from(picture.clone());
        theirs.apply_orientation(image::metadata::Orientation::from_exif(orientation).unwrap());
        let ours = only_png::decode(&png, false).unwrap();
        assert_eq!((ours.width, ours.samples), (theirs.width() as usize, theirs.to_rgb8().into_raw()), "{orientation}");
    }
}
