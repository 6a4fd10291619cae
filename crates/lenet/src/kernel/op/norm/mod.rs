//! Normalisation of channels: statistics of a chunk, and the epilogue behind a normalisation, forward and back.
//!
//! Forward leaves `z` as it is. Backward takes two passes over `z` and the gradient of the output, since what the mean and
//! variance pass back is known only when the whole batch has been summed: [`NormEpilogue::sums`], then
//! [`NormEpilogue::finish`]. The first leaves the gradient by the normalised value where it found that of the output, so
//! that the second computes no activation.

mod average;
#[cfg(feature = "bench")]
pub(crate) mod bench;
mod channels;
mod maximum;
pub mod naive;
pub mod single;
mod statistics;

pub use channels::Channels;
pub use statistics::statistics;

use crate::kernel::op::activation::{Identity, with_function};
use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::op::pool::PoolKind;
use crate::kernel::path::{Path, dispatch};
use crate::kernel::simd::CHUNK;
use average::{APPLY, Backward, KNOWN, SUMS};
use channels::clear_lanes;
use maximum::NormMaximum;
use std::ops::Range;

/// An epilogue behind a normalisation.
#[derive(Clone, Copy)]
pub struct NormEpilogue<'a> {
    /// The epilogue.
    pub e: &'a Epilogue,
    /// Scale and shift; for backward all that forward used.
    pub channels: &'a Channels,
}

impl<'a> NormEpilogue<'a> {
    /// The same if it takes maxima.
    fn maximum(&self) -> Option<NormMaximum<'a>> {
        let NormEpilogue { e, channels } = *self;
        match e.pool {
            Some(PoolKind::Maximum) => Some(NormMaximum { e, channels }),
            Some(PoolKind::Average) | None => None,
        }
    }

    /// Floats of the z of maxima, which training keeps.
    pub fn picked_len(e: &Epilogue) -> usize {
        if e.pool == Some(PoolKind::Maximum) { NormMaximum::picked_len(e) } else { 0 }
    }

    /// Computes some rows of `y` from `scale[c] · z + shift[c]`; of maxima also their z, unless `picked` is empty.
    pub fn forward(&self, path: Path, rows: Range<usize>, z: &mut [f32], picked: &mut [f32], y: &mut [f32]) {
        match self.maximum() {
            Some(maximum) => maximum.forward(path, rows, z, picked, y),
            None => self.e.forward_affine(path, rows, [&self.channels.scale, &self.channels.shift], z, y),
        }
    }

    /// Sums of each channel over the chunk, lanes apart, `[channel][2][16]`: of the gradient d of the normalised, scaled
    /// and shifted value, and of d times the normalised value. Lanes without a sample have a gradient of 0.
    ///
    /// `dy` becomes d: without pooling that of each position, of maxima, whose z are `picked`, that of each window.
    pub fn sums(&self, path: Path, z: &[f32], picked: &[f32], dy: &mut [f32], sums: &mut [f32]) {
        if let Some(maximum) = self.maximum() {
            return maximum.sums(path, picked, dy, sums);
        }
        let (e, rows) = (self.e, 0..self.e.y.rows);
        if e.activation.is_none() && e.pool.is_none() {
            return self.sums_of(path, rows, z, dy, sums);
        }
        self.check(&rows, z, dy, sums);
        let (z, sums, k) = (z.as_ptr().cast_mut(), sums.as_mut_ptr(), self.channels);
        let dy = dy.as_mut_ptr();
        with_function!(e.activation, f => {
            // SAFETY: the buffers were compared; z is only read.
            unsafe {
                match e.pool {
                    None => dispatch(path, Backward::<_, false, SUMS> { e, k, rows, z, dy, sums, f }),
                    Some(PoolKind::Average | PoolKind::Maximum) => dispatch(path, Backward::<_, true, SUMS> { e, k, rows, z, dy, sums, f }),
                }
            }
        })
    }

    /// The same of some rows alone, in order, where d is known; the first rows start the sums.
    pub fn sums_of(&self, path: Path, rows: Range<usize>, z: &[f32], d: &[f32], sums: &mut [f32]) {
        let (e, k) = (self.e, self.channels);
        self.check(&rows, z, d, sums);
        let (z, dy, sums) = (z.as_ptr().cast_mut(), d.as_ptr().cast_mut(), sums.as_mut_ptr());
        // SAFETY: the buffers were compared; z and d are only read.
        unsafe { dispatch(path, Backward::<_, false, KNOWN> { e, k, rows, z, dy, sums, f: Identity }) }
    }

    /// Turns the rows of `z` that belong to some rows of y into their gradient: `scale · (d - mean d - ẑ · mean (d · ẑ))`;
    /// lanes from `samples` on become 0. `dy` is what [`NormEpilogue::sums`] left.
    pub fn finish(&self, path: Path, rows: Range<usize>, samples: usize, z: &mut [f32], picked: &[f32], dy: &[f32]) {
        if let Some(maximum) = self.maximum() {
            return maximum.finish(path, rows, samples, z, picked, dy);
        }
        let (e, k) = (self.e, self.channels);
        e.check_backward(&rows, z, dy);
        k.check(e.z.channels);
        let (z_start, dy, sums) = (z.as_mut_ptr(), dy.as_ptr().cast_mut(), std::ptr::null_mut());
        if e.pool.is_none() {
            let back = Backward::<_, false, APPLY> { e, k, rows: rows.clone(), z: z_start, dy, sums, f: Identity };
            // SAFETY: the buffers were compared; dy is only read.
            unsafe { dispatch(path, back) }
        } else {
            with_function!(e.activation, f => {
                let back = Backward::<_, true, APPLY> { e, k, rows: rows.clone(), z: z_start, dy, sums, f };
                // SAFETY: as above.
                unsafe { dispatch(path, back) }
            })
        }
        clear_lanes(&e.z, e.z_rows(&rows), samples, z);
    }

    fn check(&self, rows: &Range<usize>, z: &[f32], dy: &[f32], sums: &[f32]) {
        assert!(sums.len() >= self.e.z.channels * 2 * CHUNK, "two vectors a channel");
        assert!(self.maximum().is_none(), "maxima go their own way");
        self.e.check_backward(rows, z, dy);
        self.channels.check(self.e.z.channels);
    }
}

#[cfg(test)]
mod tests;
