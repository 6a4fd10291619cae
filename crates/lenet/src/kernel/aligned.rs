//! Float buffers on cache-line boundaries, in large pages where they are large.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
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

/// Memory that one or more buffers lie in.
struct Block {
    start: NonNull<u8>,
    layout: Layout,
}

impl Block {
    /// So many bytes of zeros, at least one.
    fn zeros(bytes: usize) -> Block {
        // Whole pages, lest others share the last one.
        let align = if bytes >= PAGE { PAGE } else { LINE };
        let layout =
            Layout::from_size_align(bytes.next_multiple_of(align), align).expect("buffers fit the address space");
        // SAFETY: there is at least one byte, and all are written before anybody reads them.
        unsafe {
            let Some(start) = NonNull::new(alloc(layout)) else { handle_alloc_error(layout) };
            #[cfg(all(target_os = "linux", not(miri)))]
            if align == PAGE {
                // A wish: where it is not granted, pages stay small.
                libc::madvise(start.as_ptr().cast(), layout.size(), libc::MADV_HUGEPAGE);
            }
            start.as_ptr().write_bytes(0, layout.size());
            Block { start, layout }
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
    pub fn zeros(len: usize) -> Self {
        Self::zeros_together([len]).pop().unwrap_or_default()
    }

    /// Buffers of so many zeros, side by side.
    pub fn zeros_together(lens: impl IntoIterator<Item = usize>) -> Vec<Self> {
        let lens: Vec<usize> = lens.into_iter().collect();
        let bytes = |len: &usize| (len * size_of::<f32>()).next_multiple_of(LINE);
        let total: usize = lens.iter().map(bytes).sum();
        let block = (total > 0).then(|| Arc::new(Block::zeros(total)));
        let mut at = 0;
        let cut = |len: &usize| match &block {
            Some(block) if *len > 0 => {
                // SAFETY: buffers lie one behind the other within the block, on lines.
                let start = unsafe { block.start.add(at).cast() };
                at += bytes(len);
                AlignedVec { block: Some(block.clone()), start, len: *len }
            }
            _ => AlignedVec::default(),
        };
        lens.iter().map(cut).collect()
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
    fn buffers_side_by_side_are_apart_and_outlive_one_another() {
        let lens = [3, 0, 1000, 600_000, 17];
        let mut all = AlignedVec::zeros_together(lens);
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
