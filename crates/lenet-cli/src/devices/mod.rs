//! What computes: a GPU, or several processes.

pub mod cluster;
pub mod gpu;
