//! Windows of 3×3 by squares of 4×4 outputs: Winograd's algorithm in both dimensions.
//!
//! A square comes from 36 products a pair of channels instead of 144. Along each side polynomials are evaluated at the six
//! points 0, ±3/4, ±3/2 and infinity: every constant of the transforms is exact, and the rounding errors are about twice those
//! of the direct sum, root mean square (with the points 0, ±1, ±2 four times).
//!
//! | pass | at each of the 36 points | before | after |
//! | --- | --- | --- | --- |
//! | forward | u · v, over input channels | patches of x → v | squares of z |
//! | gradient of the data | the same with turned windows, over output channels | patches of dz → v | squares of dx |
//! | gradient of the weights | d × v, over the squares and samples of a chunk | squares of dz → d, patches of x → v, transposed | sums → dw |
//!
//! Squares that reach past the last row or column are computed in full, from zeros. A sample alone has its squares in the
//! lanes ([`Patches`]): the same operations, so the same bits.

mod cross;
mod grid;
mod patches;
mod plan;
mod transform;
mod window;

pub use patches::Patches;
pub use plan::{Square, fits};

#[cfg(test)]
mod tests;
