//! A step of an optimizer over the whole slab.

use super::{CpuEngine, UPDATE, lock, take};
use crate::engine::Update;
use crate::kernel::AlignedVec;
use crate::kernel::optim::muon::orthogonal::{Orthogonal, STEPS, Stage};
use crate::kernel::optim::{Rule, Slabs, Step};
use crate::spec::Role;
use std::ops::Range;
use std::sync::Mutex;

/// A matrix of the slab, its longer side, and where its step is made orthogonal.
pub(super) struct Matrix {
    range: Range<usize>,
    longer: usize,
    buffers: Orthogonal,
}

fn find<'m>(matrices: &'m [Matrix], range: &Range<usize>) -> Option<&'m Matrix> {
    matrices.iter().find(|m| m.range == *range)
}

impl CpuEngine {
    /// Changes parameters and the optimizer's state by the gradients.
    pub(super) fn change(&mut self, update: Update) {
        let Update { optimizer, lr, scale, step } = update;
        let (n, slots) = (self.parameters.len(), optimizer.slots());
        if self.optimizer_state.len() != slots * n {
            self.optimizer_state = AlignedVec::zeros(slots * n);
        }
        let step = Step::new(optimizer, lr, scale, step);
        if !step.orthogonalizes() {
            return self.pass(&step, |_| Some(Rule::Own));
        }
        let mut matrices = std::mem::take(&mut self.matrices);
        if matrices.is_empty() {
            let new = |(range, [rows, cols]): (_, [usize; 2])| Matrix {
                range,
                longer: rows.max(cols),
                buffers: Orthogonal::new(rows, cols),
            };
            matrices.extend(self.network.hidden_matrices().map(new));
        }
        let first = |range: &_| if find(&matrices, range).is_some() { Rule::Direction } else { Rule::Own };
        self.pass(&step, |range| Some(first(range)));
        self.orthogonalize(&mut matrices);
        self.pass(&step, |range| find(&matrices, range).map(|m| Rule::Move { longer: m.longer }));
        self.matrices = matrices;
    }

    /// One pass over the tensors for which there is a rule.
    fn pass(&mut self, step: &Step, rule: impl Fn(&Range<usize>) -> Option<Rule>) {
        let (n, optimizer) = (self.parameters.len(), step.optimizer());
        // Runs of the slab that are treated alike.
        let mut runs: Vec<(usize, Option<Rule>, bool)> = Vec::new();
        for tensor in self.network.tensors() {
            let decays = optimizer.decay_norms_and_biases || tensor.role == Role::Weight;
            let (rule, decays) = (rule(&tensor.range), decays && optimizer.weight_decay != 0.0);
            match runs.last_mut() {
                Some((len, last, same)) if (*last, *same) == (rule, decays) => *len += tensor.range.len(),
                _ => runs.push((tensor.range.len(), rule, decays)),
            }
        }
        let (mut w, mut g) = (&mut self.parameters[..], &self.gradients[..]);
        let (mut first, mut second) = self.optimizer_state.split_at_mut(n * optimizer.slots().min(1));
        let mut parts = Vec::new();
        for (mut left, rule, decays) in runs {
            while left > 0 {
                let len = left.min(UPDATE);
                let g = g.split_off(..len).unwrap_or_default();
                let (w, first, second) = (take(&mut w, len), take(&mut first, len), take(&mut second, len));
                let slabs = Slabs { g, w, first, second };
                parts.extend(rule.map(|rule| Mutex::new((rule, decays, slabs))));
                left -= len;
            }
        }
        let path = self.path;
        self.pool.run(parts.len(), &|_, t| {
            let (rule, decays, Slabs { g, w, first, second }) = &mut *lock(&parts[t]);
            step.run(path, *rule, *decays, Slabs { g, w, first, second });
        });
    }

    /// Replaces the directions of all matrices, in the second slab of the state, by orthogonal ones.
    fn orthogonalize(&mut self, matrices: &mut [Matrix]) {
        let n = self.parameters.len();
        let (path, pool, directions) = (self.path, &self.pool, &mut self.optimizer_state[n..]);
        let each = |matrices: &mut [Matrix], work: &(dyn Fn(&mut Matrix) + Sync)| {
            let tasks: Vec<Mutex<&mut Matrix>> = matrices.iter_mut().map(Mutex::new).collect();
            pool.run(tasks.len(), &|_, t| work(&mut lock(&tasks[t])));
        };
        each(matrices, &|m| m.buffers.load(&directions[m.range.clone()]));
        for _ in 0..STEPS {
            for stage in [Stage::Gram, Stage::Polynomial, Stage::Next] {
                let products = matrices.iter_mut().flat_map(|m| m.buffers.products(stage));
                let tasks: Vec<_> = products.map(Mutex::new).collect();
                pool.run(tasks.len(), &|_, t| lock(&tasks[t]).run(path));
            }
            each(matrices, &|m| m.buffers.turn());
        }
        matrices.iter().for_each(|m| m.buffers.store(&mut directions[m.range.clone()]));
    }
}
