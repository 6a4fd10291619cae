//! The CPU engine against PyTorch in float64, on random networks of all operators.

mod parity;

use lenet::engine::{CpuEngine, CpuOptions};
use lenet::kernel::Path;
use parity::{Make, networks};

fn on_each_path(test: &dyn Fn(Make)) {
    for path in Path::available() {
        test(&|network| Box::new(CpuEngine::new(network, CpuOptions { threads: 2, path: Some(path) }).unwrap()));
    }
}

#[test]
fn logits_gradients_and_statistics_are_pytorchs() {
    on_each_path(&|make| networks::gradients(0..36, make, 5e-6));
}

#[test]
fn twenty_steps_of_every_optimizer_are_pytorchs() {
    on_each_path(&|make| networks::steps(0..36, make));
}
