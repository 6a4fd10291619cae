//! What every engine has to compute: the golden networks, and the random networks that PyTorch has computed in float64.
//!
//! The engines come from a function, so that one body tests all of them. A device of its own may run behind: its scores
//! and gradients are there when it has settled.
#![allow(dead_code)]

pub mod golden;
pub mod networks;

use lenet::engine::{Batch, Engine, Score, TrainStep};
use lenet::spec::Network;

/// Makes an engine, and says what it is.
pub type Make<'m> = &'m dyn Fn(Network) -> Box<dyn Engine>;

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
