//! One engine a model, shared by Python's threads and made when it is first needed.

use crate::error::{Raise, wrong};
use lenet::engine::{CpuEngine, CpuOptions};
use lenet::model::Model;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Forks between the first process and this one.
static FORKS: AtomicUsize = AtomicUsize::new(0);

/// Python calls this in the child of a fork.
#[pyfunction]
pub fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Checks a number of threads; far more than a machine has is a slip of the finger.
pub fn check_threads(threads: usize) -> PyResult<()> {
    if threads <= 1024 { Ok(()) } else { Err(wrong(format!("threads is {threads}: at most 1024 are possible"))) }
}

/// An engine with the model's parameters.
#[derive(Default)]
pub struct Shared {
    threads: usize,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    engine: Option<CpuEngine>,
    indices: Vec<u32>,
    forks: usize,
}

impl Slot {
    /// The threads of an engine stay behind when a process forks: it could not even be dropped, for that waits for them.
    fn forget_of_parent(&mut self) {
        let forks = FORKS.load(Ordering::Relaxed);
        if self.forks != forks {
            std::mem::forget(self.engine.take());
            self.forks = forks;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.forget_of_parent();
    }
}

impl Shared {
    /// An engine of so many threads; 0 for as many as the machine runs at once.
    pub fn new(threads: usize) -> Self {
        Shared { threads, slot: Mutex::default() }
    }

    /// The option it was made with.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Lends the engine, and the numbers `0..most`; other threads of Python go on while this waits for it.
    pub fn with<T>(
        &self,
        py: Python<'_>,
        model: &Model,
        most: usize,
        work: impl FnOnce(&mut CpuEngine, &[u32]) -> PyResult<T>,
    ) -> PyResult<T> {
        let mut slot = self.slot.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner);
        slot.forget_of_parent();
        let Slot { engine, indices, .. } = &mut *slot;
        if indices.len() < most {
            indices.extend(indices.len() as u32..most as u32);
        }
        let engine = match engine {
            Some(engine) => engine,
            None => {
                let options = CpuOptions { threads: self.threads, path: None };
                engine.insert(model.engine(options).map_err(Raise::raise)?)
            }
        };
        work(engine, &indices[..most])
    }
}
