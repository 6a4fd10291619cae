use super::*;
use crate::kernel::{CHUNK, Path, Program, dispatch};

/// Every activation, and those with settings with others too.
fn all() -> impl Iterator<Item = Activation> {
    let others = [
        Activation::LeakyRelu { slope: 0.0 },
        Activation::LeakyRelu { slope: 0.3 },
        Activation::Elu { alpha: 0.4 },
        Activation::Elu { alpha: 1.7 },
        Activation::Gelu { approximate: Approximate::Tanh },
    ];
    Activation::ALL.into_iter().chain(others)
}

struct Both<'a, F>(&'a [f32; CHUNK], F);

impl<F: Function> Program for Both<'_, F> {
    type Output = [[f32; CHUNK]; 2];

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> Self::Output {
        let mut out = [[0.0; CHUNK]; 2];
        // SAFETY: whole vectors of 16 floats.
        unsafe {
            for i in (0..CHUNK).step_by(S::LANES) {
                let x = S::load(self.0.as_ptr().add(i));
                let value = self.1.value::<S>(x);
                S::store(out[0].as_mut_ptr().add(i), value);
                S::store(out[1].as_mut_ptr().add(i), self.1.slope_at::<S>(x, value));
            }
        }
        out
    }
}

fn apply(path: Path, activation: Activation, x: &[f32; CHUNK]) -> [[f32; CHUNK]; 2] {
    // SAFETY: tests go through available paths only.
    with_function!(Some(activation), f => unsafe { dispatch(path, Both(x, f)) })
}

#[test]
fn values_and_slopes_are_those_of_the_formulas_on_every_path() {
    for activation in all() {
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
        assert!(worst < allowed, "{activation:?}: {worst}");
    }
}

#[test]
fn extremes_stay_finite_and_nan_stays_nan() {
    let mut x = [0.0; CHUNK];
    x[..5].copy_from_slice(&[f32::NAN, 1e4, -1e4, 89.0, -89.0]);
    for activation in all() {
        for path in Path::available() {
            let [value, slope] = apply(path, activation, &x);
            assert!(value[0].is_nan(), "{path} {activation:?}");
            for lane in 1..5 {
                let (want, slope_want) = naive(activation, f64::from(x[lane]));
                assert!(
                    (f64::from(value[lane]) - want).abs() <= 1e-6 * want.abs().max(1.0),
                    "{activation:?} {}",
                    x[lane]
                );
                assert!((f64::from(slope[lane]) - slope_want).abs() < 1e-6, "{activation:?} slope at {}", x[lane]);
            }
        }
    }
}

/// What maxima before the activation rest on ([`Course::peaks_at_an_end`]), and the choice of convolutions on kinks.
#[test]
fn facts_are_those_of_the_formulas() {
    for activation in all() {
        let points: Vec<(f64, f64)> = (-4000..4000).map(|i| naive(activation, (f64::from(i) + 0.5) / 400.0)).collect();
        let rises = points.windows(2).position(|w| w[1].0 > w[0].0).unwrap_or(0);
        let Facts { kinks, course } = facts(activation);
        assert!(points[rises..].windows(2).all(|w| w[1].0 >= w[0].0), "{activation:?}");
        assert!(points[..rises].windows(2).all(|w| w[1].0 <= w[0].0), "{activation:?}");
        assert_eq!(course == Course::Rises, points[..=rises].windows(2).all(|w| w[1].0 >= w[0].0), "{activation:?}");
        let jumps = points.windows(2).enumerate().filter(|(_, w)| (w[1].1 - w[0].1).abs() > 0.1);
        let at: Vec<f64> = jumps.map(|(i, _)| (i as f64 - 3999.0) / 400.0).collect();
        assert_eq!(kinks, at, "{activation:?}");
    }
}

/// With their settings as by default, the two compute what they did before they had any.
#[test]
fn usual_settings_change_no_bit() {
    let x: [f32; CHUNK] = std::array::from_fn(|i| i as f32 * 0.37 - 4.1);
    for path in Path::available() {
        let leaky = apply(path, Activation::LeakyRelu { slope: 0.01 }, &x);
        let elu = apply(path, Activation::Elu { alpha: 1.0 }, &x);
        // Of alpha 2, an exact double.
        let twice = apply(path, Activation::Elu { alpha: 2.0 }, &x);
        for (lane, x) in x.into_iter().enumerate() {
            let want = if x > 0.0 { [x, 1.0] } else { [0.01 * x, 0.01] };
            assert_eq!(leaky.map(|v| v[lane].to_bits()), want.map(f32::to_bits), "{path} {x}");
            let double = if x > 0.0 { elu[0][lane] } else { 2.0 * elu[0][lane] };
            assert_eq!(twice[0][lane].to_bits(), double.to_bits(), "{path} {x}");
        }
    }
}
