//! Activations: a row each, with the formula, its derivative, the naive reference, and what is known about both.

pub mod single;

use crate::kernel::simd::{self, Simd};
use crate::spec::{Activation, Approximate};

/// A function with its derivative; a value, since it may have parameters.
///
/// # Safety
/// As [`Simd`].
#[allow(clippy::missing_safety_doc)]
pub(crate) trait Function: Copy {
    /// Whether the derivative is computed from the function's value rather than from its argument.
    const FROM_VALUE: bool;
    unsafe fn value<S: Simd>(self, x: S::V) -> S::V;
    /// The derivative, from the value or the argument.
    unsafe fn slope<S: Simd>(self, from: S::V) -> S::V;
    /// Value and derivative in f64.
    fn naive(self, x: f64) -> (f64, f64);
    fn facts(self) -> Facts;

    /// The derivative where both argument and value are at hand.
    #[inline(always)]
    unsafe fn slope_at<S: Simd>(self, x: S::V, value: S::V) -> S::V {
        // SAFETY: the caller runs on S's path.
        unsafe { self.slope::<S>(if Self::FROM_VALUE { value } else { x }) }
    }
}

/// What planners ask about an activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// Where the derivative jumps, so that a rounding error decides between two values of it.
    pub kinks: &'static [f64],
    /// Where the function rises and falls.
    pub course: Course,
}

/// Where a function rises and falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// It never falls.
    Rises,
    /// It falls up to some point, and never behind it.
    FallsThenRises,
}

impl Course {
    /// Whether the largest value over some arguments is that of the largest argument or of the smallest.
    pub fn peaks_at_an_end(self) -> bool {
        match self {
            Course::Rises | Course::FallsThenRises => true,
        }
    }
}

/// From each row a type that implements [`Function`], and from all of them `with_function!`. Parameters of an activation
/// have the names and types of its fields in the spec.
macro_rules! activations {
    (@from value) => { true };
    (@from argument) => { false };
    ($d:tt $S:ident: $(
        $name:ident { $($field:ident: $type:ty),* }: $kinks:expr, $course:ident;
        value $x:ident => $value:expr;
        slope $from:ident $a:ident => $slope:expr;
        naive $n:ident => $naive:expr;
    )*) => {
        $(
            #[derive(Clone, Copy)]
            pub(crate) struct $name { $(pub(crate) $field: $type),* }

            impl Function for $name {
                const FROM_VALUE: bool = activations!(@from $from);

                #[inline(always)]
                unsafe fn value<$S: Simd>(self, $x: $S::V) -> $S::V {
                    let $name { $($field),* } = self;
                    // SAFETY: the caller runs on S's path.
                    unsafe { $value }
                }

                #[inline(always)]
                unsafe fn slope<$S: Simd>(self, $a: $S::V) -> $S::V {
                    let $name { $($field),* } = self;
                    // SAFETY: the caller runs on S's path.
                    unsafe { $slope }
                }

                fn naive(self, $n: f64) -> (f64, f64) {
                    let $name { $($field),* } = self;
                    $naive
                }

                #[allow(unused_variables)]
                fn facts(self) -> Facts {
                    let $name { $($field),* } = self;
                    Facts { kinks: $kinks, course: Course::$course }
                }
            }
        )*

        /// Calls `$body` with `$f` standing for the function of an `Option<Activation>`.
        macro_rules! with_function {
            ($d activation:expr, $d f:ident => $d body:expr) => {
                match $d activation {
                    None => {
                        let $d f = $d crate::kernel::op::activation::Identity;
                        $d body
                    }
                    $(Some($d crate::spec::Activation::$name { $($field),* }) => {
                        let $d f = $d crate::kernel::op::activation::$name { $($field),* };
                        $d body
                    })*
                }
            };
        }
        pub(crate) use with_function;
    };
}

