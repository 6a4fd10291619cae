//! Samples into lanes, and lanes back into rows.

use super::path::{Path, Program, dispatch};
use super::simd::{CHUNK, Simd};
use crate::kernel::plan::frame::Frame;

/// Input values, `[n, c, h, w]`.
#[derive(Clone, Copy, Debug)]
pub enum Pixels<'a> {
    /// Bytes, with the value of every byte, one table a channel.
    Bytes {
        /// `[n, c, h, w]`
        data: &'a [u8],
        /// One table a channel.
        tables: &'a [[f32; 256]],
    },
    /// Values as they are.
    Floats(&'a [f32]),
}

/// Writes up to 16 samples into the lanes of an input frame; lanes without a sample become 0.
pub fn load_chunk(path: Path, pixels: &Pixels, indices: &[u32], x: &Frame, out: &mut [f32]) {
    let (plane, row_len) = (x.rows * x.cols, x.cols);
    let sample = x.channels * plane;
    match pixels {
        Pixels::Bytes { data, tables } => {
            let none: &[u8] = &[];
            let rows: [&[u8]; CHUNK] = std::array::from_fn(|lane| {
                indices.get(lane).map_or(none, |&i| &data[i as usize * sample..(i as usize + 1) * sample])
            });
            for c in 0..x.channels {
                let table = &tables[c];
                if indices.len() == CHUNK && is_unit(table) {
                    let planes: [&[u8]; CHUNK] = std::array::from_fn(|lane| &rows[lane][c * plane..][..plane]);
                    assert!(out.len() >= x.len(), "a whole frame");
                    // SAFETY: every plane has all pixels of the frame's channel, and the frame lies within `out`.
                    unsafe { dispatch(path, LoadUnit { planes, x, channel: c, out: out.as_mut_ptr() }) };
                    continue;
                }
                for r in 0..x.rows {
                    let from = c * plane + r * row_len;
                    let out = &mut out[x.at(c, r, 0)..][..row_len * CHUNK];
                    if indices.len() == CHUNK {
                        let rows: [&[u8]; CHUNK] = std::array::from_fn(|lane| &rows[lane][from..from + row_len]);
                        for (col, values) in out.as_chunks_mut::<CHUNK>().0.iter_mut().enumerate() {
                            for lane in 0..CHUNK {
                                values[lane] = table[rows[lane][col] as usize];
                            }
                        }
                    } else {
                        for (col, values) in out.as_chunks_mut::<CHUNK>().0.iter_mut().enumerate() {
                            for lane in 0..CHUNK {
                                values[lane] = rows[lane].get(from + col).map_or(0.0, |&b| table[b as usize]);
                            }
                        }
                    }
                }
            }
        }
        Pixels::Floats(data) => {
            for c in 0..x.channels {
                for r in 0..x.rows {
                    let from = c * plane + r * row_len;
                    let out = &mut out[x.at(c, r, 0)..][..row_len * CHUNK];
                    for (col, values) in out.as_chunks_mut::<CHUNK>().0.iter_mut().enumerate() {
                        for lane in 0..CHUNK {
                            values[lane] = indices.get(lane).map_or(0.0, |&i| data[i as usize * sample + from + col]);
                        }
                    }
                }
            }
        }
    }
}

/// 1 / 255 in two floats, whose sum is nearer than one could be.
const SHARE: [f32; 2] = [1.0 / 255.0, (1.0 / 255.0 - (1.0f32 / 255.0) as f64) as f32];

/// Whether a table is that of `byte / 255`, and [`LoadUnit`] computes each of its values exactly.
fn is_unit(table: &[f32; 256]) -> bool {
    const UNIT: [f32; 256] = {
        let mut unit = [0.0; 256];
        let mut b = 0;
        while b < 256 {
            unit[b] = b as f32 / 255.0;
            b += 1;
        }
        unit
    };
    *table == UNIT
}

/// Samples into lanes by arithmetic, where that gives the table's values: transposing bytes is quicker than looking up.
struct LoadUnit<'a> {
    planes: [&'a [u8]; CHUNK],
    x: &'a Frame,
    channel: usize,
    out: *mut f32,
}

