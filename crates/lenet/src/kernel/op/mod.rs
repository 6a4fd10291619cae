//! Operators, a folder each: the SIMD kernel, its naive reference beside it, its tests.

pub mod activation;
pub mod add;
pub mod conv;
pub mod dense;
pub mod dropout;
pub mod epilogue;
pub mod loss;
pub mod norm;
pub mod pool;
pub mod rbf;
