//! A sample alone: its squares take the lanes that samples have in a chunk.

use super::grid::{PATCH, SIDE};
use super::plan::Square;
use crate::kernel::op::conv::scratch::grow;
use crate::kernel::op::conv::{Algorithm, Inputs, Scratch};
use crate::kernel::path::Path;
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::CHUNK;
use crate::spec::ConvShape;

/// The forward pass of one sample, planned.
pub struct Patches {
    s: ConvShape,
    x: Frame,
    z: Frame,
    /// A patch and its square, as of a small image.
    one: Square,
}

impl Patches {
    /// Plans a convolution for which [`super::fits`], from x to z, frames with one lane.
    pub fn plan(path: Path, s: &ConvShape, x: &Frame, z: &Frame) -> Self {
        let (ih, iw, oh, ow) = (PATCH, PATCH, SIDE, SIDE);
        let one = ConvShape { ih, iw, oh, ow, padding: [0, 0], ..*s };
        let frames = [Frame::chunk([s.ic, ih, iw]), Frame::chunk([s.oc, oh, ow])];
        Patches { s: *s, x: *x, z: *z, one: Square::plan(path, &one, &frames[0], &frames[1], false) }
    }

    /// Floats of packed weights.
    pub fn packed_len(&self) -> usize {
        self.one.packed_len()[0]
    }

    /// Transforms and packs weights.
    pub fn pack(&self, path: Path, w: &[f32], packed: &mut [f32]) {
        self.one.pack(path, w, [packed, &mut []]);
    }

    /// Computes z.
    pub fn run(&self, path: Path, inputs: Inputs, z: &mut [f32], scratch: &mut Scratch) {
        let s = &self.s;
        grow(&mut scratch.d, s.ic * PATCH * PATCH * CHUNK);
        grow(&mut scratch.sums, s.oc * SIDE * SIDE * CHUNK);
        let (mut patches, mut squares) = (std::mem::take(&mut scratch.d), std::mem::take(&mut scratch.sums));
        let across = s.ow.div_ceil(SIDE);
        let all = s.oh.div_ceil(SIDE) * across;
        for first in (0..all).step_by(CHUNK) {
            let corners: [_; CHUNK] =
                std::array::from_fn(|i| [(first + i) / across, (first + i) % across].map(|t| t * SIDE));
            let corners = &corners[..CHUNK.min(all - first)];
            for (i, line) in patches.chunks_exact_mut(CHUNK).take(s.ic * PATCH * PATCH).enumerate() {
                let (c, y, x) = (i / (PATCH * PATCH), i / PATCH % PATCH, i % PATCH);
                line.fill(0.0);
                for (value, [top, left]) in line.iter_mut().zip(corners) {
                    let (row, col) = ((top + y).wrapping_sub(s.padding[0]), (left + x).wrapping_sub(s.padding[1]));
                    if row < s.ih && col < s.iw {
                        *value = inputs.x[self.x.at(c, row, col)];
                    }
                }
            }
            self.one.forward(path, 0..SIDE, Inputs { x: &patches, ..inputs }, &mut squares, scratch);
            for (i, line) in squares.chunks_exact(CHUNK).take(s.oc * SIDE * SIDE).enumerate() {
                let (c, y, x) = (i / (SIDE * SIDE), i / SIDE % SIDE, i % SIDE);
                for (value, [top, left]) in line.iter().zip(corners) {
                    if top + y < s.oh && left + x < s.ow {
                        z[self.z.at(c, top + y, left + x)] = *value;
                    }
                }
            }
        }
        (scratch.d, scratch.sums) = (patches, squares);
    }
}
