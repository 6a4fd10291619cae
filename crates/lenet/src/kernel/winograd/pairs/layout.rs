//! Where the values of a convolution lie, and what they become at each point.

use super::points::points;
use crate::kernel::op::conv;
use crate::kernel::op::conv::scratch::plane;
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::point::Point;
use crate::kernel::simd::CHUNK;
use crate::spec::ConvShape;

/// Positions of a pair's rows that the gradient of the weights takes at a time, about.
const STRIP_POSITIONS: usize = 56;

pub(super) struct Layout {
    pub s: ConvShape,
    pub points: &'static [Point],
    pub x: Frame,
    pub z: Frame,
    /// Transformed rows of x, at each point, for as many pairs as the weights' gradient takes at a time.
    pub v: Frame,
    /// A pair of rows of dz, at each point.
    pub d: Frame,
    /// A pair's sums for dx, at each point.
    pub m: Frame,
}

impl Layout {
    pub fn new(s: &ConvShape, x: &Frame, z: &Frame) -> Self {
        let strip = STRIP_POSITIONS.div_ceil(s.ow).min(s.oh / 2);
        let slack = if x.lanes == 1 { 2 * CHUNK } else { 0 };
        Layout {
            s: *s,
            points: points(s.kh).unwrap_or_default(),
            x: *x,
            z: *z,
            v: Frame { rows: strip, border_rows: 0, slack, ..*x },
            d: Frame::chunk([s.oc, 1, s.ow]).with_border(0, conv::GRADIENT_BORDER),
            m: Frame::chunk([s.ic, 1, s.iw]),
        }
    }

    /// Floats of v at a point.
    pub fn v_len(&self) -> usize {
        plane(self.v.len())
    }

    /// Weights at a point.
    pub fn u_len(&self) -> usize {
        self.s.oc * self.s.ic * self.s.kw
    }

    /// The first row of x's frame that a pair of output rows needs.
    pub fn first_row(&self, pair: usize) -> usize {
        2 * pair + self.x.border_rows - self.s.padding[0]
    }
}
