//! Vectors of the paths this crate can take: AVX-512, AVX2, NEON, WebAssembly's, and one in portable Rust.
//!
//! Every operation here is exactly rounded or an exact selection, and kernels fix the order in which they use them, so
//! that all paths give the same bits. Hence no reciprocal estimates, and `min`/`max` with one rule for NaN everywhere.
//! WebAssembly alone rounds multiply-adds twice: its vectors have no fused one, and one in software would be some thirty
//! times slower. Its results differ in the last bits; who needs the same ones there asks for the portable path.

#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use portable::Portable;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub use wasm::Simd128;
#[cfg(target_arch = "x86_64")]
pub use x86::Avx2;
#[cfg(all(target_arch = "x86_64", feature = "avx512"))]
pub use x86::Avx512;

/// Samples of a chunk, and lanes of one stored position: a constant of the format, on every machine.
pub const CHUNK: usize = 16;

/// A vector of `LANES` f32, and what kernels do with it.
///
/// # Safety
/// All methods need the CPU features of the implementing path: call them from a function that enables these features.
/// Pointers must be valid for `LANES` floats; they need no alignment.
#[allow(clippy::missing_safety_doc)]
pub trait Simd: Copy + Send + Sync + 'static {
    /// Floats a vector.
    const LANES: usize;
    /// Vectors that hold one position of a chunk.
    const PER_POSITION: usize = CHUNK / Self::LANES;
    /// Whether code outside of a kernel has the same instructions, so that something large may be a function of its own.
    const CALLS: bool = false;
    /// The vector.
    type V: Copy;
    /// One truth value a lane.
    type M: Copy;

    /// Reads `LANES` floats.
    unsafe fn load(p: *const f32) -> Self::V;
    /// Writes `LANES` floats.
    unsafe fn store(p: *mut f32, v: Self::V);
    /// x in every lane.
    unsafe fn splat(x: f32) -> Self::V;
    /// `a + b`
    unsafe fn add(a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`
    unsafe fn sub(a: Self::V, b: Self::V) -> Self::V;
    /// `a · b`
    unsafe fn mul(a: Self::V, b: Self::V) -> Self::V;
    /// `a / b`
    unsafe fn div(a: Self::V, b: Self::V) -> Self::V;
    /// `a · b + c`, rounded once.
    unsafe fn fma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c - a · b`, rounded once.
    unsafe fn fnma(a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `a < b ? a : b`: b where either is NaN.
    unsafe fn min(a: Self::V, b: Self::V) -> Self::V;
    /// `a > b ? a : b`: b where either is NaN.
    unsafe fn max(a: Self::V, b: Self::V) -> Self::V;
    /// `a > b`, false where either is NaN.
    unsafe fn gt(a: Self::V, b: Self::V) -> Self::M;
    /// `m ? a : b`
    unsafe fn select(m: Self::M, a: Self::V, b: Self::V) -> Self::V;
    /// The bits of each lane, shifted left by 23, plus those of 1.0: turns an integer n that was rounded into the low
    /// bits of a float's mantissa into 2ⁿ.
    unsafe fn exponent(v: Self::V) -> Self::V;
    /// `LANES` bytes as floats.
    #[inline(always)]
    unsafe fn from_bytes(p: *const u8) -> Self::V {
        let mut floats = [0.0f32; CHUNK];
        // SAFETY: the caller vouches for `LANES` bytes; the array has as many floats and more.
        unsafe {
            for i in 0..Self::LANES {
                floats[i] = f32::from(*p.add(i));
            }
            Self::load(floats.as_ptr())
        }
    }
    /// Writes 8 × 8 floats transposed: `to[j · to_row + i] = from[i · CHUNK + j]`.
    #[inline(always)]
    unsafe fn transpose_8(from: *const f32, to: *mut f32, to_row: usize) {
        // SAFETY: the caller vouches for 8 rows of 8 floats on both sides.
        unsafe {
            for i in 0..8 {
                for j in 0..8 {
                    *to.add(j * to_row + i) = *from.add(i * CHUNK + j);
                }
            }
        }
    }
    /// The lanes of a, then those of b, taken in turn: those with even numbers, those with odd ones.
    #[inline(always)]
    unsafe fn unzip(a: Self::V, b: Self::V) -> (Self::V, Self::V) {
        let (mut all, mut parts) = ([0.0f32; 2 * CHUNK], [[0.0f32; CHUNK]; 2]);
        // SAFETY: the caller runs on this path; the arrays hold two vectors, and one each.
        unsafe {
            Self::store(all.as_mut_ptr(), a);
            Self::store(all.as_mut_ptr().add(Self::LANES), b);
            for i in 0..2 * Self::LANES {
                parts[i % 2][i / 2] = all[i];
            }
            (Self::load(parts[0].as_ptr()), Self::load(parts[1].as_ptr()))
        }
    }
    /// Writes the first n floats of a vector, and nothing behind them.
    #[inline(always)]
    unsafe fn store_first(p: *mut f32, v: Self::V, n: usize) {
        let mut all = [0.0f32; CHUNK];
        // SAFETY: the caller runs on this path and vouches for n floats, at most a vector.
        unsafe {
            if n >= Self::LANES {
                return Self::store(p, v);
            }
            Self::store(all.as_mut_ptr(), v);
            for i in 0..n {
                *p.add(i) = all[i];
            }
        }
    }
    /// [`sum_lanes`] of 8 positions.
    #[inline(always)]
    unsafe fn sum_lanes_of_8(positions: &[[f32; CHUNK]; 8], sums: &mut [f32; 8]) {
        for (s, v) in sums.iter_mut().zip(positions) {
            *s = sum_lanes(v);
        }
    }
}

/// 1.5 · 2²³: adding it rounds to an integer in the low bits of the mantissa.
const MAGIC: f32 = 12_582_912.0;
/// ln 2 in two parts; the products of the first with small integers are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;
/// Coefficients of r, r², … of eʳ for |r| ≤ ln 2 / 2: own minimax fit of the relative error, 2.6e-9.
const EXP: [f32; 6] = [1.0, 0.500_000_06, 0.166_663_65, 0.041_664_77, 0.008_379_059, 0.001_406_142_3];

/// eˣ for x in [-87, 88]; outside, the value at the nearer end; NaN stays NaN. Error below 1.5 ulp.
///
/// Cody-Waite reduction to |r| ≤ ln 2 / 2, then a polynomial of degree 6.
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller runs on S's path.
    unsafe {
        let x = S::max(S::splat(-87.0), S::min(S::splat(88.0), x));
        let t = S::fma(x, S::splat(std::f32::consts::LOG2_E), S::splat(MAGIC));
        let n = S::sub(t, S::splat(MAGIC));
        let r = S::fnma(n, S::splat(LN_2_HIGH), x);
        let r = S::fnma(n, S::splat(LN_2_LOW), r);
        let p = S::fma(S::splat(EXP[5]), r, S::splat(EXP[4]));
        let p = S::fma(p, r, S::splat(EXP[3]));
        let p = S::fma(p, r, S::splat(EXP[2]));
        let p = S::fma(p, r, S::splat(EXP[1]));
        let p = S::fma(p, r, S::splat(EXP[0]));
        let p = S::fma(p, r, S::splat(1.0));
        S::mul(p, S::exponent(t))
    }
}

