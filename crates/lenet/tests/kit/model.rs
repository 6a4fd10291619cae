//! Models that nothing was learnt into. Other crates' tests include this file.
#![allow(dead_code)]

use lenet::engine::{initial_buffers, initialize};
use lenet::model::{Model, Training};
use lenet::spec::Normalization;
use lenet::spec::{Recipe, Spec, TrainRecipe};

/// The network of a preset, for the images of Fashion-MNIST.
pub fn preset(name: &str) -> Spec {
    Recipe::load(name).unwrap().spec([1, 28, 28], 10).unwrap()
}

/// A network with its initial weights, as a model; the classes are "class 0", "class 1" and so on.
pub fn untrained(spec: Spec, how: &TrainRecipe) -> Model {
    let network = spec.infer().unwrap();
    Model {
        parameters: initialize(&network, how),
        buffers: initial_buffers(&network),
        normalization: Normalization::unit(spec.input[0]),
        flip_test: false,
        classes: (0..network.outputs()).map(|i| format!("class {i}")).collect(),
        training: Training::default(),
        spec,
        network,
    }
}
