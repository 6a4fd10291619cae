//! What all contractions share: where values lie, the register tiles, and which tiles make up an operator.

pub mod contract;
pub mod frame;
pub mod point;
pub mod tile;