/// 1 / (1 + e⁻ˣ).
///
/// The steps of [`exp`] with the sign of x folded into the constants, which saves a subtraction.
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub unsafe fn sigmoid<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller runs on S's path.
    unsafe {
        let x = S::max(S::splat(-88.0), S::min(S::splat(87.0), x));
        let t = S::fnma(x, S::splat(std::f32::consts::LOG2_E), S::splat(MAGIC));
        let n = S::sub(t, S::splat(MAGIC));
        // r is the negative of the reduced argument.
        let r = S::fma(n, S::splat(LN_2_HIGH), x);
        let r = S::fma(n, S::splat(LN_2_LOW), r);
        let p = S::fnma(S::splat(EXP[5]), r, S::splat(EXP[4]));
        let p = S::fnma(p, r, S::splat(EXP[3]));
        let p = S::fnma(p, r, S::splat(EXP[2]));
        let p = S::fnma(p, r, S::splat(EXP[1]));
        let p = S::fnma(p, r, S::splat(EXP[0]));
        let p = S::fnma(p, r, S::splat(1.0));
        let one = S::splat(1.0);
        S::div(one, S::fma(p, S::exponent(t), one))
    }
}

/// tanh x: an odd polynomial for |x| < 0.625 (own minimax fit, 4.5e-9), 1 - 2 / (e²ˣ + 1) beyond.
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub unsafe fn tanh<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller runs on S's path.
    unsafe {
        let one = S::splat(1.0);
        let x2 = S::mul(x, x);
        let p = S::fma(S::splat(-0.005_697_384_5), x2, S::splat(0.020_632_546));
        let p = S::fma(p, x2, S::splat(-0.053_737_797));
        let p = S::fma(p, x2, S::splat(0.133_314_2));
        let p = S::fma(p, x2, S::splat(-0.333_332_8));
        let small = S::fma(S::mul(p, x2), x, x);
        let e = exp::<S>(S::add(x, x));
        let large = S::sub(one, S::div(S::splat(2.0), S::add(e, one)));
        // x² is compared, so that NaN takes either branch and stays NaN.
        S::select(S::gt(S::splat(0.625 * 0.625), x2), small, large)
    }
}

