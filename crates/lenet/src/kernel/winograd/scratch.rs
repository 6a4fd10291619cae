//! What convolutions read, and the buffers that they share.

use crate::kernel::aligned::AlignedVec;
use crate::kernel::simd::CHUNK;

/// What the forward pass reads.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// A frame.
    pub x: &'a [f32],
    /// All packed weights.
    pub packed: &'a [f32],
    /// Added to each output's sums.
    pub bias: Option<&'a [f32]>,
}

/// Buffers that a convolution needs while it runs; others may use them between.
#[derive(Default)]
pub struct Scratch {
    pub(super) v: AlignedVec,
    pub(super) d: AlignedVec,
    pub(super) m: AlignedVec,
    /// Lines between the transforms of the two dimensions.
    pub(super) lines: AlignedVec,
    /// Sums over a chunk.
    pub(super) sums: AlignedVec,
}

/// Makes room for so many floats.
pub(super) fn grow(buffer: &mut AlignedVec, len: usize) {
    if buffer.len() < len {
        *buffer = AlignedVec::zeros(len);
    }
}

/// Floats of a point's plane: an odd number of cache lines, so that what is written side by side, a line at each point,
/// does not compete for the same sets of the first-level cache.
pub(super) fn plane(floats: usize) -> usize {
    (floats.div_ceil(CHUNK) | 1) * CHUNK
}
