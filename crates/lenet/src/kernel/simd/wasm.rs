//! WebAssembly's vectors: 4 lanes; engines put them into the 16 registers of SSE or the 32 of NEON.
//!
//! Multiply-adds are rounded twice. Compiled with the target feature `relaxed-simd` they are rounded once wherever the
//! machine below fuses them, which WebAssembly leaves open.

use super::Simd;
use std::arch::wasm32::*;

/// The 128-bit vectors of WebAssembly.
#[derive(Clone, Copy)]
pub struct Simd128;

macro_rules! ops {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $body:expr;)*) => {
        $(
            #[inline(always)]
            unsafe fn $name($($arg: $ty),*) -> $ret {
                // SAFETY: features and pointers are valid by the trait's contract.
                #[allow(unused_unsafe)]
                unsafe { $body }
            }
        )*
    };
}

impl Simd for Simd128 {
    const LANES: usize = 4;
    type V = v128;
    type M = v128;

    ops! {
        load(p: *const f32) -> v128 = v128_load(p.cast());
        store(p: *mut f32, v: v128) -> () = v128_store(p.cast(), v);
        splat(x: f32) -> v128 = f32x4_splat(x);
        add(a: v128, b: v128) -> v128 = f32x4_add(a, b);
        sub(a: v128, b: v128) -> v128 = f32x4_sub(a, b);
        mul(a: v128, b: v128) -> v128 = f32x4_mul(a, b);
        div(a: v128, b: v128) -> v128 = f32x4_div(a, b);
        min(a: v128, b: v128) -> v128 = v128_bitselect(a, b, f32x4_lt(a, b));
        max(a: v128, b: v128) -> v128 = v128_bitselect(a, b, f32x4_gt(a, b));
        gt(a: v128, b: v128) -> v128 = f32x4_gt(a, b);
        select(m: v128, a: v128, b: v128) -> v128 = v128_bitselect(a, b, m);
        exponent(v: v128) -> v128 = i32x4_add(i32x4_shl(v, 23), i32x4_splat(0x3f80_0000));
    }

    #[cfg(not(target_feature = "relaxed-simd"))]
    ops! {
        fma(a: v128, b: v128, c: v128) -> v128 = f32x4_add(f32x4_mul(a, b), c);
        fnma(a: v128, b: v128, c: v128) -> v128 = f32x4_sub(c, f32x4_mul(a, b));
    }

    #[cfg(target_feature = "relaxed-simd")]
    ops! {
        fma(a: v128, b: v128, c: v128) -> v128 = f32x4_relaxed_madd(a, b, c);
        fnma(a: v128, b: v128, c: v128) -> v128 = f32x4_relaxed_nmadd(a, b, c);
    }
}
