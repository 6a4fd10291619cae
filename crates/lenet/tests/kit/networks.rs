//! Random networks of all operators, as PyTorch computes them in float64 (`bench/pytorch_parity.py` wrote the values).

use super::{Make, backward, error, uniform};
use lenet::engine::{Batch, Engine, Pixels, TrainStep, Update};
use lenet::spec::{Network, Optimizer, OptimizerKind, Role, Spec};
use serde::Deserialize;
use std::ops::Range;

const SAMPLES: usize = 24;

#[derive(Deserialize)]
pub struct Case {
    spec: serde_json::Value,
    seed: u64,
    optimizer: String,
    logits: String,
    loss: f64,
    gradient: String,
    buffers: String,
    losses: Vec<f64>,
    after: String,
}

impl Case {
    pub fn spec(&self) -> Spec {
        Spec::from_json(&self.spec.to_string()).unwrap()
    }
}

fn floats(hex: &str) -> Vec<f32> {
    let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    (0..hex.len()).step_by(8).map(|i| f32::from_le_bytes([byte(i), byte(i + 2), byte(i + 4), byte(i + 6)])).collect()
}

fn parameters(network: &Network, seed: u64) -> Vec<f32> {
    let mut all = vec![0.0; network.parameters()];
    for (number, t) in network.tensors().enumerate() {
        let fan = if t.role == Role::Weight { t.range.len() / t.shape[0] } else { 4 };
        let (scale, start) = if t.role == Role::Scale { (0.4, 1.0) } else { ((3.0 / fan as f64).sqrt(), 0.0) };
        let mask = t.mask.clone().unwrap_or_else(|| vec![true; t.range.len()]);
        let values = uniform(t.range.len(), seed + 101 * number as u64);
        for ((p, u), live) in all[t.range.clone()].iter_mut().zip(values).zip(mask) {
            *p = if live { (start + (2.0 * u - 1.0) * scale) as f32 } else { 0.0 };
        }
    }
    all
}

fn buffers(network: &Network, seed: u64) -> Vec<f32> {
    let tensors = network.buffer_tensors().enumerate();
    tensors.flat_map(|(i, b)| uniform(b.range.len(), seed + 7001 + i as u64).map(|u| (0.5 + u) as f32)).collect()
}

pub fn cases() -> Vec<Case> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../fixtures/torch_networks.json")).unwrap();
    assert_eq!(cases.len(), 36);
    cases
}

fn engine(case: &Case, make: Make) -> (Box<dyn Engine>, Vec<f32>, Vec<u16>) {
    let network = case.spec().infer().unwrap();
    let mut engine = make(network.clone());
    engine.set_parameters(&parameters(&network, case.seed)).unwrap();
    engine.set_buffers(&buffers(&network, case.seed)).unwrap();
    let x =
        uniform(SAMPLES * network.input().iter().product::<usize>(), case.seed + 90_001).map(|u| u as f32).collect();
    let labels = (0..SAMPLES).map(|i| (i * 7 % network.outputs()) as u16).collect();
    (engine, x, labels)
}

const INDICES: [u32; SAMPLES] = {
    let mut indices = [0; SAMPLES];
    let mut i = 0;
    while i < SAMPLES {
        indices[i] = i as u32;
        i += 1;
    }
    indices
};

/// Logits, loss, gradients and running statistics of some of the networks; errors of tensors are shares of the largest
/// value.
pub fn gradients(numbers: Range<usize>, make: Make, bound: f64) {
    for (number, case) in cases().iter().enumerate().skip(numbers.start).take(numbers.len()) {
        let (mut engine, x, labels) = engine(case, make);
        let place = format!("network {number}, {}", engine.device());
        let batch = Batch { pixels: Pixels::Floats(&x), labels: &labels, indices: &INDICES };
        let mut logits = vec![0.0; SAMPLES * engine.network().outputs()];
        engine.forward(&batch, &mut logits).unwrap();
        let e = error(&logits, &floats(&case.logits), 1e-3);
        assert!(e < bound, "{place}: logits off by {e:.1e}");
        let loss = backward(engine.as_mut(), &batch, &TrainStep::default()).mean_loss();
        assert!((loss - case.loss).abs() < bound * (1.0 + case.loss), "{place}: loss {loss}");
        let want = floats(&case.gradient);
        let largest = want.iter().fold(0.0f64, |m, &v| m.max(f64::from(v).abs()));
        for t in engine.network().tensors() {
            // A normalisation takes part of what is before it away again, which leaves less than rounding sees.
            let e = error(&engine.gradients()[t.range.clone()], &want[t.range.clone()], 0.1 * largest);
            assert!(e < bound, "{place}: gradient of {} off by {e:.1e}", t.name);
        }
        let e = error(engine.buffers(), &floats(&case.buffers), 1e-3);
        assert!(e < 0.4 * bound, "{place}: statistics off by {e:.1e}");
    }
}

fn optimizer(name: &str) -> (Optimizer, f32) {
    let sgd = Optimizer::default();
    let adam = Optimizer { kind: OptimizerKind::Adam, eps: 1e-4, weight_decay: 1e-3, ..sgd };
    match name {
        "sgd" => (sgd, 0.05),
        "momentum" => (Optimizer { momentum: 0.9, weight_decay: 1e-3, ..sgd }, 0.02),
        "nesterov" => (Optimizer { momentum: 0.9, nesterov: true, ..sgd }, 0.02),
        "adam" => (adam, 2e-3),
        "adamw" => (Optimizer { kind: OptimizerKind::AdamW, weight_decay: 1e-2, ..adam }, 2e-3),
        "muon" => {
            let muon = Optimizer { kind: OptimizerKind::Muon, momentum: 0.95, nesterov: true, ..adam };
            (Optimizer { weight_decay: 1e-2, ..muon }, 2e-3)
        }
        other => panic!("{other}"),
    }
}

/// Twenty steps of the optimizer that goes with each of some of the networks.
pub fn steps(numbers: Range<usize>, make: Make) {
    for (number, case) in cases().iter().enumerate().skip(numbers.start).take(numbers.len()) {
        let (optimizer, lr) = optimizer(&case.optimizer);
        let (mut engine, x, labels) = engine(case, make);
        let place = format!("network {number}, {}", engine.device());
        let batch = Batch { pixels: Pixels::Floats(&x), labels: &labels, indices: &INDICES };
        for (step, want) in case.losses.iter().enumerate() {
            let update = Update { optimizer, lr, scale: 1.0, step: step as u64 + 1 };
            let loss = backward(engine.as_mut(), &batch, &TrainStep::default()).mean_loss();
            engine.update(update);
            assert!((loss - want).abs() < 1e-4 * (1.0 + want), "{place}, step {step}: {loss} {want}");
        }
        engine.settle(None).unwrap();
        let e = error(engine.parameters(), &floats(&case.after), 1e-3);
        assert!(e < 1e-4, "{place}, {}: parameters off by {e:.1e}", case.optimizer);
    }
}
