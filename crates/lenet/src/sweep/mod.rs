//! Sweeps: many trainings that differ in some keys of a recipe, ranked by validation.
//!
//! ```text
//! sweep.toml → Sweep → trials (configuration × seed) → runs, rung by rung → ranking → results.csv, best.toml, sweep.svg
//! ```
//!
//! What a sweep does follows from its file alone, whatever runs at the same time: trials are drawn by (seed, number), and
//! halving waits for a rung's last trial before it chooses. All state is in the trials' runs, so a sweep that was killed
//! goes on where it was.

mod picture;
mod plan;
mod run;
mod team;

pub use picture::to_svg;
pub use plan::{Halving, Method, Sweep, SweepError, Trial};
pub use run::{Found, Progress, Row, Status, Sweeper};
pub use team::Team;
