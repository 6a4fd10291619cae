//! The CPU engine: chunks of 16 samples in the lanes, persistent threads, one fixed tree of sums.
//!
//! | file | what it does |
//! | --- | --- |
//! | `plan/` | groups layers into stages, lays out values and gradients, cuts the gradient into what tasks sum |
//! | `cores/` | the kinds of stages, a file each: plan, way forward, way back |
//! | `chunk.rs`, `backward.rs` | one chunk through all stages, and back |
//! | `step.rs` | the chunks of a batch together: rounds, sums of gradients |
//! | `norms.rs` | what normalisations know of the whole batch |
//! | `ranks.rs` | several processes that share a batch |
//! | `update.rs`, `packs.rs` | a step of the optimizer, and the weights packed anew |
//! | `single.rs` | a sample alone |
//! | `engine.rs` | all of it as an [`Engine`](crate::engine::Engine) |

mod backward;
mod chunk;
mod cores;
mod engine;
mod norms;
mod packs;
mod plan;
mod ranks;
mod single;
mod step;
mod tasks;
mod update;

pub use engine::{CpuEngine, CpuOptions, resolve_threads};
pub use ranks::Ranks;