// Of LeCun's scaled tanh, 1.7159 · tanh(2x / 3).
const HEIGHT: f32 = 1.7159;
const STEEPNESS: f32 = 2.0 / 3.0;
// Of GELU's tanh form, 2 · √(2/π) · (x + 0.044715 x³): the coefficients of x and x³.
const LINEAR: f64 = 1.595_769_121_605_730_7;
const CUBIC: f64 = LINEAR * 0.044_715;

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

// NAME { parameters }: where it has kinks, its course.
activations! { $ S:
    Sigmoid {}: &[], Rises;
    value x => simd::sigmoid::<S>(x);
    slope value a => S::fnma(a, a, a);
    naive x => (sigmoid(x), sigmoid(x) * (1.0 - sigmoid(x)));

    Tanh {}: &[], Rises;
    value x => simd::tanh::<S>(x);
    slope value a => S::fnma(a, a, S::splat(1.0));
    naive x => (x.tanh(), 1.0 - x.tanh() * x.tanh());

    // Written so that NaN stays NaN.
    Relu {}: &[0.0], Rises;
    value x => S::select(S::gt(S::splat(0.0), x), S::splat(0.0), x);
    slope value a => S::select(S::gt(a, S::splat(0.0)), S::splat(1.0), S::splat(0.0));
    naive x => (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 });

    Relu6 {}: &[0.0, 6.0], Rises;
    value x => S::min(S::splat(6.0), S::max(S::splat(0.0), x));
    slope value a => {
        let below = S::select(S::gt(S::splat(6.0), a), S::splat(1.0), S::splat(0.0));
        S::select(S::gt(a, S::splat(0.0)), below, S::splat(0.0))
    };
    naive x => (x.clamp(0.0, 6.0), if x > 0.0 && x < 6.0 { 1.0 } else { 0.0 });

    LeakyRelu { slope: f32 }: &[0.0], Rises;
    value x => S::select(S::gt(x, S::splat(0.0)), x, S::mul(x, S::splat(slope)));
    slope value a => S::select(S::gt(a, S::splat(0.0)), S::splat(1.0), S::splat(slope));
    naive x => if x > 0.0 { (x, 1.0) } else { (f64::from(slope) * x, f64::from(slope)) };

    Elu { alpha: f32 }: if alpha == 1.0 { &[] } else { &[0.0] }, Rises;
    value x => {
        let below = S::mul(S::splat(alpha), S::sub(simd::exp::<S>(x), S::splat(1.0)));
        S::select(S::gt(x, S::splat(0.0)), x, below)
    };
    slope value a => S::select(S::gt(a, S::splat(0.0)), S::splat(1.0), S::add(a, S::splat(alpha)));
    naive x => if x > 0.0 { (x, 1.0) } else { (f64::from(alpha) * x.exp_m1(), f64::from(alpha) * x.exp()) };

    Gelu { approximate: Approximate }: &[], FallsThenRises;
    value x => match approximate {
        Approximate::None => S::mul(x, simd::normal::<S>(x).0),
        Approximate::Tanh => {
            let factor = S::fma(S::mul(x, x), S::splat(CUBIC as f32), S::splat(LINEAR as f32));
            S::mul(x, simd::sigmoid::<S>(S::mul(x, factor)))
        }
    };
    slope argument x => match approximate {
        Approximate::None => {
            let (distribution, density) = simd::normal::<S>(x);
            S::fma(x, density, distribution)
        }
        // Beyond 10 the derivative is 0 or 1; the square of a large x is infinite.
        Approximate::Tanh => {
            let x = S::max(S::splat(-10.0), S::min(S::splat(10.0), x));
            let square = S::mul(x, x);
            let factor = S::fma(square, S::splat(CUBIC as f32), S::splat(LINEAR as f32));
            let inner = S::fma(square, S::splat(3.0 * CUBIC as f32), S::splat(LINEAR as f32));
            // The lesser of the sigmoid and what is left to 1, which is exact where the other is all but 1.
            let z = S::mul(x, factor);
            let less = simd::sigmoid::<S>(S::sub(S::splat(0.0), S::max(z, S::sub(S::splat(0.0), z))));
            let more = S::sub(S::splat(1.0), less);
            let s = S::select(S::gt(z, S::splat(0.0)), more, less);
            S::fma(S::mul(S::mul(x, inner), less), more, s)
        }
    };
    naive x => match approximate {
        Approximate::None => {
            let distribution = 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
            let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            (x * distribution, distribution + x * density)
        }
        // (1 + tanh(t)) / 2 is sigmoid(2t), without a difference of nearly equal numbers.
        Approximate::Tanh => {
            let [s, rest] = [1.0, -1.0].map(|sign| sigmoid(sign * x * (LINEAR + CUBIC * x * x)));
            let inner = if s * rest == 0.0 { 0.0 } else { x * (LINEAR + 3.0 * CUBIC * x * x) };
            (x * s, s + s * rest * inner)
        }
    };

    Silu {}: &[], FallsThenRises;
    value x => S::mul(x, simd::sigmoid::<S>(x));
    slope argument x => {
        let s = simd::sigmoid::<S>(x);
        S::fma(S::mul(x, s), S::sub(S::splat(1.0), s), s)
    };
    naive x => (x * sigmoid(x), sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x))));

    HardSwish {}: &[-3.0, 3.0], FallsThenRises;
    value x => {
        let above = S::max(S::splat(0.0), S::min(S::splat(6.0), S::add(x, S::splat(3.0))));
        S::mul(S::mul(x, S::splat(1.0 / 6.0)), above)
    };
    slope argument x => {
        let between = S::fma(x, S::splat(1.0 / 3.0), S::splat(0.5));
        let low = S::select(S::gt(S::splat(-3.0), x), S::splat(0.0), between);
        S::select(S::gt(x, S::splat(3.0)), S::splat(1.0), low)
    };
    naive x => if x < -3.0 {
        (0.0, 0.0)
    } else if x > 3.0 {
        (x, 1.0)
    } else {
        (x * (x + 3.0) / 6.0, x / 3.0 + 0.5)
    };

    ScaledTanh {}: &[], Rises;
    value x => S::mul(S::splat(HEIGHT), simd::tanh::<S>(S::mul(x, S::splat(STEEPNESS))));
    slope value a => S::fnma(S::mul(a, S::splat(STEEPNESS / HEIGHT)), a, S::splat(STEEPNESS * HEIGHT));
    naive x => {
        let t = (2.0 / 3.0 * x).tanh();
        (1.7159 * t, 1.7159 * 2.0 / 3.0 * (1.0 - t * t))
    };

    Softplus {}: &[], Rises;
    value x => {
        let below = S::sub(S::splat(0.0), S::max(x, S::sub(S::splat(0.0), x)));
        let rest = simd::log_1p::<S>(simd::exp::<S>(below));
        S::add(S::select(S::gt(S::splat(0.0), x), S::splat(0.0), x), rest)
    };
    slope argument x => simd::sigmoid::<S>(x);
    naive x => (x.max(0.0) + (-x.abs()).exp().ln_1p(), sigmoid(x));
}

/// No activation.
#[derive(Clone, Copy)]
pub(crate) struct Identity;

impl Function for Identity {
    const FROM_VALUE: bool = true;

    #[inline(always)]
    unsafe fn value<S: Simd>(self, x: S::V) -> S::V {
        // SAFETY: the caller runs on S's path.
        unsafe { S::add(x, S::splat(0.0)) }
    }

    #[inline(always)]
    unsafe fn slope<S: Simd>(self, _: S::V) -> S::V {
        // SAFETY: the caller runs on S's path.
        unsafe { S::splat(1.0) }
    }

    fn naive(self, x: f64) -> (f64, f64) {
        (x, 1.0)
    }

    fn facts(self) -> Facts {
        Facts { kinks: &[], course: Course::Rises }
    }
}

/// The naive reference in f64: value and derivative.
pub fn naive(activation: Activation, x: f64) -> (f64, f64) {
    with_function!(Some(activation), f => f.naive(x))
}

/// What is known about an activation.
pub fn facts(activation: Activation) -> Facts {
    with_function!(Some(activation), f => f.facts())
}

#[cfg(test)]
mod tests;
