//! The points at which Winograd's algorithm evaluates polynomials, and what each makes of two rows of gradients: the outer
//! product combines these on the way.

use crate::kernel::simd::Simd;

/// Where polynomials are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Point {
    Zero,
    One,
    MinusOne,
    Two,
    MinusTwo,
    Infinity,
}

/// What a point makes of a pair of rows, `second` floats apart: the transpose of what the forward pass does with its sums.
///
/// # Safety
/// Both rows must hold a vector, and the caller runs on S's path.
#[inline(always)]
pub(crate) unsafe fn combine<S: Simd, const POINT: u8>(first: *const f32, second: usize) -> S::V {
    // SAFETY: the caller vouches for the addresses, and runs on S's path.
    unsafe {
        if POINT == Point::Zero as u8 {
            return S::load(first);
        }
        let d = S::load(first.add(second));
        if POINT == Point::Infinity as u8 {
            return d;
        }
        let c = S::load(first);
        if POINT == Point::One as u8 {
            S::add(c, d)
        } else if POINT == Point::MinusOne as u8 {
            S::sub(c, d)
        } else if POINT == Point::Two as u8 {
            S::add(c, S::add(d, d))
        } else {
            S::sub(c, S::add(d, d))
        }
    }
}