/// Distribution function and density of the standard normal at x.
///
/// erfc(t) = s · P(s) · exp(-t²) with s = 1 / (1 + 0.4 t) and an own minimax fit of P for t ≥ 0, error below 2e-8; the
/// other side by symmetry.
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub unsafe fn normal<S: Simd>(x: S::V) -> (S::V, S::V) {
    // SAFETY: the caller runs on S's path.
    unsafe {
        let (zero, one) = (S::splat(0.0), S::splat(1.0));
        let t = S::mul(S::max(x, S::sub(zero, x)), S::splat(std::f32::consts::FRAC_1_SQRT_2));
        let e = exp::<S>(S::mul(S::mul(x, x), S::splat(-0.5)));
        let s = S::div(one, S::fma(t, S::splat(0.4), one));
        let p = S::fma(S::splat(0.078_132_9), s, S::splat(-0.411_990_76));
        let p = S::fma(p, s, S::splat(0.717_274_25));
        let p = S::fma(p, s, S::splat(-0.407_087_3));
        let p = S::fma(p, s, S::splat(0.427_799_52));
        let p = S::fma(p, s, S::splat(0.133_568_66));
        let p = S::fma(p, s, S::splat(0.237_404_53));
        let p = S::fma(p, s, S::splat(0.224_898_22));
        let tail = S::mul(S::mul(S::mul(p, s), e), S::splat(0.5));
        let distribution = S::select(S::gt(x, zero), S::sub(one, tail), tail);
        (distribution, S::mul(e, S::splat(0.398_942_28)))
    }
}

/// ln(1 + u) for u in [0, 1]: 2 · artanh(u / (2 + u)) by an own minimax fit, 7e-9.
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub unsafe fn log_1p<S: Simd>(u: S::V) -> S::V {
    // SAFETY: the caller runs on S's path.
    unsafe {
        let z = S::div(u, S::add(u, S::splat(2.0)));
        let z2 = S::mul(z, z);
        let p = S::fma(S::splat(0.232_537_73), z2, S::splat(0.217_000_44));
        let p = S::fma(p, z2, S::splat(0.285_928_1));
        let p = S::fma(p, z2, S::splat(0.399_996_97));
        let p = S::fma(p, z2, S::splat(0.666_666_7));
        S::fma(S::mul(p, z2), z, S::add(z, z))
    }
}

