//! AVX2 with FMA, and AVX-512F.

use super::{CHUNK, Simd};
use std::arch::x86_64::*;

/// AVX2 and FMA: 8 lanes, 16 registers.
#[derive(Clone, Copy)]
pub struct Avx2;

/// AVX-512F: 16 lanes, 32 registers.
#[cfg(feature = "avx512")]
#[derive(Clone, Copy)]
pub struct Avx512;

macro_rules! ops {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $body:expr;)*) => {
        $(
            #[inline(always)]
            unsafe fn $name($($arg: $ty),*) -> $ret {
                // SAFETY: features and pointers are valid by the trait's contract.
                unsafe { $body }
            }
        )*
    };
}

#[inline(always)]
unsafe fn transpose_8(from: *const f32, to: *mut f32, to_row: usize) {
    // SAFETY: AVX by the callers' contract, and 8 rows of 8 floats on both sides.
    unsafe {
        // Rows i and i + 4 share a vector after the first step, halves of rows; then pairs, then single floats.
        let mut a = [_mm256_setzero_ps(); 8];
        for i in 0..4 {
            let (low, high) = (_mm256_loadu_ps(from.add(i * CHUNK)), _mm256_loadu_ps(from.add((i + 4) * CHUNK)));
            a[i] = _mm256_permute2f128_ps::<0x20>(low, high);
            a[i + 4] = _mm256_permute2f128_ps::<0x31>(low, high);
        }
        for half in 0..2 {
            let [r0, r1, r2, r3] = [a[4 * half], a[4 * half + 1], a[4 * half + 2], a[4 * half + 3]];
            let (x, y) = (_mm256_unpacklo_ps(r0, r1), _mm256_unpackhi_ps(r0, r1));
            let (z, w) = (_mm256_unpacklo_ps(r2, r3), _mm256_unpackhi_ps(r2, r3));
            let to = to.add(4 * half * to_row);
            _mm256_storeu_ps(to, _mm256_shuffle_ps::<0x44>(x, z));
            _mm256_storeu_ps(to.add(to_row), _mm256_shuffle_ps::<0xee>(x, z));
            _mm256_storeu_ps(to.add(2 * to_row), _mm256_shuffle_ps::<0x44>(y, w));
            _mm256_storeu_ps(to.add(3 * to_row), _mm256_shuffle_ps::<0xee>(y, w));
        }
    }
}

/// The tree of `sum_lanes` for 8 positions side by side: each level adds what a shuffle has brought together.
#[inline(always)]
unsafe fn sum_lanes_of_8(v: &[[f32; CHUNK]; 8], sums: &mut [f32; 8]) {
    // SAFETY: AVX2 by the callers' contract; all loads and the store are within the arrays.
    unsafe {
        // Loops rather than closures: a closure would be compiled without this path's features.
        let mut half = [_mm256_setzero_ps(); 8];
        for i in 0..8 {
            let p = v[i].as_ptr();
            half[i] = _mm256_add_ps(_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8)));
        }
        // Positions i and i + 4 share a vector, so that the last level leaves the sums in order.
        let mut quarter = [_mm256_setzero_ps(); 4];
        for i in 0..4 {
            let (a, b) = (half[i], half[i + 4]);
            quarter[i] = _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
        }
        let mut pair = [_mm256_setzero_ps(); 2];
        for i in 0..2 {
            let (a, b) = (quarter[2 * i], quarter[2 * i + 1]);
            pair[i] = _mm256_add_ps(_mm256_shuffle_ps::<0x44>(a, b), _mm256_shuffle_ps::<0xee>(a, b));
        }
        let [a, b] = pair;
        let all = _mm256_add_ps(_mm256_shuffle_ps::<0x88>(a, b), _mm256_shuffle_ps::<0xdd>(a, b));
        _mm256_storeu_ps(sums.as_mut_ptr(), all);
    }
}

/// The operations that both paths take from AVX2.
macro_rules! shuffles {
    () => {
        #[inline(always)]
        unsafe fn transpose_8(from: *const f32, to: *mut f32, to_row: usize) {
            // SAFETY: the caller runs on this path, which has AVX, and vouches for the pointers.
            unsafe { transpose_8(from, to, to_row) }
        }

        #[inline(always)]
        unsafe fn sum_lanes_of_8(positions: &[[f32; CHUNK]; 8], sums: &mut [f32; 8]) {
            // SAFETY: the caller runs on this path, which has AVX2.
            unsafe { sum_lanes_of_8(positions, sums) }
        }
    };
}

