//! Plans: from a network to the stages that chunks go through.

mod block;
mod flow;
mod program;
mod rounds;
mod slab;
mod stage;

pub(super) use block::{Block, blocks, borders};
pub(super) use flow::{Gradient, Part};
pub(super) use program::Program;
pub(super) use slab::{From, To};
pub(super) use stage::{Stage, Work};

#[cfg(test)]
mod tests;
