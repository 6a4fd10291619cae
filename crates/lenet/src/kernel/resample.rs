//! Bilinear resampling of a plane of bytes by an affine map.

use super::path::{Path, Program, dispatch};
use super::simd::Simd;

/// From an output pixel to its place in the source: `x = x0 + xx · col + xy · row`, `y = y0 + yx · col + yy · row`.
#[derive(Clone, Copy, Debug)]
pub struct Affine {
    /// Column of the source that output pixel (0, 0) comes from.
    pub x0: f64,
    /// Columns a column.
    pub xx: f64,
    /// Columns a row.
    pub xy: f64,
    /// Row of the source that output pixel (0, 0) comes from.
    pub y0: f64,
    /// Rows a column.
    pub yx: f64,
    /// Rows a row.
    pub yy: f64,
}

/// Bits of fraction of an interpolation: two factors and a byte fit in 31 bits.
const WEIGHT: u32 = 11;
const ONE: i32 = 1 << WEIGHT;

/// The longest side that coordinates can tell apart; what lies beyond it is not seen.
const LONGEST: usize = 1 << (30 - WEIGHT);

/// Pixels that are computed side by side.
const BLOCK: usize = 16;

/// `padded` is `[h + 3, w + 3]`, the source with one row and column of border before it and two behind; `out` is `[h, w]`.
///
/// Coordinates are cut to where nothing but border lies, so that four pixels can always be read.
pub fn resample(path: Path, from: &Affine, padded: &[u8], [h, w]: [usize; 2], out: &mut [u8]) {
    assert!(padded.len() < 1 << 31, "fewer than 2³¹ pixels a plane");
    assert!(h > 0 && w > 0 && padded.len() >= (h + 3) * (w + 3) && out.len() == h * w, "planes with their border");
    // SAFETY: the buffers were compared above.
    unsafe { dispatch(path, Resample { from, padded: padded.as_ptr(), h, w, out }) }
}

struct Resample<'a> {
    from: &'a Affine,
    padded: *const u8,
    h: usize,
    w: usize,
    out: &'a mut [u8],
}

impl Program for Resample<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Resample { from, padded, h, w, out } = self;
        let stride = w + 3;
        let (step_x, step_y) = (from.xx as f32, from.yx as f32);
        let (end_x, end_y) = ((w + 1).min(LONGEST) as f32, (h + 1).min(LONGEST) as f32);
        let (mut xs, mut ys, mut values) = ([0i32; BLOCK], [0i32; BLOCK], [0u8; BLOCK]);
        let (mut upper, mut lower) = ([0i32; BLOCK], [0i32; BLOCK]);
        for row in 0..h {
            let x0 = (from.x0 + from.xy * row as f64 + 1.0) as f32;
            let y0 = (from.y0 + from.yy * row as f64 + 1.0) as f32;
            for first in (0..w).step_by(BLOCK) {
                for i in 0..BLOCK {
                    let col = (first + i) as i32 as f32;
                    // SAFETY: the ends are at most `LONGEST`.
                    unsafe {
                        xs[i] = fixed(x0 + step_x * col, end_x);
                        ys[i] = fixed(y0 + step_y * col, end_y);
                    }
                }
                for i in 0..BLOCK {
                    // SAFETY: rows are at most h + 1 and columns w + 1, of h + 3 and w + 3, which are below 2³¹ pixels.
                    unsafe {
                        let at = ((ys[i] >> WEIGHT) * stride as i32 + (xs[i] >> WEIGHT)) as usize;
                        // Two neighbours in one load.
                        upper[i] = i32::from(u16::from_le(padded.add(at).cast::<u16>().read_unaligned()));
                        lower[i] = i32::from(u16::from_le(padded.add(at + stride).cast::<u16>().read_unaligned()));
                    }
                }
                for i in 0..BLOCK {
                    let (fx, fy) = (xs[i] & (ONE - 1), ys[i] & (ONE - 1));
                    let (a, b) = (upper[i] & 255, upper[i] >> 8);
                    let (c, d) = (lower[i] & 255, lower[i] >> 8);
                    let upper = (a << WEIGHT) + (b - a) * fx;
                    let lower = (c << WEIGHT) + (d - c) * fx;
                    let sum = (upper << WEIGHT) + (lower - upper) * fy;
                    values[i] = ((sum + (1 << (2 * WEIGHT - 1))) >> (2 * WEIGHT)) as u8;
                }
                let n = BLOCK.min(w - first);
                out[row * w + first..][..n].copy_from_slice(&values[..n]);
            }
        }
    }
}

/// A coordinate within `0..=end` in units of the weights, rounded. What is no number becomes 0.
///
/// # Safety
/// `end` is at most [`LONGEST`].
#[inline(always)]
unsafe fn fixed(v: f32, end: f32) -> i32 {
    let v = if v > 0.0 { v } else { 0.0 };
    let v = if v < end { v } else { end };
    // SAFETY: from 0 to 2³⁰. A cast that saturates would be done one number at a time.
    unsafe { (v * ONE as f32 + 0.5).to_int_unchecked() }
}
