//! Packed weights.

use super::cores::Packs;
use super::plan::Program;
use super::tasks::Team;
use crate::kernel::AlignedVec;

/// Room for the packed weights of all stages.
pub(super) fn new(program: &Program) -> Vec<Packs> {
    let lens = program.stages.iter().map(|s| s.core().map_or([0, 0], |core| core.packed_len()));
    lens.map(|lens| lens.map(AlignedVec::zeros)).collect()
}

/// Packs all weights anew, for forward and gradient.
pub(super) fn pack(team: &Team, program: &Program, parameters: &[f32], packs: &mut [Packs]) {
    let cores = program.stages.iter().zip(packs).filter_map(|(stage, packs)| Some((stage.core()?, packs)));
    let tasks = cores.flat_map(|(core, packs)| core.pack(team.path, parameters, packs));
    team.each(tasks, |task| task());
}
