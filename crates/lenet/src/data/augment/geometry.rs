//! Images moved: by copies of rows, or by one bilinear resampling.

use super::{Border, grow};

/// A mirror image, then a shift by whole pixels, down and right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub mirror: bool,
    pub rows: i64,
    pub cols: i64,
}

/// Bits of fraction of a coordinate.
const BITS: u32 = 32;

/// Bits of fraction of an interpolation: two factors and a byte fit in 32 bits.
const WEIGHT: u32 = 11;

/// From an output pixel to its place in the source: `x = x0 + xx · col + xy · row`, y alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Inverse {
    pub x0: f64,
    pub xx: f64,
    pub xy: f64,
    pub y0: f64,
    pub yx: f64,
    pub yy: f64,
}

impl Move {
    /// Mirror and shift, `[c, h, w]` to `[c, h, w]`.
    pub fn copy(&self, image: &[u8], [_, h, w]: [usize; 3], border: Border, out: &mut [u8]) {
        let plane = h * w;
        for (image, out) in image.chunks_exact(plane).zip(out.chunks_exact_mut(plane)) {
            for (row, out) in out.chunks_exact_mut(w).enumerate() {
                let from = row as i64 - self.rows;
                if border == Border::Zeros && !(0..h as i64).contains(&from) {
                    out.fill(0);
                } else {
                    let from = from.clamp(0, h as i64 - 1) as usize;
                    self.copy_row(&image[from * w..][..w], border, out);
                }
            }
        }
    }

    fn copy_row(&self, row: &[u8], border: Border, out: &mut [u8]) {
        let w = row.len();
        let by = self.cols.unsigned_abs().min(w as u64) as usize;
        // What stays within the image: `kept` columns, from `source` on in the (mirrored) row to `target` on.
        let (kept, source, target) = if self.cols >= 0 { (w - by, 0, by) } else { (w - by, by, 0) };
        let within = &mut out[target..target + kept];
        if self.mirror {
            let pixels = row[w - source - kept..w - source].iter().rev();
            within.iter_mut().zip(pixels).for_each(|(o, &p)| *o = p);
        } else {
            within.copy_from_slice(&row[source..source + kept]);
        }
        let (first, last) = if self.mirror { (row[w - 1], row[0]) } else { (row[0], row[w - 1]) };
        let value = |edge: u8| if border == Border::Edge { edge } else { 0 };
        out[..target].fill(value(first));
        out[target + kept..].fill(value(last));
    }

    /// Where output pixels come from if the image is mirrored, sheared, scaled, rotated and shifted, in this order.
    pub fn inverse(&self, angle: f64, size: f64, shear: f64, [_, h, w]: [usize; 3]) -> Inverse {
        let radians = std::f64::consts::PI / 180.0;
        let (sin, cos, tan) = (libm::sin(angle * radians), libm::cos(angle * radians), libm::tan(shear * radians));
        let side = if self.mirror { -1.0 } else { 1.0 };
        let (xx, xy) = (side * (cos + tan * sin) / size, side * (sin - tan * cos) / size);
        let (yx, yy) = (-sin / size, cos / size);
        let (cx, cy) = ((w as f64 - 1.0) / 2.0, (h as f64 - 1.0) / 2.0);
        let (dx, dy) = (cx + self.cols as f64, cy + self.rows as f64);
        Inverse { x0: cx - xx * dx - xy * dy, xx, xy, y0: cy - yx * dx - yy * dy, yx, yy }
    }

    /// Everything at once, by bilinear interpolation. Angles in degrees.
    #[allow(clippy::too_many_arguments)]
    pub fn resample(
        &self,
        angle: f64,
        size: f64,
        shear: f64,
        image: &[u8],
        shape: [usize; 3],
        border: Border,
        padded: &mut Vec<u8>,
        out: &mut [u8],
    ) {
        let [_, h, w] = shape;
        let (plane, stride) = (h * w, w + 3);
        let from = self.inverse(angle, size, shear, shape);
        grow(padded, (h + 3) * stride);
        for (image, out) in image.chunks_exact(plane).zip(out.chunks_exact_mut(plane)) {
            pad(image, w, border, padded);
            resample_plane(&from, &padded[..(h + 3) * stride], w, out);
        }
    }
}

/// A plane with one row and column of border before it and two behind.
fn pad(image: &[u8], w: usize, border: Border, padded: &mut [u8]) {
    let (h, stride) = (image.len() / w, w + 3);
    for (r, out) in padded.chunks_exact_mut(stride).take(h + 3).enumerate() {
        let row = &image[r.saturating_sub(1).min(h - 1) * w..][..w];
        if border == Border::Zeros && (r == 0 || r > h) {
            out.fill(0);
            continue;
        }
        out[1..=w].copy_from_slice(row);
        let value = |edge: u8| if border == Border::Edge { edge } else { 0 };
        out[0] = value(row[0]);
        out[w + 1..].fill(value(row[w - 1]));
    }
}

/// Coordinates are cut to where nothing but border lies, so that four pixels can always be read.
fn resample_plane(from: &Inverse, padded: &[u8], w: usize, out: &mut [u8]) {
    let (h, stride) = (out.len() / w, w + 3);
    let one = (1u64 << BITS) as f64;
    let fixed = |v: f64| (v * one).round() as i64;
    let (step_x, step_y) = (fixed(from.xx), fixed(from.yx));
    // Behind the padding: a coordinate of -1 is 0 there. Half a unit of the weights rounds what is cut off.
    let half = 1i64 << (BITS - WEIGHT - 1);
    let (end_x, end_y) = ((w as i64 + 1) << BITS, (h as i64 + 1) << BITS);
    for (row, out) in out.chunks_exact_mut(w).enumerate() {
        let mut x = fixed(from.x0 + from.xy * row as f64 + 1.0) + half;
        let mut y = fixed(from.y0 + from.yy * row as f64 + 1.0) + half;
        for o in out {
            let (px, py) = (x.clamp(0, end_x), y.clamp(0, end_y));
            let at = (py >> BITS) as usize * stride + (px >> BITS) as usize;
            let one = 1u32 << WEIGHT;
            let fraction = |v: i64| (v >> (BITS - WEIGHT)) as u32 & (one - 1);
            let (fx, fy) = (fraction(px), fraction(py));
            let pixels = &padded[at..at + stride + 2];
            let pixel = |i: usize| u32::from(pixels[i]);
            let upper = pixel(0) * (one - fx) + pixel(1) * fx;
            let lower = pixel(stride) * (one - fx) + pixel(stride + 1) * fx;
            *o = ((upper * (one - fy) + lower * fy + (1 << (2 * WEIGHT - 1))) >> (2 * WEIGHT)) as u8;
            x += step_x;
            y += step_y;
        }
    }
}
