//! The forward pass, of chunks and of single samples.

use crate::kernel::plan::contract::{Contraction, Copies, Packing, Pitch, RowClass, Uniform};
use crate::kernel::plan::frame::Frame;
use crate::kernel::plan::tile::{Tap, Tiles};
use crate::spec::ConvShape;

/// Taps of a forward pass, relative to the window's corner, the last weight first.
///
/// Any order is as good as another. With this one no maximum of the golden networks falls on the wrong side of a
/// near-tie in their 20 steps; with the natural order one does.
fn window_taps(s: &ConvShape, x: &Frame) -> Vec<Tap> {
    let mut taps = Vec::with_capacity(s.taps());
    for ic in 0..s.group_inputs() {
        for ky in 0..s.kh {
            for kx in 0..s.kw {
                let [row, col] = [ky * s.dilation[0], kx * s.dilation[1]];
                taps.push(Tap { x: (ic * x.plane() + row * x.row() + col * x.lanes) as u32, w: taps.len() as u32 });
            }
        }
    }
    taps.reverse();
    taps
}

/// Floats from the start of `x` to the corner of the first window.
pub(super) fn first_window(s: &ConvShape, x: &Frame) -> usize {
    x.origin() - s.padding[0] * x.row() - s.padding[1] * x.lanes
}

/// Forward pass of a chunk: `z[oc][y][x] = bias[oc] + Σ w[oc][ic][ky][kx] · x[ic][y·s + ky·d][x·s + kx·d]`, with
/// the stride s and the dilation d.
///
/// `x` must have a border of at least the padding. Row `y` of the plan writes row `y` of all output channels.
pub fn forward(tiles: &'static Tiles, s: &ConvShape, x: &Frame, z: &Frame) -> Contraction {
    let taps = window_taps(s, x);
    let n = taps.len();
    let corner = first_window(s, x);
    let rows = (0..s.oh).map(|y| (corner + y * s.stride[0] * x.row(), z.at(0, y, 0), 0)).collect();
    let pitch = Pitch { lanes: x.lanes, x: s.stride[1] * x.lanes, y: z.lanes, y_plane: z.plane() };
    let packing = Packing { output: n, outer: 0, inner: n, step: 1, rows: n };
    let classes: Vec<Box<dyn RowClass>> = vec![Box::new(Uniform { positions: s.ow, taps })];
    Contraction::plan(tiles, s.group_outputs(), rows, classes, pitch, packing).copies(groups(s, x, z))
}

/// The groups of a convolution from one frame to another.
pub(super) fn groups(s: &ConvShape, from: &Frame, to: &Frame) -> Copies {
    let channels = |f: &Frame| f.channels / s.groups * f.plane();
    Copies { count: s.groups, x: channels(from), y: channels(to), w: s.group_outputs() * s.taps() }
}

/// Forward pass of one sample, pixels in the lanes: columns at stride 1, whatever the stride.
///
/// Output rows are as long as input rows; what lies behind the last column of an output row is of no use. With a row
/// stride of 1 the whole plane is one row of the plan.
pub fn forward_single(tiles: &'static Tiles, s: &ConvShape, x: &Frame, z: &Frame) -> Contraction {
    debug_assert!(x.lanes == 1 && z.row() == x.row());
    let taps = window_taps(s, x);
    let n = taps.len();
    let corner = first_window(s, x);
    let last = (s.ow - 1) * s.stride[1] + 1;
    let (rows, positions) = if s.stride[0] == 1 {
        (vec![(corner, 0, 0)], (s.oh - 1) * x.row() + last)
    } else {
        ((0..s.oh).map(|y| (corner + y * s.stride[0] * x.row(), y * z.row(), 0)).collect(), last)
    };
    let pitch = Pitch { lanes: 1, x: 1, y: 1, y_plane: z.plane() };
    let packing = Packing { output: n, outer: 0, inner: n, step: 1, rows: n };
    let classes: Vec<Box<dyn RowClass>> = vec![Box::new(Uniform { positions, taps })];
    Contraction::plan(tiles, s.group_outputs(), rows, classes, pitch, packing).copies(groups(s, x, z))
}
