//! Activation of one sample, pixels in the lanes.

use super::{Function, with_function};
use crate::kernel::path::{Path, Program, dispatch};
use crate::kernel::simd::Simd;
use crate::spec::Activation;

/// Applies an activation in place; up to a vector behind the slice's last whole vector is computed in scratch.
pub fn activate(path: Path, activation: Option<Activation>, values: &mut [f32]) {
    if activation.is_some() {
        with_function!(activation, f => {
            // SAFETY: works on a slice.
            unsafe { dispatch(path, Activate { values, f }) }
        })
    }
}

struct Activate<'a, F> {
    values: &'a mut [f32],
    f: F,
}

impl<F: Function> Program for Activate<'_, F> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        // SAFETY: whole vectors of the slice, and a buffer of 16 floats for what is left.
        unsafe {
            for v in self.values.chunks_mut(S::LANES) {
                let mut edge = [0.0f32; 16];
                let n = v.len();
                let at = if n == S::LANES {
                    v.as_mut_ptr()
                } else {
                    edge[..n].copy_from_slice(v);
                    edge.as_mut_ptr()
                };
                S::store(at, self.f.value::<S>(S::load(at)));
                if n < S::LANES {
                    v.copy_from_slice(&edge[..n]);
                }
            }
        }
    }
}
