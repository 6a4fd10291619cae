//! Convolution with fewer multiplications: Winograd's algorithm along the rows of the window ([`pairs`]), or in both
//! dimensions for windows of 3×3 with enough channels ([`square`]).

pub mod pairs;
pub mod square;
