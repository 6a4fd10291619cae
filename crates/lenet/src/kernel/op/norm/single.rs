//! Normalisation of one sample.

use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::simd::Simd;

/// Scales and shifts the planes of as many channels as have a scale and a shift.
pub fn scale_planes(path: Path, plane: usize, affine: [&[f32]; 2], z: &mut [f32]) {
    // SAFETY: works on slices.
    unsafe { dispatch(path, ScalePlanes { plane, affine, z }) }
}

struct ScalePlanes<'a> {
    plane: usize,
    affine: [&'a [f32]; 2],
    z: &'a mut [f32],
}

impl Program for ScalePlanes<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for (plane, (scale, shift)) in self.z.chunks_mut(self.plane).zip(self.affine[0].iter().zip(self.affine[1])) {
            for v in plane {
                *v = v.mul_add(*scale, *shift);
            }
        }
    }
}
