//! Training across processes and machines, on MPI.
//!
//! Rank 0 runs the trainer, and alone reads checkpoints and writes. Its [`MpiEngine`] tells each call to the other ranks,
//! which do the same with engines of their own ([`MpiEngine::serve`]): every rank takes its share of the batch's chunks, the
//! sums of subtrees of the chunk tree are gathered, and each finishes the tree and updates. The bits are those of a single
//! process ([`lenet::engine::Ranks`]).

mod cluster;
mod engine;
mod message;

pub use cluster::Cluster;
pub use engine::MpiEngine;
