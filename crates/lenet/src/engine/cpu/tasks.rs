//! Threads with their instructions, and how slabs are cut into what their tasks write.

use crate::engine::threads::ThreadPool;
use crate::kernel::Path;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Floats that a task works on, about.
pub(super) const TASK: usize = 8192;

/// Threads, and the instructions that they use.
pub(super) struct Team {
    pub pool: ThreadPool,
    pub path: Path,
}

impl Team {
    /// Does all tasks, each once.
    pub fn each<T: Send>(&self, tasks: impl IntoIterator<Item = T>, work: impl Fn(&mut T) + Sync) {
        let tasks: Vec<Mutex<T>> = tasks.into_iter().map(Mutex::new).collect();
        self.pool.run(tasks.len(), &|_, t| work(&mut lock(&tasks[t])));
    }
}

/// What a mutex holds. After a panic elsewhere it holds buffers that the next forward pass overwrites.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same of mutexes that nobody else has.
pub(super) fn open<T>(mutexes: &mut [Mutex<T>]) -> impl Iterator<Item = &mut T> {
    mutexes.iter_mut().map(|m| m.get_mut().unwrap_or_else(PoisonError::into_inner))
}

/// The first values of a slab, which is left without them; nothing of an empty slab.
pub(super) fn take<'a>(slab: &mut &'a mut [f32], len: usize) -> &'a mut [f32] {
    slab.split_off_mut(..len.min(slab.len())).unwrap_or_default()
}

/// A slab that is cut from its start to its end.
pub(super) struct Cutter<'a> {
    rest: &'a mut [f32],
    at: usize,
}

impl<'a> Cutter<'a> {
    pub fn new(slab: &'a mut [f32]) -> Self {
        Cutter { rest: slab, at: 0 }
    }

    /// A range of the slab, behind those that were cut before.
    pub fn cut(&mut self, range: &Range<usize>) -> &'a mut [f32] {
        take(&mut self.rest, range.start - self.at);
        self.at = range.end;
        take(&mut self.rest, range.len())
    }
}
