//! Vectors of the paths this crate can take: AVX-512, AVX2, NEON, and one in portable Rust.
//!
//! Every operation here is exactly rounded or an exact selection, and kernels fix the order in which they use them, so
//! that all paths give the same bits. Hence no reciprocal estimates, and `min`/`max` with one rule for NaN everywhere.

#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(target_arch = "aarch64")]
pub use neon::Neon;
pub use portable::Portable;
#[cfg(target_arch = "x86_64")]
pub use x86::{Avx2, Avx512};

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
    /// [`sum_lanes`] of 8 positions.
    #[inline(always)]
    unsafe fn sum_lanes_of_8(positions: &[[f32; CHUNK]; 8], sums: &mut [f32; 8]) {
        for (s, v) in sums.iter_mut().zip(positions) {
            *s = sum_lanes(v);
        }
    }
}

/// eˣ for x in [-87, 88]; outside, the value at the nearer end; NaN stays NaN. Error below 1.5 ulp.
///
/// Cody-Waite reduction to |r| ≤ ln 2 / 2, then a polynomial of degree 6 (own minimax fit of the relative error, 2.6e-9).
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub unsafe fn exp<S: Simd>(x: S::V) -> S::V {
    const MAGIC: f32 = 12_582_912.0; // 1.5 · 2²³: adding it rounds to an integer in the low mantissa bits
    // SAFETY: the caller runs on S's path.
    unsafe {
        let x = S::max(S::splat(-87.0), S::min(S::splat(88.0), x));
        let t = S::fma(x, S::splat(std::f32::consts::LOG2_E), S::splat(MAGIC));
        let n = S::sub(t, S::splat(MAGIC));
        let r = S::fnma(n, S::splat(0.693_359_4), x);
        let r = S::fnma(n, S::splat(-2.121_944_4e-4), r);
        let p = S::fma(S::splat(0.001_406_142_3), r, S::splat(0.008_379_059));
        let p = S::fma(p, r, S::splat(0.041_664_772));
        let p = S::fma(p, r, S::splat(0.166_663_65));
        let p = S::fma(p, r, S::splat(0.500_000_06));
        let p = S::fma(p, r, S::splat(1.0));
        let p = S::fma(p, r, S::splat(1.0));
        S::mul(p, S::exponent(t))
    }
}

/// 1 / (1 + e⁻ˣ).
///
/// # Safety
/// As [`Simd`].
#[inline(always)]
pub unsafe fn sigmoid<S: Simd>(x: S::V) -> S::V {
    // SAFETY: the caller runs on S's path.
    unsafe {
        let one = S::splat(1.0);
        S::div(one, S::add(one, exp::<S>(S::sub(S::splat(0.0), x))))
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

/// Sum of the 16 lanes of one stored position, always as the tree (l, l+8), (l, l+4), (l, l+2), (l, l+1).
#[inline]
pub fn sum_lanes(v: &[f32; CHUNK]) -> f32 {
    let a: [f32; 8] = std::array::from_fn(|i| v[i] + v[i + 8]);
    let b: [f32; 4] = std::array::from_fn(|i| a[i] + a[i + 4]);
    (b[0] + b[2]) + (b[1] + b[3])
}