impl Program for LoadUnit<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (pixels, cols) = (self.planes[0].len(), self.x.cols);
        let (mut row, mut col) = (0, 0);
        let mut block = [[0u8; CHUNK]; CHUNK];
        for first in (0..pixels).step_by(CHUNK) {
            let n = CHUNK.min(pixels - first);
            transpose_bytes(&self.planes, first, n, &mut block);
            for pixel in &block[..n] {
                // SAFETY: row and column stay within the frame's channel; a pixel has 16 bytes.
                unsafe {
                    let to = self.out.add(self.x.at(self.channel, row, col));
                    for lane in (0..CHUNK).step_by(S::LANES) {
                        let b = S::from_bytes(pixel.as_ptr().add(lane));
                        let v = S::fma(b, S::splat(SHARE[0]), S::mul(b, S::splat(SHARE[1])));
                        S::store(to.add(lane), v);
                    }
                }
                col += 1;
                if col == cols {
                    (row, col) = (row + 1, 0);
                }
            }
        }
    }
}

/// Pixels `first..first + n` of 16 samples, by pixel.
#[inline(always)]
fn transpose_bytes(planes: &[&[u8]; CHUNK], first: usize, n: usize, block: &mut [[u8; CHUNK]; CHUNK]) {
    #[cfg(target_arch = "x86_64")]
    if n == CHUNK {
        use std::arch::x86_64::*;
        // SAFETY: SSE2 is part of x86-64; each load takes 16 bytes that slicing has checked, each store fills a row.
        unsafe {
            let mut a = [_mm_setzero_si128(); CHUNK];
            for lane in 0..CHUNK {
                a[lane] = _mm_loadu_si128(planes[lane][first..first + CHUNK].as_ptr().cast());
            }
            // Four rounds of interleaving halves are a transposition.
            for _ in 0..4 {
                let b = a;
                for i in 0..8 {
                    a[2 * i] = _mm_unpacklo_epi8(b[i], b[i + 8]);
                    a[2 * i + 1] = _mm_unpackhi_epi8(b[i], b[i + 8]);
                }
            }
            for i in 0..CHUNK {
                _mm_storeu_si128(block[i].as_mut_ptr().cast(), a[i]);
            }
        }
        return;
    }
    for (lane, plane) in planes.iter().enumerate() {
        for (i, &b) in plane[first..first + n].iter().enumerate() {
            block[i][lane] = b;
        }
    }
}

/// Writes one sample into a single sample's input frame.
pub fn load_single(pixels: &Pixels, index: u32, x: &Frame, out: &mut [f32]) {
    let sample = x.channels * x.rows * x.cols;
    let first = index as usize * sample;
    for c in 0..x.channels {
        for r in 0..x.rows {
            let from = first + (c * x.rows + r) * x.cols;
            let out = &mut out[x.at(c, r, 0)..][..x.cols];
            match pixels {
                Pixels::Bytes { data, tables } => {
                    let table = &tables[c];
                    out.iter_mut().zip(&data[from..from + x.cols]).for_each(|(o, &b)| *o = table[b as usize]);
                }
                Pixels::Floats(data) => out.copy_from_slice(&data[from..from + x.cols]),
            }
        }
    }
}

/// `[features][16]` to 16 rows of `stride` floats; what lies behind the features is left alone.
pub fn lanes_to_rows(path: Path, lanes: &[f32], stride: usize, rows: &mut [f32]) {
    let features = lanes.len() / CHUNK;
    assert!(stride >= features && rows.len() >= CHUNK * stride, "16 rows of all features");
    // SAFETY: the buffers were compared above.
    unsafe { dispatch(path, Transpose { lanes: lanes.as_ptr(), features, stride, rows: rows.as_mut_ptr() }) }
}

struct Transpose {
    lanes: *const f32,
    features: usize,
    stride: usize,
    rows: *mut f32,
}

