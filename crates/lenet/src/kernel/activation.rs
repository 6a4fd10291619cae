//! Activations and their derivatives.

use super::simd::{self, Simd};
use crate::spec::Activation;

/// A function and its derivative.
///
/// # Safety
/// As [`Simd`].
#[allow(clippy::missing_safety_doc)]
pub(crate) trait Function: Copy {
    /// Whether the derivative is computed from the function's value rather than from its argument.
    const FROM_VALUE: bool;
    unsafe fn value<S: Simd>(x: S::V) -> S::V;
    /// The derivative, from the value or the argument.
    unsafe fn slope<S: Simd>(from: S::V) -> S::V;
}

/// The derivative of `F` where both argument and value are at hand.
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub(crate) unsafe fn slope<S: Simd, F: Function>(x: S::V, value: S::V) -> S::V {
    // SAFETY: the caller runs on S's path.
    unsafe { F::slope::<S>(if F::FROM_VALUE { value } else { x }) }
}

macro_rules! function {
    ($name:ident, $S:ident, $x:ident => $value:expr, $from:ident $a:ident => $slope:expr) => {
        #[derive(Clone, Copy)]
        pub(crate) struct $name;

        impl Function for $name {
            const FROM_VALUE: bool = from_value!($from);
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

macro_rules! from_value {
    (value) => {
        true
    };
    (argument) => {
        false
    };
}

/// Of LeCun's scaled tanh, 1.7159 · tanh(2x / 3).
const HEIGHT: f32 = 1.7159;
const STEEPNESS: f32 = 2.0 / 3.0;
/// Slope of a leaky ReLU below 0.
const LEAK: f32 = 0.01;

function!(Identity, S, x => S::add(x, S::splat(0.0)), value _a => S::splat(1.0));
function!(Sigmoid, S, x => simd::sigmoid::<S>(x), value a => S::fnma(a, a, a));
function!(Tanh, S, x => simd::tanh::<S>(x), value a => S::fnma(a, a, S::splat(1.0)));
function!(Relu, S,
    // Written so that NaN stays NaN.
    x => S::select(S::gt(S::splat(0.0), x), S::splat(0.0), x),
    value a => S::select(S::gt(a, S::splat(0.0)), S::splat(1.0), S::splat(0.0)));
function!(LeakyRelu, S,
    x => S::select(S::gt(x, S::splat(0.0)), x, S::mul(x, S::splat(LEAK))),
    value a => S::select(S::gt(a, S::splat(0.0)), S::splat(1.0), S::splat(LEAK)));
function!(Elu, S,
    x => S::select(S::gt(x, S::splat(0.0)), x, S::sub(simd::exp::<S>(x), S::splat(1.0))),
    value a => S::select(S::gt(a, S::splat(0.0)), S::splat(1.0), S::add(a, S::splat(1.0))));
function!(Gelu, S,
x => S::mul(x, simd::normal::<S>(x).0),
argument x => {
    let (distribution, density) = simd::normal::<S>(x);
    S::fma(x, density, distribution)
});
function!(Silu, S,
x => S::mul(x, simd::sigmoid::<S>(x)),
argument x => {
    let s = simd::sigmoid::<S>(x);
    S::fma(S::mul(x, s), S::sub(S::splat(1.0), s), s)
});
function!(HardSwish, S,
x => S::mul(S::mul(x, S::splat(1.0 / 6.0)), S::max(S::splat(0.0), S::min(S::splat(6.0), S::add(x, S::splat(3.0))))),
argument x => {
    let between = S::fma(x, S::splat(1.0 / 3.0), S::splat(0.5));
    let low = S::select(S::gt(S::splat(-3.0), x), S::splat(0.0), between);
    S::select(S::gt(x, S::splat(3.0)), S::splat(1.0), low)
});
function!(ScaledTanh, S,
    x => S::mul(S::splat(HEIGHT), simd::tanh::<S>(S::mul(x, S::splat(STEEPNESS)))),
    value a => S::fnma(S::mul(a, S::splat(STEEPNESS / HEIGHT)), a, S::splat(STEEPNESS * HEIGHT)));
function!(Softplus, S,
    x => {
        let below = S::sub(S::splat(0.0), S::max(x, S::sub(S::splat(0.0), x)));
        let rest = simd::log_1p::<S>(simd::exp::<S>(below));
        S::add(S::select(S::gt(S::splat(0.0), x), S::splat(0.0), x), rest)
    },
    argument x => simd::sigmoid::<S>(x));

/// Calls `$body` with `$F` standing for the function of an `Option<Activation>`.
macro_rules! with_function {
    ($activation:expr, $F:ident => $body:expr) => {
        $crate::kernel::activation::with_function!(@match $activation, $F, $body,
            Sigmoid Tanh Relu LeakyRelu Elu Gelu Silu HardSwish ScaledTanh Softplus)
    };
    (@match $activation:expr, $F:ident, $body:expr, $($name:ident)*) => {
        match $activation {
            None => {
                type $F = $crate::kernel::activation::Identity;
                $body
            }
            $(Some($crate::spec::Activation::$name) => {
                type $F = $crate::kernel::activation::$name;
                $body
            })*
        }
    };
}
pub(crate) use with_function;

/// The naive reference in f64: value and derivative.
pub fn naive(activation: Activation, x: f64) -> (f64, f64) {
    let sigmoid = 1.0 / (1.0 + (-x).exp());
    match activation {
        Activation::Sigmoid => (sigmoid, sigmoid * (1.0 - sigmoid)),
        Activation::Tanh => (x.tanh(), 1.0 - x.tanh() * x.tanh()),
        Activation::Relu => (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 }),
        Activation::LeakyRelu if x > 0.0 => (x, 1.0),
        Activation::LeakyRelu => (0.01 * x, 0.01),
        Activation::Elu if x > 0.0 => (x, 1.0),
        Activation::Elu => (x.exp_m1(), x.exp()),
        Activation::Gelu => {
            let distribution = 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
            let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
            (x * distribution, distribution + x * density)
        }
        Activation::Silu => (x * sigmoid, sigmoid * (1.0 + x * (1.0 - sigmoid))),
        Activation::HardSwish if x < -3.0 => (0.0, 0.0),
        Activation::HardSwish if x > 3.0 => (x, 1.0),
        Activation::HardSwish => (x * (x + 3.0) / 6.0, x / 3.0 + 0.5),
        Activation::ScaledTanh => {
            let t = (2.0 / 3.0 * x).tanh();
            (1.7159 * t, 1.7159 * 2.0 / 3.0 * (1.0 - t * t))
        }
        Activation::Softplus => (x.max(0.0) + (-x.abs()).exp().ln_1p(), sigmoid),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{CHUNK, Path, Program, dispatch};
    use std::marker::PhantomData;

    struct Both<'a, F>(&'a [f32; CHUNK], PhantomData<F>);

    impl<F: Function> Program for Both<'_, F> {
        type Output = [[f32; CHUNK]; 2];

        #[inline(always)]
        unsafe fn run<S: Simd>(self) -> Self::Output {
            let mut out = [[0.0; CHUNK]; 2];
            // SAFETY: whole vectors of 16 floats.
            unsafe {
                for i in (0..CHUNK).step_by(S::LANES) {
                    let x = S::load(self.0.as_ptr().add(i));
                    let value = F::value::<S>(x);
                    S::store(out[0].as_mut_ptr().add(i), value);
                    S::store(out[1].as_mut_ptr().add(i), slope::<S, F>(x, value));
                }
            }
            out
        }
    }

    fn apply(path: Path, activation: Activation, x: &[f32; CHUNK]) -> [[f32; CHUNK]; 2] {
        // SAFETY: tests go through available paths only.
        with_function!(Some(activation), F => unsafe { dispatch(path, Both::<F>(x, PhantomData)) })
    }

    #[test]
    fn values_and_slopes_are_those_of_the_formulas_on_every_path() {
        for activation in Activation::ALL {
            let mut worst = 0.0f64;
            for start in -2_000..2_000 {
                let x: [f32; CHUNK] = std::array::from_fn(|i| (start as f32 + i as f32 / 16.0 + 0.013) / 100.0);
                let first = apply(Path::PORTABLE, activation, &x);
                for lane in 0..CHUNK {
                    let (value, slope) = naive(activation, f64::from(x[lane]));
                    worst = worst.max((f64::from(first[0][lane]) - value).abs() / value.abs().max(1.0));
                    worst = worst.max((f64::from(first[1][lane]) - slope).abs());
                }
                for path in Path::available() {
                    let same = apply(path, activation, &x);
                    assert_eq!(same.map(|v| v.map(f32::to_bits)), first.map(|v| v.map(f32::to_bits)), "{path}");
                }
            }
            // 1 - sigmoid loses digits far from 0, times x.
            let allowed = if activation == Activation::Silu { 1.5e-6 } else { 6e-7 };
            assert!(worst < allowed, "{}: {worst}", activation.name());
        }
    }

    #[test]
    fn extremes_stay_finite_and_nan_stays_nan() {
        let mut x = [0.0; CHUNK];
        x[..5].copy_from_slice(&[f32::NAN, 1e4, -1e4, 89.0, -89.0]);
        for activation in Activation::ALL {
            for path in Path::available() {
                let [value, slope] = apply(path, activation, &x);
                assert!(value[0].is_nan(), "{path} {}", activation.name());
                for lane in 1..5 {
                    let (want, slope_want) = naive(activation, f64::from(x[lane]));
                    let name = activation.name();
                    assert!((f64::from(value[lane]) - want).abs() <= 1e-6 * want.abs().max(1.0), "{name} {}", x[lane]);
                    assert!((f64::from(slope[lane]) - slope_want).abs() < 1e-6, "{name} slope at {}", x[lane]);
                }
            }
        }
    }
}
