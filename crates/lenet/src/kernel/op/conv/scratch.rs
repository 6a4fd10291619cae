//! The buffers that convolutions share.

use crate::kernel::aligned::AlignedVec;
use crate::kernel::simd::CHUNK;

/// Buffers that a convolution needs while it runs; others may use them between.
#[derive(Default)]
pub struct Scratch {
    pub(crate) v: AlignedVec,
    pub(crate) d: AlignedVec,
    pub(crate) m: AlignedVec,
    /// Lines between the transforms of the two dimensions.
    pub(crate) lines: AlignedVec,
    /// Sums over a chunk.
    pub(crate) sums: AlignedVec,
}

/// Makes room for so many floats.
pub(crate) fn grow(buffer: &mut AlignedVec, len: usize) {
    if buffer.len() < len {
        *buffer = AlignedVec::zeros(len);
    }
}

/// Floats of a point's plane: an odd number of cache lines, so that what is written side by side, a line at each point,
/// does not compete for the same sets of the first-level cache.
pub(crate) fn plane(floats: usize) -> usize {
    (floats.div_ceil(CHUNK) | 1) * CHUNK
}

/// Fills all buffers with what nobody may read.
#[cfg(test)]
pub(crate) fn spoil(scratch: &mut Scratch) {
    let Scratch { v, d, m, lines, sums } = scratch;
    for buffer in [v, d, m, lines, sums] {
        grow(buffer, 1 << 20);
        buffer.fill(7.0);
    }
}
