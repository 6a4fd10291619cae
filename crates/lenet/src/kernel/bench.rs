//! How operators are measured: each is compared with its naive reference, then timed by whoever asks.

use crate::kernel::path::Path;

/// Why a measurement was refused.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what} differs from the naive reference by {error:.1e} of the largest value: not timed")]
pub struct Disagreement {
    /// What was to be measured.
    pub what: String,
    /// Largest difference, as a share of the largest value.
    pub error: f64,
}

/// Refuses what differs from the reference.
pub(crate) fn agree(what: &str, got: &[f64], want: &[f64], tolerance: f64) -> Result<(), Disagreement> {
    let largest = want.iter().fold(1e-12f64, |m, v| m.max(v.abs()));
    let error = got.iter().zip(want).map(|(g, w)| (g - w).abs()).fold(0.0, f64::max) / largest;
    if error <= tolerance { Ok(()) } else { Err(Disagreement { what: what.to_string(), error }) }
}

/// Takes a name, the multiply-adds of a run, and what a run does.
pub(crate) type Time<'a> = dyn FnMut(String, u64, &mut dyn FnMut()) + 'a;

/// What operators give to be timed.
pub(crate) struct Bench<'a> {
    /// The instructions to use.
    pub path: Path,
    /// Who times it.
    pub time: &'a mut Time<'a>,
}

impl Bench<'_> {
    /// A row of the measurements.
    pub fn row(&mut self, name: String, multiply_adds: u64, mut work: impl FnMut()) {
        (self.time)(name, multiply_adds, &mut work);
    }
}
