//! The engine's threads under loom (`cargo xtask test-loom`) and ThreadSanitizer (`cargo xtask test-tsan`). Of the pool, the
//! source is compiled here: under loom, nothing else of the library could run.

#![cfg(test)]

#[path = "../../../crates/lenet/src/kernel/denormal.rs"]
#[allow(dead_code)]
mod denormal;
#[path = "../../../crates/lenet/src/engine/threads.rs"]
#[allow(dead_code)]
mod threads;

#[cfg(not(loom))]
mod engine;
#[cfg(loom)]
mod models;

/// What the pool needs of the kernels.
mod kernel {
    pub(super) use super::denormal;
}
