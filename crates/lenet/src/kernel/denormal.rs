//! Denormals: flushed to zero while kernels run, so that vanishing gradients cost no more than others.

/// Flushes denormals on this thread until dropped, then restores what was.
#[must_use]
pub struct FlushDenormals {
    saved: usize,
}

impl FlushDenormals {
    /// Sets flush-to-zero and denormals-are-zero on this thread.
    pub fn new() -> Self {
        let saved = read();
        write(saved | FLUSH);
        FlushDenormals { saved }
    }
}

impl Default for FlushDenormals {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FlushDenormals {
    fn drop(&mut self) {
        write(self.saved);
    }
}

/// MXCSR: flush to zero (bit 15), denormals are zero (bit 6).
#[cfg(target_arch = "x86_64")]
const FLUSH: usize = 0x8040;

#[cfg(target_arch = "x86_64")]
fn read() -> usize {
    let mut csr: u32 = 0;
    // SAFETY: stores the 32-bit control register to a valid place.
    unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &mut csr, options(nostack)) };
    csr as usize
}

#[cfg(target_arch = "x86_64")]
fn write(csr: usize) {
    let csr = csr as u32;
    // SAFETY: loads a control word that was read from the register, at most with the two flush bits added; no code
    // between relies on denormals.
    unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &csr, options(nostack, readonly)) };
}

/// FPCR: flush to zero (bit 24).
#[cfg(target_arch = "aarch64")]
const FLUSH: usize = 1 << 24;

#[cfg(target_arch = "aarch64")]
fn read() -> usize {
    let fpcr: usize;
    // SAFETY: reads the floating-point control register.
    unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) fpcr, options(nomem, nostack)) };
    fpcr
}

#[cfg(target_arch = "aarch64")]
fn write(fpcr: usize) {
    // SAFETY: writes a control word that was read from the register, at most with the flush bit added.
    unsafe { std::arch::asm!("msr fpcr, {}", in(reg) fpcr, options(nomem, nostack)) };
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const FLUSH: usize = 0;

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn read() -> usize {
    0
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn write(_: usize) {}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::*;
    use std::hint::black_box;

    #[test]
    fn flushes_while_alive_and_restores() {
        let half = || black_box(f32::MIN_POSITIVE) * black_box(0.5);
        assert!(half() > 0.0);
        let guard = FlushDenormals::new();
        assert_eq!(half(), 0.0);
        drop(guard);
        assert!(half() > 0.0);
    }
}