impl Simd for Avx2 {
    const LANES: usize = 8;
    type V = __m256;
    type M = __m256;

    shuffles!();

    ops! {
        from_bytes(p: *const u8) -> __m256 = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast())));
        load(p: *const f32) -> __m256 = _mm256_loadu_ps(p);
        store(p: *mut f32, v: __m256) -> () = _mm256_storeu_ps(p, v);
        splat(x: f32) -> __m256 = _mm256_set1_ps(x);
        unzip(a: __m256, b: __m256) -> (__m256, __m256) = {
            let (even, odd) = (_mm256_shuffle_ps::<0x88>(a, b), _mm256_shuffle_ps::<0xdd>(a, b));
            let [even, odd] = [_mm256_castps_pd(even), _mm256_castps_pd(odd)];
            (
                _mm256_castpd_ps(_mm256_permute4x64_pd::<0xd8>(even)),
                _mm256_castpd_ps(_mm256_permute4x64_pd::<0xd8>(odd)),
            )
        };
        add(a: __m256, b: __m256) -> __m256 = _mm256_add_ps(a, b);
        sub(a: __m256, b: __m256) -> __m256 = _mm256_sub_ps(a, b);
        mul(a: __m256, b: __m256) -> __m256 = _mm256_mul_ps(a, b);
        div(a: __m256, b: __m256) -> __m256 = _mm256_div_ps(a, b);
        fma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fmadd_ps(a, b, c);
        fnma(a: __m256, b: __m256, c: __m256) -> __m256 = _mm256_fnmadd_ps(a, b, c);
        min(a: __m256, b: __m256) -> __m256 = _mm256_min_ps(a, b);
        max(a: __m256, b: __m256) -> __m256 = _mm256_max_ps(a, b);
        gt(a: __m256, b: __m256) -> __m256 = _mm256_cmp_ps::<_CMP_GT_OQ>(a, b);
        select(m: __m256, a: __m256, b: __m256) -> __m256 = _mm256_blendv_ps(b, a, m);
        exponent(v: __m256) -> __m256 = _mm256_castsi256_ps(_mm256_add_epi32(
            _mm256_slli_epi32::<23>(_mm256_castps_si256(v)),
            _mm256_set1_epi32(0x3f80_0000),
        ));
    }
}

#[cfg(feature = "avx512")]
impl Simd for Avx512 {
    const LANES: usize = 16;
    type V = __m512;
    type M = __mmask16;

    shuffles!();

    ops! {
        from_bytes(p: *const u8) -> __m512 = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast())));
        load(p: *const f32) -> __m512 = _mm512_loadu_ps(p);
        store(p: *mut f32, v: __m512) -> () = _mm512_storeu_ps(p, v);
        splat(x: f32) -> __m512 = _mm512_set1_ps(x);
        unzip(a: __m512, b: __m512) -> (__m512, __m512) = {
            let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
            let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
            (_mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b))
        };
        store_first(p: *mut f32, v: __m512, n: usize) -> () =
            _mm512_mask_storeu_ps(p, if n < 16 { (1u16 << n) - 1 } else { u16::MAX }, v);
        add(a: __m512, b: __m512) -> __m512 = _mm512_add_ps(a, b);
        sub(a: __m512, b: __m512) -> __m512 = _mm512_sub_ps(a, b);
        mul(a: __m512, b: __m512) -> __m512 = _mm512_mul_ps(a, b);
        div(a: __m512, b: __m512) -> __m512 = _mm512_div_ps(a, b);
        fma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fmadd_ps(a, b, c);
        fnma(a: __m512, b: __m512, c: __m512) -> __m512 = _mm512_fnmadd_ps(a, b, c);
        min(a: __m512, b: __m512) -> __m512 = _mm512_min_ps(a, b);
        max(a: __m512, b: __m512) -> __m512 = _mm512_max_ps(a, b);
        gt(a: __m512, b: __m512) -> __mmask16 = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b);
        select(m: __mmask16, a: __m512, b: __m512) -> __m512 = _mm512_mask_blend_ps(m, b, a);
        exponent(v: __m512) -> __m512 = _mm512_castsi512_ps(_mm512_add_epi32(
            _mm512_slli_epi32::<23>(_mm512_castps_si512(v)),
            _mm512_set1_epi32(0x3f80_0000),
        ));
    }
}
