//! Optimizers on slabs of the device, by the CPU's formulas ([`lenet::kernel::optim`]).

use burn::tensor::Tensor;
use lenet::engine::Update;
use lenet::kernel::optim::muon::orthogonal::{COEFFICIENTS, EPS, STEPS};
use lenet::spec::{Network, OptimizerKind};
use std::ops::Range;

/// New parameters and states, from gradients `g` and old ones; states are as many as [`lenet::spec::Optimizer::slots`].
/// `decays` is 1 where a parameter decays, none if all do.
pub(crate) fn step(
    network: &Network,
    update: &Update,
    decays: Option<Tensor<1>>,
    g: Tensor<1>,
    w: Tensor<1>,
    state: &[Tensor<1>],
) -> (Tensor<1>, Vec<Tensor<1>>) {
    let Update { optimizer: o, lr, scale, .. } = *update;
    let decayed = |w: &Tensor<1>, by: f32| {
        let part = w.clone().mul_scalar(by);
        match &decays {
            Some(decays) => part * decays.clone(),
            None => part,
        }
    };
    // Weight decay: added to the gradient, or apart from it.
    let decays_any = o.weight_decay != 0.0;
    let coupled = |g: Tensor<1>, w: &Tensor<1>| if decays_any { g + decayed(w, o.weight_decay) } else { g };
    let apart = |w: Tensor<1>| if decays_any { w.clone() - decayed(&w, lr * o.weight_decay) } else { w };
    let g = if scale == 1.0 { g } else { g.mul_scalar(scale) };
    match o.kind {
        OptimizerKind::Sgd => sgd(update, coupled(g, &w), w, state),
        OptimizerKind::Adam => adam(update, coupled(g, &w), w, state),
        OptimizerKind::AdamW => adam(update, g, apart(w), state),
        OptimizerKind::Muon => {
            let matrices = directions(network, update, &g, &w, &state[0]);
            let (mut w, mut state) = adam(update, g, apart(w), state);
            for (range, [new, velocity, direction]) in matrices {
                w = w.slice_assign([range.clone()], new);
                for (slab, part) in state.iter_mut().zip([velocity, direction]) {
                    *slab = slab.clone().slice_assign([range.clone()], part);
                }
            }
            (w, state)
        }
    }
}

fn sgd(update: &Update, g: Tensor<1>, w: Tensor<1>, state: &[Tensor<1>]) -> (Tensor<1>, Vec<Tensor<1>>) {
    let Update { optimizer: o, lr, .. } = *update;
    let Some(velocity) = state.first() else { return (w - g.mul_scalar(lr), Vec::new()) };
    let velocity = velocity.clone().mul_scalar(o.momentum) + g.clone();
    let direction = if o.nesterov { velocity.clone().mul_scalar(o.momentum) + g } else { velocity.clone() };
    (w - direction.mul_scalar(lr), vec![velocity])
}

fn adam(update: &Update, g: Tensor<1>, w: Tensor<1>, state: &[Tensor<1>]) -> (Tensor<1>, Vec<Tensor<1>>) {
    let Update { optimizer: o, lr, step, .. } = *update;
    let correction = |beta: f32| 1.0 - libm::pow(f64::from(beta), step as f64);
    let size = (f64::from(lr) / correction(o.beta1)) as f32;
    let root = libm::sqrt(correction(o.beta2)) as f32;
    let mean = state[0].clone().mul_scalar(o.beta1) + g.clone().mul_scalar(1.0 - o.beta1);
    let square = state[1].clone().mul_scalar(o.beta2) + (g.clone() * g).mul_scalar(1.0 - o.beta2);
    let divisor = square.clone().sqrt().div_scalar(root).add_scalar(o.eps);
    (w - mean.clone().mul_scalar(size) / divisor, vec![mean, square])
}

/// Of each matrix that Muon moves, its place, and what follows from gradients, parameters and velocity: new parameters, the
/// new velocity, the orthogonal direction.
fn directions(
    network: &Network,
    update: &Update,
    g: &Tensor<1>,
    w: &Tensor<1>,
    velocity: &Tensor<1>,
) -> Vec<(Range<usize>, [Tensor<1>; 3])> {
    let Update { optimizer: o, lr, .. } = *update;
    let one = |(range, [rows, cols]): (Range<usize>, [usize; 2])| {
        let part = |slab: &Tensor<1>| slab.clone().slice([range.clone()]);
        let g = part(g).mul_scalar(1.0 - o.momentum);
        let velocity = part(velocity).mul_scalar(o.momentum) + g.clone();
        let direction = if o.nesterov { velocity.clone().mul_scalar(o.momentum) + g } else { velocity.clone() };
        let direction = orthogonal(direction.reshape([rows, cols])).reshape([rows * cols]);
        let size = lr * (0.2 * libm::sqrt(rows.max(cols) as f64)) as f32;
        let w = part(w).mul_scalar(1.0 - lr * o.weight_decay) - direction.clone().mul_scalar(size);
        (range, [w, velocity, direction])
    };
    network.hidden_matrices().map(one).collect()
}

/// As [`lenet::kernel::optim::muon::orthogonal`] computes it.
fn orthogonal(matrix: Tensor<2>) -> Tensor<2> {
    let [a, b, c] = COEFFICIENTS;
    let [rows, cols] = matrix.dims();
    let norm = (matrix.clone() * matrix.clone()).sum().sqrt().clamp_min(EPS);
    let mut x = if rows > cols { matrix.transpose() } else { matrix } / norm.reshape([1, 1]);
    for _ in 0..STEPS {
        let gram = x.clone().matmul(x.clone().transpose());
        let polynomial = gram.clone().mul_scalar(b) + gram.clone().matmul(gram).mul_scalar(c);
        x = x.clone().mul_scalar(a) + polynomial.matmul(x);
    }
    if rows > cols { x.transpose() } else { x }
}

/// Gradients whose L2 norm is at most `longest`.
pub(crate) fn clipped(g: Tensor<1>, longest: f32) -> Tensor<1> {
    let norm = (g.clone() * g.clone()).sum().sqrt();
    g * norm.add_scalar(1e-6).recip().mul_scalar(longest).clamp_max(1.0)
}
