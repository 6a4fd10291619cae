//! What this machine reaches: its multiply-add peak, then each tile, each operator, whole epochs and inference, in
//! seconds and as a share of that peak.
//!
//! Every measurement alternates with bursts of the peak loop, and the share is the median of the pairs' ratios: on a
//! machine whose speed drifts, only what was measured side by side can be compared. What does not agree with the naive
//! reference is not timed.

mod measure;
mod operators;
mod peak;
mod tiles;
mod whole;

pub use crate::kernel::bench::Disagreement;
pub use measure::{BenchOptions, BenchRow};
pub use peak::peak;

use crate::kernel::Path;
use crate::spec::{Augment, Network};

/// Measures everything for a network, row by row; epochs also with an augmentation, if one is given.
///
/// # Errors
/// The first thing that does not agree with the naive reference.
pub fn run(
    network: &Network,
    augment: Option<&Augment>,
    path: Path,
    options: &BenchOptions,
    on_row: &mut dyn FnMut(BenchRow),
) -> Result<(), Disagreement> {
    let flops = peak(path, 0.2);
    on_row(BenchRow {
        group: "peak",
        name: format!("multiply-adds, {path}, 1 thread"),
        seconds: 1.0,
        multiply_adds: flops as u64,
        share_of_peak: 1.0,
        note: format!("{:.1} GFLOP/s", 2.0 * flops / 1e9),
    });
    tiles::run(path, options, on_row)?;
    operators::run(network, path, options, on_row)?;
    whole::run(network, augment, path, options, on_row)
}
