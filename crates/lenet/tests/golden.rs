//! Parity with PyTorch in float64 on Fashion-MNIST: LeNet with sigmoids, and with ReLU and max pooling.

use crate::kit::golden::{BATCH, Data, Golden, first_batch};
use crate::kit::{Path, error, on_each};

#[test]
fn logits_and_gradients_of_the_first_batch() {
    on_each(&Path::available(), &mut |make| first_batch(make, 2e-6));
}

#[test]
#[ignore = "needs the full Fashion-MNIST (cargo xtask data)"]
fn twenty_steps() {
    let options = lenet::data::CacheOptions::from_env();
    let loaded = lenet::data::load("fashion-mnist", &options, &mut |_| {}).unwrap();
    let data = Data::new(loaded.train.images, loaded.train.labels);
    for golden in Golden::both() {
        on_each(&[Path::available()[0], Path::PORTABLE], &mut |make| {
            let mut engine = golden.engine(make);
            golden.steps(engine.as_mut(), &data, golden.losses.len());
            for t in golden.network.tensors() {
                let after = golden.expected(&format!("after.{}", t.name));
                let e = error(&engine.parameters()[t.range.clone()], &after, 0.0);
                println!("{} {} after 20 steps: {e:.1e}", engine.device(), t.name);
                assert!(e < 1e-4, "{} {} off by {e:.1e} of its largest after 20 steps", engine.device(), t.name);
            }
            let indices: Vec<u32> = (0..BATCH as u32).collect();
            let mut logits = vec![0.0; BATCH * 10];
            engine.forward(&data.batch(&indices), &mut logits).unwrap();
            let e = error(&logits, &golden.expected("eval_logits_after"), 0.0);
            println!("{} logits after 20 steps: {e:.1e}", engine.device());
        });
    }
}
