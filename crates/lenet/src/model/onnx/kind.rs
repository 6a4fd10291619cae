//! Element types, as the format numbers them.

pub const FLOAT: u64 = 1;
pub const UINT8: u64 = 2;
pub const INT64: u64 = 7;
