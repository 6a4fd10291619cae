//! Statistics of channels.

use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::{CHUNK, Simd, sum_lanes};

/// Mean and sum of squared deviations of each channel over the first `samples` lanes of a chunk's `z`: `[channel][2]`.
///
/// Rows are summed one by one and then added, in two passes: the deviations are from the chunk's own mean.
pub fn statistics(path: Path, frame: &Frame, samples: usize, z: &[f32], out: &mut [f32]) {
    assert!(z.len() >= frame.len() && frame.lanes == CHUNK && out.len() >= 2 * frame.channels, "planned buffers");
    let count = (samples * frame.rows * frame.cols) as f64;
    for c in 0..frame.channels {
        let (mut lanes, mut means) = ([0.0f32; CHUNK], [0.0f32; CHUNK]);
        for (moment, out) in out[2 * c..2 * c + 2].iter_mut().enumerate() {
            let z = z[frame.at(c, 0, 0)..].as_ptr();
            // SAFETY: all rows of the channel lie within the frame, compared above.
            unsafe {
                if moment == 0 {
                    dispatch(path, Moment::<false> { frame, z, mean: 0.0, lanes: &mut lanes });
                } else {
                    dispatch(path, Moment::<true> { frame, z, mean: means[0], lanes: &mut lanes });
                }
            }
            lanes[samples..].fill(0.0);
            *out = sum_lanes(&lanes);
            if moment == 0 {
                *out = (f64::from(*out) / count) as f32;
                means = [*out; CHUNK];
            }
        }
    }
}

struct Moment<'a, const SECOND: bool> {
    frame: &'a Frame,
    z: *const f32,
    mean: f32,
    lanes: &'a mut [f32; CHUNK],
}

impl<const SECOND: bool> Program for Moment<'_, SECOND> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let (rows, cols) = (self.frame.rows, self.frame.cols);
        // SAFETY: rows and columns of one channel.
        unsafe {
            let mean = S::splat(self.mean);
            for part in 0..S::PER_POSITION {
                let lane = part * S::LANES;
                let mut total = S::splat(0.0);
                for row in 0..rows {
                    let z = self.z.add(row * self.frame.row() + lane);
                    // Two chains a row, so that an addition need not wait for the one before.
                    let mut sums = [S::splat(0.0); 2];
                    for col in 0..cols {
                        let v = S::load(z.add(col * CHUNK));
                        let sum = sums.get_unchecked_mut(col % 2);
                        if SECOND {
                            let d = S::sub(v, mean);
                            *sum = S::fma(d, d, *sum);
                        } else {
                            *sum = S::add(*sum, v);
                        }
                    }
                    total = S::add(total, S::add(sums[0], sums[1]));
                }
                S::store(self.lanes.as_mut_ptr().add(lane), total);
            }
        }
    }
}
