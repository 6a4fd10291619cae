//! Packed weights.

use super::cores::Packs;
use super::plan::Program;
use super::tasks::Team;
use crate::kernel::{AlignedVec, NoMemory};

/// Room for the packed weights of all stages.
///
/// # Errors
/// There is no memory for it.
pub(super) fn new(program: &Program) -> Result<Vec<Packs>, NoMemory> {
    let lens = program.stages.iter().map(|s| s.core().map_or([0, 0], |core| core.packed_len()));
    lens.map(|[forward, gradient]| Ok([AlignedVec::try_zeros(forward)?, AlignedVec::try_zeros(gradient)?])).collect()
}

/// Packs all weights anew, for forward and gradient.
pub(super) fn pack(team: &Team, program: &Program, parameters: &[f32], packs: &mut [Packs]) {
    let cores = program.stages.iter().zip(packs).filter_map(|(stage, packs)| Some((stage.core()?, packs)));
    let tasks = cores.flat_map(|(core, packs)| core.pack(team.path, parameters, packs));
    team.each(tasks, |task| task());
}
