//! The multiply-add peak: a loop of independent multiply-adds that touches no memory.

use crate::kernel::{Path, Program, Simd, dispatch};
use std::hint::black_box;
use std::time::Instant;

/// Multiply-adds a second of one thread on a path, the best of several short bursts in about `seconds`.
pub fn peak(path: Path, seconds: f64) -> f64 {
    let start = Instant::now();
    let mut rounds = 2_000;
    let mut best = 0.0f64;
    loop {
        let burst = Instant::now();
        // SAFETY: callers choose among available paths.
        let done = unsafe { dispatch(path, Peak { rounds }) };
        let elapsed = burst.elapsed().as_secs_f64();
        best = best.max(done as f64 / elapsed);
        if elapsed < 2e-4 {
            rounds *= 2;
        }
        if start.elapsed().as_secs_f64() >= seconds {
            return best;
        }
    }
}

struct Peak {
    rounds: usize,
}

impl Program for Peak {
    type Output = usize;

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> usize {
        // Enough chains for two multiply-adds a cycle that take up to six cycles each.
        const CHAINS: usize = 12;
        // SAFETY: this runs on S's path; stores go to an array of 16 floats.
        unsafe {
            let (a, b) = (S::splat(black_box(0.999)), S::splat(black_box(1e-3)));
            let mut acc = [S::splat(black_box(1.0)); CHAINS];
            for _ in 0..self.rounds {
                for chain in &mut acc {
                    *chain = S::fma(*chain, a, b);
                }
            }
            let mut out = [0.0f32; 16];
            for chain in acc {
                S::store(out.as_mut_ptr(), chain);
                black_box(&out);
            }
        }
        self.rounds * CHAINS * S::LANES
    }
}
