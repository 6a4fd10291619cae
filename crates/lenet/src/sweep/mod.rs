//! Sweeps: many trainings that differ in some keys of a recipe, ranked by validation.
//!
//! ```text
//! sweep.toml → Sweep → trials (configuration × seed) → runs, rung by rung → ranking → results.csv, best.toml, sweep.svg
//! ```
//!
//! What a sweep does follows from its file alone, whatever runs at the same time: trials are drawn by (seed, number), and
//! halving waits for a rung's last trial before it chooses. All state is in the trials' runs, so a sweep that was killed
//! goes on where it was.

mod error;
pub mod layout;
mod picture;
mod plan;
mod row;
mod run;
mod team;

pub use error::{DrawFault, SweepError, SweepFault};
pub use picture::to_svg;
pub use plan::{Halving, Method, Sweep, Trial};
pub use row::{Found, Row, Status};
pub use run::{Progress, Sweeper};
pub use team::Team;
