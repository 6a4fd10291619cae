//! Images moved: by copies of rows, or by one bilinear resampling.

use crate::kernel::Path;
use crate::kernel::resample::{Affine, resample};
use crate::spec::Border;

/// A mirror image, then a shift by whole pixels, down and right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub mirror: bool,
    pub rows: i64,
    pub cols: i64,
    pub border: Border,
}

impl Move {
    /// Mirror and shift, `[c, h, w]` to `[c, h, w]`.
    pub fn copy(&self, image: &[u8], [_, h, w]: [usize; 3], out: &mut [u8]) {
        let plane = h * w;
        for (image, out) in image.chunks_exact(plane).zip(out.chunks_exact_mut(plane)) {
            for (row, out) in out.chunks_exact_mut(w).enumerate() {
                let from = row as i64 - self.rows;
                if self.border == Border::Zeros && !(0..h as i64).contains(&from) {
                    out.fill(0);
                } else {
                    let from = from.clamp(0, h as i64 - 1) as usize;
                    self.copy_row(&image[from * w..][..w], out);
                }
            }
        }
    }

    fn copy_row(&self, row: &[u8], out: &mut [u8]) {
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
        let value = |edge: u8| if self.border == Border::Edge { edge } else { 0 };
        out[..target].fill(value(first));
        out[target + kept..].fill(value(last));
    }

    /// Where output pixels come from if the image is mirrored, sheared, scaled, rotated and shifted, in this order.
    fn inverse(&self, [angle, size, shear]: [f64; 3], [_, h, w]: [usize; 3]) -> Affine {
        let radians = std::f64::consts::PI / 180.0;
        let (sin, cos, tan) = (libm::sin(angle * radians), libm::cos(angle * radians), libm::tan(shear * radians));
        let side = if self.mirror { -1.0 } else { 1.0 };
        let (xx, xy) = (side * (cos + tan * sin) / size, side * (sin - tan * cos) / size);
        let (yx, yy) = (-sin / size, cos / size);
        let (cx, cy) = ((w as f64 - 1.0) / 2.0, (h as f64 - 1.0) / 2.0);
        let (dx, dy) = (cx + self.cols as f64, cy + self.rows as f64);
        Affine { x0: cx - xx * dx - xy * dy, xx, xy, y0: cy - yx * dx - yy * dy, yx, yy }
    }

    /// Everything at once, by bilinear interpolation. Angles in degrees.
    pub fn resample(
        &self,
        path: Path,
        [angle, size, shear]: [f64; 3],
        image: &[u8],
        shape: [usize; 3],
        padded: &mut Vec<u8>,
        out: &mut [u8],
    ) {
        let [_, h, w] = shape;
        let (plane, stride) = (h * w, w + 3);
        let from = self.inverse([angle, size, shear], shape);
        grow(padded, (h + 3) * stride);
        for (image, out) in image.chunks_exact(plane).zip(out.chunks_exact_mut(plane)) {
            pad(image, w, self.border, padded);
            resample(path, &from, padded, [h, w], out);
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

/// Makes a buffer at least so long.
pub(super) fn grow(buffer: &mut Vec<u8>, len: usize) {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
}
