//! Operators: one file each, SIMD beside its naive reference.
