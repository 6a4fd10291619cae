//! Muon: steps along orthogonal matrices.

pub mod orthogonal;
