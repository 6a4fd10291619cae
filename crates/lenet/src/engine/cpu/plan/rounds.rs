//! Where chunks wait for one another.

use super::stage::Stage;
use std::ops::Range;

/// Stages that a chunk goes through in one piece.
pub(crate) struct Round {
    pub stages: Range<usize>,
    /// Those among them that wait for the whole batch: their values are made in the next round.
    pub stops: Vec<usize>,
}

/// As few rounds as the order of the stages allows: a round ends where a stage needs statistics that are not complete yet.
pub(crate) fn rounds(stages: &[Stage]) -> Vec<Round> {
    let (mut rounds, mut begin, mut stops) = (Vec::new(), 0, Vec::new());
    // Values that some stop of this round has to give.
    let mut waits = vec![false; stages.len() + 1];
    for (i, stage) in stages.iter().enumerate() {
        if stage.sources().any(|v| waits[v]) {
            rounds.push(Round { stages: begin..i, stops: std::mem::take(&mut stops) });
            (begin, waits) = (i, vec![false; stages.len() + 1]);
        }
        if stage.waits() {
            stops.push(i);
            waits[i + 1] = true;
        }
    }
    if !stops.is_empty() {
        rounds.push(Round { stages: begin..stages.len(), stops });
        begin = stages.len();
    }
    rounds.push(Round { stages: begin..stages.len(), stops: Vec::new() });
    rounds
}
