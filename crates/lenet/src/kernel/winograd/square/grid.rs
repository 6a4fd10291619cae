//! Squares of outputs, and the patches of inputs that they need.

use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::CHUNK;

/// Rows and columns of a square of outputs, and of the patch of inputs that it needs.
pub(super) const SIDE: usize = 4;
pub(super) const PATCH: usize = SIDE + 2;
/// Points of a square.
pub(super) const POINTS: usize = PATCH * PATCH;

/// Squares of a frame, and the patches of another that they need.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    /// What the patches are cut from, and how far the first one reaches beyond its corner.
    pub from: Frame,
    pub padding: [usize; 2],
    /// Squares down and across.
    pub down: usize,
    pub across: usize,
    /// Rows of squares at a time, a divisor of those there are.
    pub panel: usize,
}

impl Grid {
    pub fn new(from: &Frame, padding: [usize; 2], [rows, cols]: [usize; 2], panel: impl Fn(usize) -> bool) -> Self {
        let (down, across) = (rows.div_ceil(SIDE), cols.div_ceil(SIDE));
        let panel = (1..=down).filter(|&n| down.is_multiple_of(n)).find(|&n| panel(n * across)).unwrap_or(1);
        Grid { from: *from, padding, down, across, panel }
    }

    /// Squares of a panel.
    pub fn squares(&self) -> usize {
        self.panel * self.across
    }

    pub fn panels(&self) -> usize {
        self.down / self.panel
    }

    /// Floats of a row of columns that patches are cut from.
    pub fn line(&self) -> usize {
        (self.across * SIDE + 2) * CHUNK
    }

    /// Floats of the lines between the two transforms, and of one of zeros.
    pub fn lines_len(&self) -> usize {
        (PATCH + 1) * self.line()
    }
}
