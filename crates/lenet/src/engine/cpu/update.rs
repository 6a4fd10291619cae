//! A step of an optimizer over the whole slab.

use super::tasks::{TASK, Team, take};
use crate::engine::Update;
use crate::kernel::AlignedVec;
use crate::kernel::optim::muon::orthogonal::{Orthogonal, STEPS, Stage};
use crate::kernel::optim::{Rule, Slabs, Step};
use crate::spec::{Network, Role};
use std::ops::Range;

/// What an optimizer keeps from step to step.
#[derive(Default)]
pub(super) struct Optimizing {
    /// Slabs like the parameters, as many as the optimizer needs.
    pub state: AlignedVec,
    /// Planned when matrices first take steps of their own.
    matrices: Vec<Matrix>,
}

/// A matrix of the slab, its longer side, and where its step is made orthogonal.
struct Matrix {
    range: Range<usize>,
    longer: usize,
    buffers: Orthogonal,
}

impl Matrix {
    fn new((range, [rows, cols]): (Range<usize>, [usize; 2])) -> Self {
        Matrix { range, longer: rows.max(cols), buffers: Orthogonal::new(rows, cols) }
    }
}

fn find<'m>(matrices: &'m [Matrix], range: &Range<usize>) -> Option<&'m Matrix> {
    matrices.iter().find(|m| m.range == *range)
}

impl Optimizing {
    /// Changes parameters `w` and the state by the gradients `g`.
    pub fn change(&mut self, team: &Team, network: &Network, update: Update, g: &[f32], w: &mut [f32]) {
        let Update { optimizer, lr, scale, step } = update;
        let (n, slots) = (w.len(), optimizer.slots());
        if self.state.len() != slots * n {
            self.state = AlignedVec::zeros(slots * n);
        }
        let step = Step::new(optimizer, lr, scale, step);
        let Optimizing { state, matrices } = self;
        if !step.orthogonalizes() {
            return pass(team, network, &step, state, g, w, |_| Some(Rule::Own));
        }
        if matrices.is_empty() {
            matrices.extend(network.hidden_matrices().map(Matrix::new));
        }
        let first = |range: &_| if find(matrices, range).is_some() { Rule::Direction } else { Rule::Own };
        pass(team, network, &step, state, g, w, |range| Some(first(range)));
        orthogonalize(team, matrices, &mut state[n..]);
        pass(team, network, &step, state, g, w, |range| find(matrices, range).map(|m| Rule::Move { longer: m.longer }));
    }
}

/// One pass over the tensors for which there is a rule.
fn pass(
    team: &Team,
    network: &Network,
    step: &Step,
    state: &mut [f32],
    mut g: &[f32],
    mut w: &mut [f32],
    rule: impl Fn(&Range<usize>) -> Option<Rule>,
) {
    let optimizer = step.optimizer();
    // Runs of the slab that are treated alike.
    let mut runs: Vec<(usize, Option<Rule>, bool)> = Vec::new();
    for tensor in network.tensors() {
        let decays = optimizer.decay_norms_and_biases || tensor.role == Role::Weight;
        let (rule, decays) = (rule(&tensor.range), decays && optimizer.weight_decay != 0.0);
        match runs.last_mut() {
            Some((len, last, same)) if (*last, *same) == (rule, decays) => *len += tensor.range.len(),
            _ => runs.push((tensor.range.len(), rule, decays)),
        }
    }
    let (mut first, mut second) = state.split_at_mut(w.len() * optimizer.slots().min(1));
    let mut parts = Vec::new();
    for (mut left, rule, decays) in runs {
        while left > 0 {
            let len = left.min(TASK);
            let g = g.split_off(..len).unwrap_or_default();
            let (w, first, second) = (take(&mut w, len), take(&mut first, len), take(&mut second, len));
            parts.extend(rule.map(|rule| (rule, decays, Slabs { g, w, first, second })));
            left -= len;
        }
    }
    team.each(parts, |(rule, decays, Slabs { g, w, first, second })| {
        step.run(team.path, *rule, *decays, Slabs { g, w, first, second });
    });
}

/// Replaces the directions of all matrices, places of a slab, by orthogonal ones.
fn orthogonalize(team: &Team, matrices: &mut [Matrix], directions: &mut [f32]) {
    team.each(matrices.iter_mut(), |m| m.buffers.load(&directions[m.range.clone()]));
    for _ in 0..STEPS {
        for stage in [Stage::Gram, Stage::Polynomial, Stage::Next] {
            team.each(matrices.iter_mut().flat_map(|m| m.buffers.products(stage)), |product| product.run(team.path));
        }
        team.each(matrices.iter_mut(), |m| m.buffers.turn());
    }
    matrices.iter().for_each(|m| m.buffers.store(&mut directions[m.range.clone()]));
}
