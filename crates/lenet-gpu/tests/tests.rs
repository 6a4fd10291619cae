//! The GPU engine against PyTorch and the CPU: one program for all tests. Without a GPU, Mesa's lavapipe plays one.

#[path = "../../lenet/tests/kit/mod.rs"]
mod kit;

mod parity;
mod runs;
