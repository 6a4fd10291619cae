//! How weights and buffers start.

mod codes;

use crate::random::{Purpose, Stream};
use crate::spec::{Geometry, Init, Network, Role, TrainRecipe};

/// The initial buffers: running means 0, running variances 1, codes.
pub fn initial_buffers(network: &Network) -> Vec<f32> {
    let mut buffers = vec![0.0f32; network.buffers];
    for layer in &network.layers {
        match (&layer.geometry, &layer.buffers[..]) {
            (Geometry::BatchNorm(_), [_, variance]) => buffers[variance.range.clone()].fill(1.0),
            (Geometry::Rbf(s), [codes]) => {
                buffers[codes.range.clone()].copy_from_slice(&codes::codes(s.outputs, s.inputs));
            }
            _ => {}
        }
    }
    buffers
}

/// The initial parameters: weights by the recipe's initialiser and seed, each tensor from a stream of its own; scales
/// and biases where their layers say.
///
/// Weights that a table of connections leaves out are 0; the others are drawn as if each map saw all its inputs.
pub fn initialize(network: &Network, train: &TrainRecipe) -> Vec<f32> {
    let mut parameters = vec![0.0f32; network.parameters];
    for (number, tensor) in network.tensors().enumerate() {
        match tensor.role {
            Role::Weight => {}
            Role::Bias | Role::Scale => {
                parameters[tensor.range.clone()].fill(tensor.start);
                continue;
            }
        }
        let (fan_in, fan_out) = (tensor.fan_in as f64, tensor.fan_out as f64);
        let uniform = |variance: f64| (3.0 * variance).sqrt() as f32;
        let normal = |variance: f64| variance.sqrt() as f32;
        let mut stream = Stream::new(train.seed, Purpose::Init, 0, number as u32);
        let (scale, is_uniform) = match train.init {
            Init::XavierUniform => (uniform(2.0 / (fan_in + fan_out)), true),
            Init::XavierNormal => (normal(2.0 / (fan_in + fan_out)), false),
            Init::KaimingUniform => (uniform(2.0 / fan_in), true),
            Init::KaimingNormal => (normal(2.0 / fan_in), false),
            Init::LecunNormal => (normal(1.0 / fan_in), false),
            Init::Normal => (train.init_std, false),
            Init::LecunUniform => (uniform(1.0 / fan_in), true),
            Init::Uniform => (0.05, true),
            Init::Zero => continue,
        };
        let scale = train.init_gain * scale;
        for w in &mut parameters[tensor.range.clone()] {
            *w = if is_uniform { scale * (2.0 * stream.uniform() - 1.0) } else { scale * stream.normal() };
        }
        tensor.clear_missing(&mut parameters);
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Recipe;

    #[test]
    fn weights_have_the_bounds_and_moments_of_their_initialiser() {
        let network = Recipe::load("lenet").unwrap().spec([1, 28, 28], 10).unwrap().infer().unwrap();
        for init in Init::ALL {
            let p = initialize(&network, &TrainRecipe { init, seed: 5, ..Default::default() });
            for t in network.tensors() {
                let v = &p[t.range.clone()];
                if t.role == Role::Bias {
                    assert!(v.iter().all(|&b| b == 0.0));
                    continue;
                }
                let (i, o) = (t.fan_in as f64, t.fan_out as f64);
                let variance = match init {
                    Init::XavierUniform | Init::XavierNormal => 2.0 / (i + o),
                    Init::KaimingUniform | Init::KaimingNormal => 2.0 / i,
                    Init::LecunNormal => 1.0 / i,
                    Init::Normal => 1e-4,
                    Init::LecunUniform => 1.0 / i,
                    Init::Uniform => 0.05 * 0.05 / 3.0,
                    Init::Zero => {
                        assert!(v.iter().all(|&w| w == 0.0));
                        continue;
                    }
                };
                let got = v.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>() / v.len() as f64;
                // The sampling error of a variance is near √(2/n).
                assert!((got / variance - 1.0).abs() < 5.0 * (2.0 / v.len() as f64).sqrt(), "{init} {}", t.name);
                if matches!(init, Init::XavierUniform | Init::KaimingUniform | Init::LecunUniform | Init::Uniform) {
                    let bound = (3.0 * variance).sqrt() * 1.000_001;
                    assert!(v.iter().all(|&w| f64::from(w).abs() <= bound));
                }
            }
        }
        let with = |seed, init_gain| TrainRecipe { seed, init_gain, ..Default::default() };
        let usual = initialize(&network, &with(1, 1.0));
        assert_ne!(usual, initialize(&network, &with(2, 1.0)));
        let twice = initialize(&network, &with(1, 2.0));
        assert!(usual.iter().zip(&twice).all(|(u, t)| 2.0 * u == *t));
        let normal = |init_std| TrainRecipe { init: Init::Normal, init_std, ..Default::default() };
        let (narrow, wide) = (initialize(&network, &normal(0.25)), initialize(&network, &normal(0.5)));
        assert!(narrow.iter().any(|w| w.abs() > 0.5) && narrow.iter().zip(&wide).all(|(n, w)| 2.0 * n == *w));
    }
}