impl Program for Transpose {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let whole = self.features / 8 * 8;
        // SAFETY: blocks of 8 whole features, then the features that are left, all within both buffers.
        unsafe {
            for f in (0..whole).step_by(8) {
                for lane in [0, 8] {
                    let to = self.rows.add(lane * self.stride + f);
                    S::transpose_8(self.lanes.add(f * CHUNK + lane), to, self.stride);
                }
            }
            for f in whole..self.features {
                for lane in 0..CHUNK {
                    *self.rows.add(lane * self.stride + f) = *self.lanes.add(f * CHUNK + lane);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_holds_its_samples_in_its_lanes() {
        let x = Frame::chunk([2, 3, 5]).with_border(1, 2);
        let tables: Vec<[f32; 256]> = (0..2).map(|c| std::array::from_fn(|b| (b + 1000 * c) as f32)).collect();
        let data: Vec<u8> = (0..40 * 30).map(|i| (i * 7 % 251) as u8).collect();
        let floats: Vec<f32> = data.iter().enumerate().map(|(i, &b)| tables[i % 30 / 15][b as usize]).collect();
        for n in [1, 15, 16] {
            let indices: Vec<u32> = (0..n).map(|i| (i * 13 % 40) as u32).collect();
            for pixels in [Pixels::Bytes { data: &data, tables: &tables }, Pixels::Floats(&floats)] {
                let mut out = vec![7.0; x.len()];
                load_chunk(Path::PORTABLE, &pixels, &indices, &x, &mut out);
                for lane in 0..CHUNK {
                    for (c, r, col) in (0..30).map(|i| (i / 15, i % 15 / 5, i % 5)) {
                        let want = indices.get(lane).map_or(0.0, |&i| floats[i as usize * 30 + c * 15 + r * 5 + col]);
                        assert_eq!(out[x.at(c, r, col) + lane], want);
                    }
                }
                assert_eq!(out[0], 7.0, "the border is not touched");
            }
        }
    }

    #[test]
    fn bytes_become_the_tables_values_on_every_path() {
        let tables = crate::spec::Normalization::unit(1).tables();
        for [rows, cols] in [[28, 28], [16, 16], [3, 7], [1, 1]] {
            let x = Frame::chunk([1, rows, cols]).with_border(2, 1);
            let sample = rows * cols;
            let data: Vec<u8> = (0..20 * sample).map(|i| (i * 97 % 256) as u8).collect();
            let indices: Vec<u32> = (0..CHUNK as u32).map(|i| (i * 7) % 20).collect();
            for path in Path::available() {
                let mut out = vec![0.0; x.len()];
                load_chunk(path, &Pixels::Bytes { data: &data, tables: &tables }, &indices, &x, &mut out);
                for (lane, &i) in indices.iter().enumerate() {
                    for p in 0..sample {
                        let want = f32::from(data[i as usize * sample + p]) / 255.0;
                        assert_eq!(out[x.at(0, p / cols, p % cols) + lane].to_bits(), want.to_bits(), "{path}");
                    }
                }
            }
        }
        // Every byte.
        let data: Vec<u8> = (0..=255).collect();
        let indices: Vec<u32> = (0..CHUNK as u32).collect();
        for path in Path::available() {
            let x = Frame::chunk([1, 4, 4]);
            let mut out = vec![0.0; x.len()];
            load_chunk(path, &Pixels::Bytes { data: &data, tables: &tables }, &indices, &x, &mut out);
            for (i, &b) in data.iter().enumerate() {
                assert_eq!(out[(i % 16) * CHUNK + i / 16].to_bits(), tables[0][b as usize].to_bits(), "{path} {b}");
            }
        }
    }

    #[test]
    fn rows_are_the_lanes_transposed() {
        for features in [1, 10, 16, 37] {
            let lanes: Vec<f32> = (0..features * CHUNK).map(|i| i as f32).collect();
            let stride = features + 3;
            for path in Path::available() {
                let mut rows = vec![-1.0; CHUNK * stride];
                lanes_to_rows(path, &lanes, stride, &mut rows);
                for lane in 0..CHUNK {
                    for f in 0..features {
                        assert_eq!(rows[lane * stride + f], lanes[f * CHUNK + lane]);
                    }
                    assert_eq!(rows[lane * stride + features], -1.0);
                }
            }
        }
    }
}
