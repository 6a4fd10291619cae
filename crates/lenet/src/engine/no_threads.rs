//! In the place of threads, for programs without them: the caller does all tasks.

use crate::kernel::denormal::FlushDenormals;

/// The calling thread alone.
pub struct ThreadPool;

impl ThreadPool {
    /// A pool of the calling thread, whatever is asked for.
    pub fn new(_threads: usize) -> Self {
        ThreadPool
    }

    /// Number of workers, the calling thread included.
    pub fn threads(&self) -> usize {
        1
    }

    /// Runs tasks `0..tasks`, each once.
    pub fn run(&self, tasks: usize, work: &(dyn Fn(usize, usize) + Sync)) {
        let _flush = FlushDenormals::new();
        (0..tasks).for_each(|task| work(0, task));
    }
}
