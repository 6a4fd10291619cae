//! Samples into lanes, and lanes back into rows.

use super::contract::Frame;
use super::path::{Path, Program, dispatch};
use super::simd::{CHUNK, Simd};
use crate::engine::Pixels;

/// Writes up to 16 samples into the lanes of an input frame; lanes without a sample become 0.
pub fn load_chunk(pixels: &Pixels, indices: &[u32], x: &Frame, out: &mut [f32]) {
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
                load_chunk(&pixels, &indices, &x, &mut out);
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
