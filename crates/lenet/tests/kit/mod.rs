//! What the library's tests share, and those of lenet-gpu with them: every engine has to pass `golden` and `networks`.
//!
//! Engines come from a function, so that one body tests all of them. A device of its own may run behind: its scores and
//! gradients are there when it has settled.
// lenet-gpu uses a part of it.
#![allow(dead_code, unused_imports)]

mod files;
pub mod golden;
mod model;
pub mod networks;
pub mod train;

pub use files::*;
pub use model::*;

// What many tests take from the library.
pub use lenet::engine::{initial_buffers, initialize};
pub use lenet::kernel::Path;
pub use lenet::kernel::augment::Context;
pub use lenet::kernel::op::loss::Targets;
pub use lenet::spec::Normalization;
pub use lenet::spec::{Augment, Border, Erase, Fill};

use lenet::data::{CacheOptions, Loaded};
use lenet::engine::{Batch, CpuEngine, CpuOptions, Engine, Score, TrainStep};
use lenet::spec::Network;
use serde_json::Value;

/// Makes an engine, and says what it is.
pub type Make<'m> = &'m dyn Fn(Network) -> Box<dyn Engine>;

/// Runs a test on CPU engines of two threads, one for each of these sets of instructions.
pub fn on_each(paths: &[Path], test: &mut dyn FnMut(Make)) {
    for &path in paths {
        test(&|network| Box::new(CpuEngine::new(network, CpuOptions { threads: 2, path: Some(path) }).unwrap()));
    }
}

/// Loss and hits of a batch, whose gradient is then there.
pub fn backward(engine: &mut dyn Engine, batch: &Batch, how: &TrainStep) -> Score {
    let mut score = engine.backward(batch, how).unwrap();
    score += engine.settle(None).unwrap();
    score
}

/// Largest difference, as a share of the largest expected value or of `least`.
pub fn error<A: Copy + Into<f64>, B: Copy + Into<f64>>(got: &[A], want: &[B], least: f64) -> f64 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(least, |m, &v| m.max(v.into().abs()));
    let apart = |m: f64, (&g, &w): (&A, &B)| m.max((g.into() - w.into()).abs());
    let worst = got.iter().zip(want).fold(0.0, apart);
    // What is no number is the worst.
    if got.iter().any(|&g| g.into().is_nan()) { f64::INFINITY } else { worst / largest }
}

pub fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

pub fn f64s(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&v| f64::from(v)).collect()
}

/// A list in JSON.
pub fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

/// Numbers in [0, 1), as the scripts in `bench/` compute them.
pub fn uniform(n: usize, seed: u64) -> impl Iterator<Item = f64> {
    (0..n as u64).map(move |i| {
        let bits = (i * 2_654_435_761 + seed * 40_503 + 12_345) % (1 << 32);
        let bits = (bits ^ (bits >> 15)) * 2_246_822_519 % (1 << 32);
        (bits >> 8) as f64 / f64::from(1 << 24)
    })
}

/// The images of the fixture.
pub fn data() -> Loaded {
    lenet::data::load(&source(), &CacheOptions::from_env(), &mut |_| {}).unwrap()
}
