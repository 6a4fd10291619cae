//! Float buffers on cache-line boundaries, in large pages where they are large.

use std::alloc::{Layout, alloc, dealloc};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

/// Bytes of a large page; with small ones, a pass over buffers of megabytes spends a good part of its time on addresses.
const PAGE: usize = 1 << 21;

/// A cache line.
#[repr(align(64))]
struct Line;
/// Bytes of a cache line.
const LINE: usize = align_of::<Line>();

/// There is no memory for buffers, or no address space: 4 GiB are all that a browser has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory {
    /// What they would take.
    pub bytes: u64,
}

// By hand: the derive macro would be most of the packages of a program that only predicts.
impl fmt::Display for NoMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no memory for {} bytes", self.bytes)
    }
}

impl std::error::Error for NoMemory {}

/// Bytes of so many floats, in whole cache lines; as 64 bits, which hold all that is no mistake.
fn bytes(floats: usize) -> u64 {
    let bytes = (floats as u64).saturating_mul(size_of::<f32>() as u64);
    bytes.checked_next_multiple_of(LINE as u64).unwrap_or(u64::MAX)
}

/// Memory that one or more buffers lie in.
struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

impl Block {
    /// Size and alignment of so many bytes, if the address space has them.
    fn layout(bytes: u64) -> Option<Layout> {
        let bytes = usize::try_from(bytes).ok()?;
        // Whole pages, lest others share the last one.
        let align = if bytes >= PAGE { PAGE } else { LINE };
        Layout::from_size_align(bytes.checked_next_multiple_of(align)?, align).ok()
    }

    /// So many bytes of zeros, at least one.
    fn zeros(bytes: u64) -> Result<Block, NoMemory> {
        let layout = Block::layout(bytes).ok_or(NoMemory { bytes })?;
        // SAFETY: there is at least one byte, and all are written before anybody reads them.
        unsafe {
            let start = NonNull::new(alloc(layout)).ok_or(NoMemory { bytes })?;
            #[cfg(all(target_os = "linux", not(miri)))]
            if layout.align() == PAGE {
                // A wish: where it is not granted, pages stay small.
                libc::madvise(start.as_ptr().cast(), layout.size(), libc::MADV_HUGEPAGE);
            }
            start.as_ptr().write_bytes(0, layout.size());
            Ok(Block { start, layout })
        }
    }
}

// SAFETY: the block only owns its bytes, which any thread may free; buffers alone read and write them.
unsafe impl Send for Block {}
// SAFETY: as above.
unsafe impl Sync for Block {}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and no buffer holds the block any more.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

/// A fixed-size slice of floats, zero at first, that starts on a 64-byte boundary.
pub struct AlignedVec {
    /// Keeps the floats alive; `None` if there are none.
    block: Option<Arc<Block>>,
    start: NonNull<f32>,
    len: usize,
}

// SAFETY: each buffer alone has its floats; the block is only kept.
unsafe impl Send for AlignedVec {}
// SAFETY: as above; shared, floats are only read.
unsafe impl Sync for AlignedVec {}

impl AlignedVec {
    /// `len` zeros.
    ///
    /// # Panics
    /// Without memory for them.
    pub fn zeros(len: usize) -> Self {
        Self::try_zeros(len).unwrap_or_else(|error| panic!("{error}"))
    }

    /// `len` zeros.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn try_zeros(len: usize) -> Result<Self, NoMemory> {
        Ok(Self::zeros_together([len])?.pop().unwrap_or_default())
    }

    /// Buffers of so many zeros, side by side.
    ///
    /// # Errors
    /// There is no memory for them.
    pub fn zeros_together(lens: impl IntoIterator<Item = usize>) -> Result<Vec<Self>, NoMemory> {
        let lens: Vec<usize> = lens.into_iter().collect();
        let total = lens.iter().fold(0u64, |sum, &len| sum.saturating_add(bytes(len)));
        let block = if total > 0 { Some(Arc::new(Block::zeros(total)?)) } else { None };
        let mut at = 0;
        let cut = |len: &usize| match &block {
            Some(block) if *len > 0 => {
                // SAFETY: buffers lie one behind the other within the block, on lines.
                let start = unsafe { block.start.add(at).cast() };
                // The block has as many, so they fit.
                at += bytes(*len) as usize;
                AlignedVec { block: Some(block.clone()), start, len: *len }
            }
            _ => AlignedVec::default(),
        };
        Ok(lens.iter().map(cut).collect())
    }
}

impl Default for AlignedVec {
    fn default() -> Self {
        AlignedVec { block: None, start: NonNull::<Line>::dangling().cast(), len: 0 }
    }
}

impl Clone for AlignedVec {
    fn clone(&self) -> Self {
        let mut copy = AlignedVec::zeros(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for AlignedVec {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        debug_assert!(self.block.is_some() || self.len == 0);
        // SAFETY: `len` initialised floats that are this buffer's alone, or none.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedVec {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_on_a_cache_line_and_is_zero() {
        for len in [0, 1, 15, 16, 17, 1000, 1_000_000] {
            let v = AlignedVec::zeros(len);
            assert_eq!(v.len(), len);
            assert_eq!(v.as_ptr() as usize % 64, 0);
            assert!(v.iter().all(|&x| x == 0.0));
        }
    }

    #[test]
    fn what_no_memory_holds_is_an_error() {
        assert_eq!([0, 1, 16, 17].map(bytes), [0, 64, 64, 128]);
        // 4 · 2³⁰ is 0 in 32 bits.
        assert_eq!(bytes(1 << 30), 1 << 32);
        assert_eq!(Block::layout(1 << 32).is_some(), usize::BITS > 32);
        for bytes in [u64::MAX, u64::MAX - 63, isize::MAX as u64] {
            assert_eq!(Block::layout(bytes), None);
        }
        // These sums and products wrap to less than a page.
        for lens in [vec![usize::MAX / 4 + 2], vec![1 << (usize::BITS - 3); 2], vec![usize::MAX, 7]] {
            assert!(AlignedVec::zeros_together(lens).is_err());
        }
        let error = AlignedVec::try_zeros(isize::MAX as usize / 4).err();
        assert_eq!(error, Some(NoMemory { bytes: isize::MAX as u64 / 64 * 64 + 64 }));
    }

    #[test]
    fn buffers_side_by_side_are_apart_and_outlive_one_another() {
        let lens = [3, 0, 1000, 600_000, 17];
        let mut all = AlignedVec::zeros_together(lens).unwrap();
        for (i, v) in all.iter_mut().enumerate() {
            assert_eq!(v.as_ptr() as usize % 64, 0);
            v.fill(i as f32 + 1.0);
        }
        let copy = all[2].clone();
        for (i, v) in std::mem::take(&mut all).into_iter().enumerate().rev() {
            assert!(v.len() == lens[i] && v.iter().all(|&x| x == i as f32 + 1.0));
        }
        assert!(copy.iter().all(|&x| x == 3.0));
    }
}
