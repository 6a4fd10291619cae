//! Dropout: each value is 0 with a probability, the others are scaled up.
//!
//! Whether a value is dropped is a function of its sample's key and its position alone, so that backward asks anew
//! instead of keeping a mask, and nothing depends on which thread or batch a sample is in.

use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::{CHUNK, Simd};

/// 32 well-mixed bits of a number: two rounds of xor-shift and multiplication.
#[inline(always)]
fn mixed(x: u32) -> u32 {
    let x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    let x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Whether a sample with this key loses the value at a position, with a probability of `rate`.
#[inline(always)]
fn is_dropped(key: u32, position: u32, rate: f32) -> bool {
    // 24 bits are a float exactly.
    ((mixed(key ^ mixed(position)) >> 8) as f32) < rate * 16_777_216.0
}

/// What a layer adds to the keys of its samples: a hash of its name, so that dropouts differ from each other.
pub fn layer_key(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

/// `to = from · mask / (1 - rate)` for a chunk whose samples have these keys. Forward and backward alike.
pub fn apply(
    path: Path,
    rate: f32,
    keys: &[u32; CHUNK],
    [from_frame, to_frame]: [&Frame; 2],
    from: &[f32],
    to: &mut [f32],
) {
    let mut position = 0u32;
    for c in 0..from_frame.channels {
        for row in 0..from_frame.rows {
            let len = from_frame.cols * CHUNK;
            let from = &from[from_frame.at(c, row, 0)..][..len];
            let to = &mut to[to_frame.at(c, row, 0)..][..len];
            // SAFETY: works on slices.
            unsafe { dispatch(path, Row { rate, keys, first: position, from, to }) };
            position += from_frame.cols as u32;
        }
    }
}

struct Row<'a> {
    rate: f32,
    keys: &'a [u32; CHUNK],
    first: u32,
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Program for Row<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let scale = 1.0 / (1.0 - self.rate);
        let (from, to) = (self.from.as_chunks::<CHUNK>().0, self.to.as_chunks_mut::<CHUNK>().0);
        for (i, (from, to)) in from.iter().zip(to).enumerate() {
            let position = self.first.wrapping_add(i as u32);
            for lane in 0..CHUNK {
                to[lane] = if is_dropped(self.keys[lane], position, self.rate) { 0.0 } else { from[lane] * scale };
            }
        }
    }
}

/// The naive reference: the factor of each value of a sample, `[c, h, w]` in row-major order.
pub mod naive {
    /// 0 or 1 / (1 - rate).
    pub fn factors(key: u32, rate: f32, n: usize) -> Vec<f64> {
        let kept = 1.0 / (1.0 - f64::from(rate));
        (0..n as u32).map(|i| if super::is_dropped(key, i, rate) { 0.0 } else { kept }).collect()
    }
}

#[cfg(feature = "bench")]
pub(crate) mod bench {
    use super::*;
    use crate::kernel::bench::{Bench, Disagreement, agree};
    use crate::kernel::kit::{filled, lane};

    /// What is timed: forward or backward, which are alike.
    pub(crate) fn bench(bench: &mut Bench, name: &str, rate: f32, f: &Frame) -> Result<(), Disagreement> {
        let (path, keys, x, mut y) = (bench.path, [7; CHUNK], filled(f, 14), vec![0.0; f.len()]);
        apply(path, rate, &keys, [f, f], &x, &mut y);
        let factors = naive::factors(7, rate, f.channels * f.rows * f.cols);
        let want: Vec<f64> = lane(f, &x, 3).iter().zip(factors).map(|(x, f)| x * f).collect();
        agree(name, &lane(f, &y, 3), &want, 1e-6)?;
        bench.row(format!("{name} forward or backward"), 0, || apply(path, rate, &keys, [f, f], &x, &mut y));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_zeros_is_the_rate_and_paths_agree() {
        let frames = [Frame::chunk([3, 7, 11]).with_border(1, 2), Frame::chunk([3, 7, 11])];
        let from = vec![1.0f32; frames[0].len()];
        for rate in [0.0, 0.1, 0.5, 0.9] {
            let keys: [u32; CHUNK] = std::array::from_fn(|i| i as u32 * 77 + 5);
            let run = |path| {
                let mut to = vec![7.0f32; frames[1].len()];
                apply(path, rate, &keys, [&frames[0], &frames[1]], &from, &mut to);
                to
            };
            let first = run(Path::PORTABLE);
            Path::available().into_iter().for_each(|path| assert_eq!(run(path), first, "{path}"));
            let zeros = first.iter().filter(|&&v| v == 0.0).count() as f64 / first.len() as f64;
            assert!((zeros - f64::from(rate)).abs() < 0.03, "{zeros} for {rate}");
            for lane in [0, 15] {
                let factors = naive::factors(keys[lane], rate, 3 * 7 * 11);
                let got = first.iter().skip(lane).step_by(CHUNK);
                assert!(got.zip(&factors).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-5), "lane {lane}");
            }
        }
    }
}
