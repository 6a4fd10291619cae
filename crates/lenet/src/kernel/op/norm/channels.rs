//! What normalisations know of their channels, and the last step of the way back.

use crate::kernel::op::epilogue::Epilogue;
use crate::kernel::plan::frame::Frame;
use crate::kernel::simd::{CHUNK, Simd};
use std::ops::Range;

/// What is known of each channel, by channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Channels {
    /// Factor of z.
    pub scale: Vec<f32>,
    /// Added to the scaled z.
    pub shift: Vec<f32>,
    /// Mean of z.
    pub mean: Vec<f32>,
    /// 1 / √(variance of z + eps)
    pub inverse: Vec<f32>,
    /// Mean over the batch of the gradient of the normalised, scaled and shifted value.
    pub mean_gradient: Vec<f32>,
    /// Mean over the batch of that gradient times the normalised value.
    pub mean_product: Vec<f32>,
}

impl Channels {
    /// Neutral values.
    pub fn new(n: usize) -> Self {
        let zeros = || vec![0.0; n];
        let ones = || vec![1.0; n];
        let (mean_gradient, mean_product) = (zeros(), zeros());
        Channels { scale: ones(), shift: zeros(), mean: zeros(), inverse: ones(), mean_gradient, mean_product }
    }

    pub(super) fn check(&self, n: usize) {
        let all = [&self.scale, &self.shift, &self.mean, &self.inverse, &self.mean_gradient, &self.mean_product];
        assert!(all.iter().all(|v| v.len() == n), "one value a channel");
    }
}

/// A channel's values in vectors.
#[derive(Clone, Copy)]
pub(super) struct Channel<S: Simd> {
    pub scale: S::V,
    pub shift: S::V,
    pub mean: S::V,
    pub inverse: S::V,
    /// What the gradient of z has of the distance of z from its mean.
    slope: S::V,
    /// What it has in any case.
    constant: S::V,
}

impl<S: Simd> Channel<S> {
    #[inline(always)]
    pub unsafe fn new(k: &Channels, c: usize) -> Self {
        // SAFETY: the caller runs on S's path.
        unsafe {
            Channel {
                scale: S::splat(k.scale[c]),
                shift: S::splat(k.shift[c]),
                mean: S::splat(k.mean[c]),
                inverse: S::splat(k.inverse[c]),
                slope: S::splat(-(k.scale[c] * k.inverse[c] * k.mean_product[c])),
                constant: S::splat(-(k.scale[c] * k.mean_gradient[c])),
            }
        }
    }

    /// The gradient of z from d: `scale · (d - mean d - ẑ · mean (d · ẑ))`.
    #[inline(always)]
    pub unsafe fn gradient(&self, z: S::V, d: S::V) -> S::V {
        // SAFETY: the caller runs on S's path.
        unsafe { S::fma(self.scale, d, S::fma(self.slope, S::sub(z, self.mean), self.constant)) }
    }
}

/// Lanes from `samples` on of some rows become 0.
pub(super) fn clear_lanes(f: &Frame, rows: Range<usize>, samples: usize, z: &mut [f32]) {
    if samples == CHUNK {
        return;
    }
    for (c, row) in (0..f.channels).flat_map(|c| rows.clone().map(move |row| (c, row))) {
        let at = f.at(c, row, 0);
        z[at..at + f.cols * CHUNK].as_chunks_mut::<CHUNK>().0.iter_mut().for_each(|v| v[samples..].fill(0.0));
    }
}

/// Gives what the windows of row `r` of y leave out of the rows of z that belong to it, from `z` on, its gradient.
///
/// # Safety
/// These rows must lie within z's frame, and the caller runs on S's path.
#[inline(always)]
pub(super) unsafe fn gaps<S: Simd>(e: &Epilogue, r: usize, z: *mut f32, k: &Channel<S>) {
    let [kh, kw] = e.window;
    // SAFETY: the caller vouches for the rows.
    unsafe {
        for i in 0..e.z_rows(&(r..r + 1)).len() {
            let z = z.add(i * e.z.row());
            if i >= kh {
                gap::<S>(z, e.z.cols, k);
                continue;
            }
            for col in 0..e.y.cols {
                let start = col * e.stride[1] + kw;
                let end = if col + 1 == e.y.cols { e.z.cols } else { (col + 1) * e.stride[1] };
                gap::<S>(z.add(start * CHUNK), end - start, k);
            }
        }
    }
}

/// Positions from `z` on that no window holds.
#[inline(always)]
unsafe fn gap<S: Simd>(z: *mut f32, positions: usize, k: &Channel<S>) {
    // SAFETY: the caller vouches for the positions and runs on S's path.
    unsafe {
        for i in 0..positions {
            let z = z.add(i * CHUNK);
            S::store(z, k.gradient(S::load(z), S::splat(0.0)));
        }
    }
}
