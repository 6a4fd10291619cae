//! The CPU engine against PyTorch in float64, on random networks of all operators.

use crate::kit::{Path, networks, on_each};

#[test]
fn logits_gradients_and_statistics_are_pytorchs() {
    on_each(&Path::available(), &mut |make| networks::gradients(0..36, make, 5e-6));
}

#[test]
fn twenty_steps_of_every_optimizer_are_pytorchs() {
    on_each(&Path::available(), &mut |make| networks::steps(0..36, make));
}
