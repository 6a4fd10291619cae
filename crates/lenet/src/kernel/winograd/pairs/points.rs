//! Which points a window takes, what its rows contribute at each, and for which convolutions that is worth it.

use crate::kernel::plan::point::Point;
use crate::spec::ConvShape;

/// The points for windows of so many rows.
pub(super) fn points(kh: usize) -> Option<&'static [Point]> {
    use Point::*;
    match kh {
        3 => Some(&[Zero, One, MinusOne, Infinity]),
        5 => Some(&[Zero, One, MinusOne, Two, MinusTwo, Infinity]),
        _ => None,
    }
}

/// What row `ky` of a window of `kh` rows contributes at a point.
pub(super) fn coefficient(point: Point, kh: usize, ky: usize) -> f64 {
    let power = |x: f64| (0..ky).fold(1.0, |power, _| power * x);
    match (point, kh) {
        (Point::Zero, _) => f64::from(u8::from(ky == 0)) / if kh == 3 { 1.0 } else { 4.0 },
        (Point::One, 3) => 0.5,
        (Point::MinusOne, 3) => power(-1.0) / 2.0,
        (Point::One, _) => -1.0 / 6.0,
        (Point::MinusOne, _) => power(-1.0) / -6.0,
        (Point::Two, _) => power(2.0) / 24.0,
        (Point::MinusTwo, _) => power(-2.0) / 24.0,
        (Point::Infinity, _) => f64::from(u8::from(ky + 1 == kh)),
    }
}

/// Whether the algorithm fits a convolution and is worth it.
///
/// Only the shape decides, as results depend on it: rows of x are transformed once, for several outputs.
pub fn fits(s: &ConvShape) -> bool {
    let is_plain = [s.stride, s.dilation] == [[1, 1]; 2] && s.groups == 1;
    points(s.kh).is_some() && s.kw > 1 && is_plain && s.oh.is_multiple_of(2) && s.oc >= 4
}
