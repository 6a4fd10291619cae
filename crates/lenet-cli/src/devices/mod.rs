//! What computes: the CPU, a GPU, or several processes.

pub mod cluster;
pub mod cpu;
pub mod gpu;
