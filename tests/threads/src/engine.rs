//! Whole steps of an engine on several threads, for ThreadSanitizer: kernels, sums of gradients, optimizers.

use lenet::engine::{Batch, CpuEngine, CpuOptions, Engine, Pixels, TrainStep, Update, initial_buffers, initialize};
use lenet::spec::Recipe;

/// The bits of parameters and buffers after two steps on noise, and the loss then.
fn trained(preset: &str, threads: usize) -> (Vec<u32>, f64) {
    let recipe = Recipe::load(preset).unwrap();
    let network = recipe.spec([1, 28, 28], 10).unwrap().infer().unwrap();
    let (parameters, buffers) = (initialize(&network, &recipe.train), initial_buffers(&network));
    let mut engine = CpuEngine::new(network, CpuOptions { threads, path: None }).unwrap();
    engine.set_parameters(&parameters).unwrap();
    engine.set_buffers(&buffers).unwrap();
    let n: u32 = 72;
    let images: Vec<u8> = (0..n * 784).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let tables: [[f32; 256]; 1] = [std::array::from_fn(|byte| byte as f32 / 255.0)];
    let labels: Vec<u16> = (0..n as u16).map(|i| i % 10).collect();
    let indices: Vec<u32> = (0..n).collect();
    let pixels = Pixels::Bytes { data: &images, tables: &tables };
    let batch = Batch { pixels, labels: &labels, indices: &indices };
    let how = TrainStep { seed: 1, augment: Some(&recipe.augment), ..TrainStep::default() };
    for step in 1..=2 {
        let update = Update { optimizer: recipe.train.optimizer, lr: 0.01, scale: 1.0, step };
        engine.step(&batch, &how, update).unwrap();
    }
    let bits = engine.parameters().iter().chain(engine.buffers()).map(|v| v.to_bits()).collect();
    (bits, engine.evaluate(&batch).unwrap().loss)
}

#[test]
fn a_residual_network_with_norms_and_muon() {
    assert!(trained("small", 3) == trained("small", 1));
}

#[test]
fn lenet_as_in_the_book() {
    assert!(trained("lenet", 3) == trained("lenet", 1));
}
