//! A scene as PNG.

use super::DrawError;
use super::scene::{Anchor, Item, Rgb, Scene, Towards, extent, glyph, text_width};
use image::{ImageFormat, RgbImage};
use std::io::Cursor;

/// Pixels a unit.
const DENSITY: f64 = 2.0;

/// Most pixels of a picture.
const LIMIT: u64 = 1 << 26;

/// The bytes of a PNG file of these pixels.
pub(crate) fn encode(columns: usize, pixels: &[Rgb]) -> Result<Vec<u8>, DrawError> {
    let rows = pixels.len() / columns.max(1);
    let image = RgbImage::from_raw(columns as u32, rows as u32, pixels.concat());
    write(&image.ok_or_else(|| DrawError::Encode("pixels that are no rectangle".into()))?)
}

fn write(image: &RgbImage) -> Result<Vec<u8>, DrawError> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png).map_err(|e| DrawError::Encode(e.to_string()))?;
    Ok(bytes.into_inner())
}

impl Scene {
    /// The picture as the bytes of a PNG file, two pixels a unit.
    ///
    /// # Errors
    /// A picture of more than 2²⁶ pixels.
    pub fn to_png(&self) -> Result<Vec<u8>, DrawError> {
        let [width, height] = [self.width, self.height].map(|side| (side * DENSITY).ceil().max(1.0) as u64);
        if width.saturating_mul(height) > LIMIT {
            return Err(DrawError::TooLarge { width, height });
        }
        let mut canvas = Canvas(RgbImage::from_pixel(width as u32, height as u32, image::Rgb([255; 3])));
        self.items.iter().for_each(|item| canvas.draw(item));
        write(&canvas.0)
    }
}

struct Canvas(RgbImage);

impl Canvas {
    /// Lays a colour over a pixel, if there is one.
    fn blend(&mut self, x: i64, y: i64, colour: Rgb, alpha: f64) {
        if let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y))
            && let Some(pixel) = self.0.get_pixel_mut_checked(x, y)
        {
            for (p, c) in pixel.0.iter_mut().zip(colour) {
                *p = (f64::from(*p) * (1.0 - alpha) + f64::from(c) * alpha).round() as u8;
            }
        }
    }

    /// The pixels of an area in units, with their places in it, each 0 to 1.
    fn area(&self, [x, y, w, h]: [f64; 4]) -> impl Iterator<Item = (i64, i64, f64, f64)> + use<> {
        let ends = |start: f64, len: f64, most: u32| {
            let (from, to) = ((start * DENSITY).round(), ((start + len) * DENSITY).round());
            (from.max(0.0) as i64, to.min(f64::from(most)) as i64, from, (to - from).max(1.0))
        };
        let (left, right, x0, width) = ends(x, w, self.0.width());
        let (top, bottom, y0, height) = ends(y, h, self.0.height());
        (top..bottom).flat_map(move |py| {
            let v = (py as f64 + 0.5 - y0) / height;
            (left..right).map(move |px| (px, py, (px as f64 + 0.5 - x0) / width, v))
        })
    }

    fn fill(&mut self, area: [f64; 4], colour: Rgb) {
        self.area(area).for_each(|(x, y, _, _)| self.blend(x, y, colour, 1.0));
    }

    fn draw(&mut self, item: &Item) {
        match item {
            Item::Rect { area: [x, y, w, h], fill, stroke } => {
                fill.iter().for_each(|&c| self.fill([*x, *y, *w, *h], c));
                let corners = [[*x, *y], [x + w, *y], [x + w, y + h], [*x, y + h], [*x, *y]];
                stroke.iter().for_each(|&c| self.line(&corners, c, 1.0));
            }
            Item::Line { points, colour, width } => self.line(points, *colour, *width),
            Item::Head { tip: [x, y], towards, colour } => {
                // Slices of a triangle, one pixel thick.
                for i in 0..(5.0 * DENSITY) as i32 {
                    let (away, half) = (f64::from(i) / DENSITY, 0.6 * f64::from(i + 1) / DENSITY);
                    let slice = match towards {
                        Towards::Down => [x - half, y - away - 0.5, 2.0 * half, 0.5],
                        Towards::Left => [x + away, y - half, 0.5, 2.0 * half],
                    };
                    self.fill(slice, *colour);
                }
            }
            Item::Text { at, size, anchor, colour, text } => self.text(*at, *size, *anchor, *colour, text),
            Item::Bitmap { area, columns, pixels } => {
                let rows = pixels.len() / (*columns).max(1);
                for (x, y, u, v) in self.area(*area) {
                    let (column, row) = ((u * *columns as f64) as usize, (v * rows as f64) as usize);
                    if let Some(&colour) = pixels.get(row * columns + column) {
                        self.blend(x, y, colour, 1.0);
                    }
                }
            }
        }
    }

    /// Lines are horizontal and vertical alone.
    fn line(&mut self, points: &[[f64; 2]], colour: Rgb, width: f64) {
        for pair in points.windows(2) {
            let ([ax, ay], [bx, by]) = (pair[0], pair[1]);
            let (left, top) = (ax.min(bx) - width / 2.0, ay.min(by) - width / 2.0);
            self.fill([left, top, (ax - bx).abs() + width, (ay - by).abs() + width], colour);
        }
    }

    /// The 8×8 glyphs, smoothed: a pixel is as covered as the linear interpolation of the dots around it is above a half.
    fn text(&mut self, [x, y]: [f64; 2], size: f64, anchor: Anchor, colour: Rgb, text: &str) {
        let width = text_width(text, size);
        let mut left = match anchor {
            Anchor::Start => x,
            Anchor::Middle => x - width / 2.0,
            Anchor::End => x - width,
        };
        let unit = size / 8.0;
        for character in text.chars() {
            let (rows, (first, used)) = (glyph(character), extent(character));
            let dot = |column: f64, row: f64| -> f64 {
                let (column, row) = (column + first as f64, row);
                let inside = (0.0..8.0).contains(&column) && (0.0..8.0).contains(&row);
                if inside { f64::from(rows[row as usize] >> column as u32 & 1) } else { 0.0 }
            };
            // Room for what smoothing leaves beside the dots.
            let (columns, margin) = (used as f64 + 2.0, 1.0);
            let area = [left - margin * unit, y - (7.0 + margin) * unit, columns * unit, 10.0 * unit];
            for (px, py, u, v) in self.area(area) {
                let (gx, gy) = (u * columns - margin - 0.5, v * 10.0 - margin - 0.5);
                let (c, r) = (gx.floor(), gy.floor());
                let (s, t) = (gx - c, gy - r);
                let upper = dot(c, r) * (1.0 - s) + dot(c + 1.0, r) * s;
                let lower = dot(c, r + 1.0) * (1.0 - s) + dot(c + 1.0, r + 1.0) * s;
                let covered = ((upper * (1.0 - t) + lower * t - 0.5) * 2.2 + 0.5).clamp(0.0, 1.0);
                self.blend(px, py, colour, covered);
            }
            left += (used + 1) as f64 * unit;
        }
    }
}
