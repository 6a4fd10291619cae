//! Each layer of a network, forward and backward, on one chunk.

use super::measure::{BenchOptions, BenchRow, measure};
use crate::kernel::bench::Bench;
use crate::kernel::bench::Disagreement;
use crate::kernel::{Path, op};
use crate::spec::Network;

pub(super) fn run(
    network: &Network,
    path: Path,
    options: &BenchOptions,
    on_row: &mut dyn FnMut(BenchRow),
) -> Result<(), Disagreement> {
    let mut time = |name: String, multiply_adds: u64, work: &mut dyn FnMut()| {
        let (seconds, share) = measure(path, options, multiply_adds, work);
        let note = if multiply_adds == 0 { String::new() } else { format!("{:.2} µs a sample", seconds * 1e6 / 16.0) };
        on_row(BenchRow { group: "operator", name, seconds, multiply_adds, share_of_peak: share, note });
    };
    op::bench::run(&mut Bench { path, time: &mut time }, network)
}
