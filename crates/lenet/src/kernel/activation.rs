//! Activations, and their derivatives from their own values.

use super::simd::{self, Simd};
use crate::spec::Activation;

/// A function and its derivative, the latter from the function's value.
///
/// # Safety
/// As [`Simd`].
#[allow(clippy::missing_safety_doc)]
pub(crate) trait Function: Copy {
    unsafe fn value<S: Simd>(x: S::V) -> S::V;
    unsafe fn slope<S: Simd>(value: S::V) -> S::V;
}

#[derive(Clone, Copy)]
pub(crate) struct Identity;
#[derive(Clone, Copy)]
pub(crate) struct Sigmoid;
#[derive(Clone, Copy)]
pub(crate) struct Tanh;
#[derive(Clone, Copy)]
pub(crate) struct Relu;

macro_rules! function {
    ($name:ident, $S:ident, $x:ident => $value:expr, $a:ident => $slope:expr) => {
        impl Function for $name {
            #[inline(always)]
            unsafe fn value<$S: Simd>($x: $S::V) -> $S::V {
                // SAFETY: the caller runs on S's path.
                unsafe { $value }
            }
            #[inline(always)]
            unsafe fn slope<$S: Simd>($a: $S::V) -> $S::V {
                // SAFETY: the caller runs on S's path.
                unsafe { $slope }
            }
        }
    };
}

function!(Identity, S, x => S::add(x, S::splat(0.0)), _a => S::splat(1.0));
function!(Sigmoid, S, x => simd::sigmoid::<S>(x), a => S::fnma(a, a, a));
function!(Tanh, S, x => simd::tanh::<S>(x), a => S::fnma(a, a, S::splat(1.0)));
function!(Relu, S,
    // Written so that NaN stays NaN.
    x => S::select(S::gt(S::splat(0.0), x), S::splat(0.0), x),
    a => S::select(S::gt(a, S::splat(0.0)), S::splat(1.0), S::splat(0.0)));

/// Calls `$body` with `$F` standing for the function of an `Option<Activation>`.
macro_rules! with_function {
    ($activation:expr, $F:ident => $body:expr) => {
        match $activation {
            None => {
                type $F = $crate::kernel::activation::Identity;
                $body
            }
            Some($crate::spec::Activation::Sigmoid) => {
                type $F = $crate::kernel::activation::Sigmoid;
                $body
            }
            Some($crate::spec::Activation::Tanh) => {
                type $F = $crate::kernel::activation::Tanh;
                $body
            }
            Some($crate::spec::Activation::Relu) => {
                type $F = $crate::kernel::activation::Relu;
                $body
            }
        }
    };
}
pub(crate) use with_function;

/// The naive reference in f64: value and derivative.
pub fn naive(activation: Activation, x: f64) -> (f64, f64) {
    match activation {
        Activation::Sigmoid => {
            let a = 1.0 / (1.0 + (-x).exp());
            (a, a * (1.0 - a))
        }
        Activation::Tanh => (x.tanh(), 1.0 - x.tanh() * x.tanh()),
        Activation::Relu => (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 }),
    }
}
