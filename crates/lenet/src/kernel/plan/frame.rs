//! Layouts of activations.

use crate::kernel::simd::CHUNK;
use crate::spec::Shape;
use std::ops::Range;

/// Layout of an activation, `[channel][row][column][lanes]`, with a border of columns and rows that stays zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Channels.
    pub channels: usize,
    /// Rows, without the border.
    pub rows: usize,
    /// Columns, without the border.
    pub cols: usize,
    /// Rows of border above, and as many below.
    pub border_rows: usize,
    /// Columns of border to the left, and as many to the right.
    pub border_cols: usize,
    /// 16 for a chunk, 1 for a single sample.
    pub lanes: usize,
    /// Floats behind each plane that whole vectors may overrun into.
    pub slack: usize,
}

impl Frame {
    /// A chunk's activation of shape `[c, h, w]` without a border.
    pub fn chunk([channels, rows, cols]: [usize; 3]) -> Self {
        Frame { channels, rows, cols, border_rows: 0, border_cols: 0, lanes: CHUNK, slack: 0 }
    }

    /// The same with a border.
    pub fn with_border(self, border_rows: usize, border_cols: usize) -> Self {
        Frame { border_rows, border_cols, ..self }
    }

    /// Floats from one row to the next.
    pub fn row(&self) -> usize {
        (self.cols + 2 * self.border_cols) * self.lanes
    }

    /// Floats from one channel to the next.
    pub fn plane(&self) -> usize {
        (self.rows + 2 * self.border_rows) * self.row() + self.slack
    }

    /// Floats in all.
    pub fn len(&self) -> usize {
        self.channels * self.plane()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Floats from the start to the first value within the border.
    pub fn origin(&self) -> usize {
        self.border_rows * self.row() + self.border_cols * self.lanes
    }

    /// Floats from the start to a value.
    pub fn at(&self, channel: usize, row: usize, col: usize) -> usize {
        channel * self.plane() + self.origin() + row * self.row() + col * self.lanes
    }

    /// Whether there is neither border nor slack.
    pub fn is_dense(&self) -> bool {
        [self.border_rows, self.border_cols, self.slack] == [0, 0, 0]
    }

    /// Places of the rows without the border, channel by channel.
    pub fn values(&self) -> impl Iterator<Item = Range<usize>> {
        (0..self.channels * self.rows).map(|i| {
            let at = self.at(i / self.rows, i % self.rows, 0);
            at..at + self.cols * self.lanes
        })
    }
}

/// `[c, h, w]` of a shape; features are channels.
pub fn chw(shape: Shape) -> [usize; 3] {
    match shape {
        Shape::Image(chw) => chw,
        Shape::Flat(n) => [n, 1, 1],
    }
}

/// Copies the values of a frame into another of the same shape; borders are left alone.
pub fn copy_frame([from_frame, to_frame]: [&Frame; 2], from: &[f32], to: &mut [f32]) {
    if from_frame.is_dense() && to_frame.is_dense() {
        // Shapes may differ then, as before and behind a flatten.
        return to.copy_from_slice(from);
    }
    for (from_row, to_row) in from_frame.values().zip(to_frame.values()) {
        to[to_row].copy_from_slice(&from[from_row]);
    }
}

/// Where a plane's values are: floats between rows and between columns.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    /// From the buffer's start to the first value.
    pub origin: usize,
    /// Between channels.
    pub plane: usize,
    /// Between rows.
    pub row: usize,
    /// Between columns.
    pub col: usize,
}

impl Steps {
    /// Floats from the start to a value.
    pub fn at(&self, c: usize, y: usize, x: usize) -> usize {
        self.origin + c * self.plane + y * self.row + x * self.col
    }
}
