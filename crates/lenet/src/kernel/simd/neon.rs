//! NEON: 4 lanes, 32 registers.

use super::Simd;
use std::arch::aarch64::*;

/// NEON, which every AArch64 CPU has.
#[derive(Clone, Copy)]
pub struct Neon;

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

impl Simd for Neon {
    const LANES: usize = 4;
    type V = float32x4_t;
    type M = uint32x4_t;

    ops! {
        load(p: *const f32) -> float32x4_t = vld1q_f32(p);
        store(p: *mut f32, v: float32x4_t) -> () = vst1q_f32(p, v);
        splat(x: f32) -> float32x4_t = vdupq_n_f32(x);
        add(a: float32x4_t, b: float32x4_t) -> float32x4_t = vaddq_f32(a, b);
        sub(a: float32x4_t, b: float32x4_t) -> float32x4_t = vsubq_f32(a, b);
        mul(a: float32x4_t, b: float32x4_t) -> float32x4_t = vmulq_f32(a, b);
        div(a: float32x4_t, b: float32x4_t) -> float32x4_t = vdivq_f32(a, b);
        fma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmaq_f32(c, a, b);
        fnma(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t = vfmsq_f32(c, a, b);
        min(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcltq_f32(a, b), a, b);
        max(a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(vcgtq_f32(a, b), a, b);
        gt(a: float32x4_t, b: float32x4_t) -> uint32x4_t = vcgtq_f32(a, b);
        select(m: uint32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t = vbslq_f32(m, a, b);
        exponent(v: float32x4_t) -> float32x4_t = vreinterpretq_f32_s32(vaddq_s32(
            vshlq_n_s32::<23>(vreinterpretq_s32_f32(v)),
            vdupq_n_s32(0x3f80_0000),
        ));
    }
}
