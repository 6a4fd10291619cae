//! Optimizers on slabs of the device, by the CPU's formulas ([`lenet::kernel::optimizer`]).

use burn::tensor::Tensor;
use lenet::engine::Update;
use lenet::spec::OptimizerKind;

/// New parameters and states, from gradients `g` and old ones. `decays` is 1 where a parameter decays, none if all do.
pub(crate) fn step(
    update: &Update,
    decays: Option<Tensor<1>>,
    g: Tensor<1>,
    w: Tensor<1>,
    state: &[Tensor<1>],
) -> (Tensor<1>, Vec<Tensor<1>>) {
    let Update { optimizer: o, lr, scale, step } = *update;
    let decayed = |w: Tensor<1>, by: f32| {
        let part = w.mul_scalar(by);
        match &decays {
            Some(decays) => part * decays.clone(),
            None => part,
        }
    };
    let mut g = if scale == 1.0 { g } else { g.mul_scalar(scale) };
    if o.weight_decay != 0.0 && o.kind != OptimizerKind::AdamW {
        g = g + decayed(w.clone(), o.weight_decay);
    }
    match (o.kind, state) {
        (OptimizerKind::Sgd, [velocity]) => {
            let velocity = velocity.clone().mul_scalar(o.momentum) + g.clone();
            let direction = if o.nesterov { velocity.clone().mul_scalar(o.momentum) + g } else { velocity.clone() };
            (w - direction.mul_scalar(lr), vec![velocity])
        }
        (OptimizerKind::Adam | OptimizerKind::AdamW, [mean, square]) => {
            let correction = |beta: f32| 1.0 - libm::pow(f64::from(beta), step as f64);
            let size = (f64::from(lr) / correction(o.beta1)) as f32;
            let root = libm::sqrt(correction(o.beta2)) as f32;
            let w = match o.kind {
                OptimizerKind::AdamW if o.weight_decay != 0.0 => w.clone() - decayed(w, lr * o.weight_decay),
                _ => w,
            };
            let mean = mean.clone().mul_scalar(o.beta1) + g.clone().mul_scalar(1.0 - o.beta1);
            let square = square.clone().mul_scalar(o.beta2) + (g.clone() * g).mul_scalar(1.0 - o.beta2);
            let divisor = square.clone().sqrt().div_scalar(root).add_scalar(o.eps);
            (w - mean.clone().mul_scalar(size) / divisor, vec![mean, square])
        }
        _ => (w - g.mul_scalar(lr), Vec::new()),
    }
}

/// Gradients whose L2 norm is at most `longest`.
pub(crate) fn clipped(g: Tensor<1>, longest: f32) -> Tensor<1> {
    let norm = (g.clone() * g.clone()).sum().sqrt();
    g * norm.add_scalar(1e-6).recip().mul_scalar(longest).clamp_max(1.0)
}