/// Sum of the 16 lanes of one stored position, always as the tree (l, l+8), (l, l+4), (l, l+2), (l, l+1).
#[inline]
pub fn sum_lanes(v: &[f32; CHUNK]) -> f32 {
    let a: [f32; 8] = std::array::from_fn(|i| v[i] + v[i + 8]);
    let b: [f32; 4] = std::array::from_fn(|i| a[i] + a[i + 4]);
    (b[0] + b[2]) + (b[1] + b[3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Path, Program, dispatch};

    struct Apply<'a>(&'a [f32; CHUNK], u8);

    impl Program for Apply<'_> {
        type Output = [f32; CHUNK];

        #[inline(always)]
        unsafe fn run<S: Simd>(self) -> [f32; CHUNK] {
            let mut out = [0.0; CHUNK];
            // SAFETY: whole vectors of 16 floats.
            unsafe {
                for i in (0..CHUNK).step_by(S::LANES) {
                    let x = S::load(self.0.as_ptr().add(i));
                    let y = match self.1 {
                        0 => exp::<S>(x),
                        1 => sigmoid::<S>(x),
                        _ => tanh::<S>(x),
                    };
                    S::store(out.as_mut_ptr().add(i), y);
                }
            }
            out
        }
    }

    fn apply(path: Path, x: &[f32; CHUNK], function: u8) -> [f32; CHUNK] {
        // SAFETY: tests go through available paths only.
        unsafe { dispatch(path, Apply(x, function)) }
    }

    #[test]
    fn functions_are_accurate_and_the_same_on_every_path() {
        let exact: [fn(f64) -> f64; 3] = [f64::exp, |x| 1.0 / (1.0 + (-x).exp()), f64::tanh];
        for start in (-87_000..87_000).step_by(7) {
            let x: [f32; CHUNK] = std::array::from_fn(|i| (start as f32 + i as f32 * 0.4) / 1000.0);
            for function in 0..3u8 {
                let first = apply(Path::PORTABLE, &x, function);
                for (x, y) in x.iter().zip(first) {
                    let want = exact[function as usize](f64::from(*x));
                    let error = (f64::from(y) - want).abs() / want.abs().max(1e-30);
                    assert!(error < 2.5e-7, "function {function} of {x}: {y} for {want}");
                }
                for path in Path::available() {
                    assert_eq!(apply(path, &x, function).map(f32::to_bits), first.map(f32::to_bits), "{path}");
                }
            }
        }
    }

    #[test]
    fn extremes_stay_finite_and_nan_stays_nan() {
        let mut x = [0.0; CHUNK];
        x[..6].copy_from_slice(&[f32::NAN, 1e30, -1e30, f32::INFINITY, f32::NEG_INFINITY, -100.0]);
        for path in Path::available() {
            let e = apply(path, &x, 0);
            assert!(e[0].is_nan() && e[1].is_finite() && e[1] > 1e38 && e[2] > 0.0 && e[2] < 1e-37);
            let s = apply(path, &x, 1);
            assert!(s[0].is_nan() && s[1] == 1.0 && s[2] >= 0.0 && s[2] < 1e-37 && s[3] == 1.0 && s[4] == s[2]);
            let t = apply(path, &x, 2);
            assert!(t[0].is_nan() && t[1] == 1.0 && t[2] == -1.0 && t[5] == -1.0);
        }
    }

    #[test]
    fn lanes_are_taken_in_turn_and_the_first_ones_stored_on_every_path() {
        struct Both<'a>(&'a [f32], &'a mut [f32], usize);
        impl Program for Both<'_> {
            type Output = usize;
            #[inline(always)]
            unsafe fn run<S: Simd>(self) -> usize {
                // SAFETY: 32 floats before, and 64 after.
                unsafe {
                    let (even, odd) = S::unzip(S::load(self.0.as_ptr()), S::load(self.0.as_ptr().add(S::LANES)));
                    S::store_first(self.1.as_mut_ptr(), even, self.2);
                    S::store_first(self.1.as_mut_ptr().add(32), odd, self.2);
                }
                S::LANES
            }
        }
        let from: Vec<f32> = (1..=32).map(|i| i as f32).collect();
        for path in Path::available() {
            for n in 0..=CHUNK {
                let mut to = [0.0; 64];
                // SAFETY: the path is available.
                let lanes = unsafe { dispatch(path, Both(&from, &mut to, n)) };
                let value = |i: usize, odd: usize| if i < n.min(lanes) { (2 * i + odd + 1) as f32 } else { 0.0 };
                assert!((0..32).all(|i| to[i] == value(i, 0) && to[32 + i] == value(i, 1)), "{path}, {n} floats");
            }
        }
    }

    #[test]
    fn lanes_are_summed_and_transposed_alike_on_every_path() {
        struct Both<'a>(&'a [[f32; CHUNK]; 8], &'a mut [f32; 8], &'a mut [f32; 72]);
        impl Program for Both<'_> {
            type Output = ();
            #[inline(always)]
            unsafe fn run<S: Simd>(self) {
                // SAFETY: 8 rows of 16 floats, and 8 rows of 9.
                unsafe {
                    S::sum_lanes_of_8(self.0, self.1);
                    S::transpose_8(self.0.as_ptr().cast(), self.2.as_mut_ptr(), 9);
                }
            }
        }
        let v: [[f32; CHUNK]; 8] = std::array::from_fn(|i| std::array::from_fn(|j| 1.0 / (1 + i * 31 + j * 7) as f32));
        for path in Path::available() {
            let (mut sums, mut rows) = ([0.0; 8], [0.0; 72]);
            // SAFETY: the path is available.
            unsafe { dispatch(path, Both(&v, &mut sums, &mut rows)) };
            for i in 0..8 {
                assert_eq!(sums[i].to_bits(), sum_lanes(&v[i]).to_bits(), "{path}");
                assert!((0..8).all(|j| rows[j * 9 + i] == v[i][j]), "{path}");
            }
        }
    }
}
