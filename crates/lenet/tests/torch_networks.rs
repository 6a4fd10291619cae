//! The engine against PyTorch in float64, on random networks of all operators (`bench/pytorch_parity.py` wrote the values).

use lenet::engine::{Batch, CpuEngine, CpuOptions, Engine, Pixels, TrainStep, Update};
use lenet::kernel::Path;
use lenet::spec::{Network, Optimizer, OptimizerKind, Role, Spec};
use serde::Deserialize;

const SAMPLES: usize = 24;

#[derive(Deserialize)]
struct Case {
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

/// Numbers in [0, 1), as the script computes them.
fn uniform(n: usize, seed: u64) -> impl Iterator<Item = f64> {
    (0..n as u64).map(move |i| {
        let bits = (i * 2_654_435_761 + seed * 40_503 + 12_345) % (1 << 32);
        let bits = (bits ^ (bits >> 15)) * 2_246_822_519 % (1 << 32);
        (bits >> 8) as f64 / f64::from(1 << 24)
    })
}

fn floats(hex: &str) -> Vec<f32> {
    let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    (0..hex.len()).step_by(8).map(|i| f32::from_le_bytes([byte(i), byte(i + 2), byte(i + 4), byte(i + 6)])).collect()
}

fn parameters(network: &Network, seed: u64) -> Vec<f32> {
    let mut all = vec![0.0; network.parameters];
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

/// Largest difference, as a share of the largest expected value or of `least`.
fn error(got: &[f32], want: &[f32], least: f32) -> f32 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(least, |m, v| m.max(v.abs()));
    got.iter().zip(want).fold(0.0f32, |m, (g, w)| m.max((g - w).abs())) / largest
}

fn cases() -> Vec<Case> {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/torch_networks.json")).unwrap();
    assert_eq!(cases.len(), 30);
    cases
}

fn engine(case: &Case, path: Path) -> (CpuEngine, Vec<f32>, Vec<u16>) {
    let network = Spec::from_json(&case.spec.to_string()).unwrap().infer().unwrap();
    let mut engine = CpuEngine::new(network.clone(), CpuOptions { threads: 2, path: Some(path) }).unwrap();
    engine.set_parameters(&parameters(&network, case.seed)).unwrap();
    engine.set_buffers(&buffers(&network, case.seed)).unwrap();
    let x = uniform(SAMPLES * network.input.iter().product::<usize>(), case.seed + 90_001).map(|u| u as f32).collect();
    let labels = (0..SAMPLES).map(|i| (i * 7 % network.outputs) as u16).collect();
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

#[test]
fn logits_gradients_and_statistics_are_pytorchs() {
    for (number, case) in cases().iter().enumerate() {
        for path in Path::available() {
            let (mut engine, x, labels) = engine(case, path);
            let batch = Batch { pixels: Pixels::Floats(&x), labels: &labels, indices: &INDICES };
            let mut logits = vec![0.0; SAMPLES * engine.network().outputs];
            engine.forward(&batch, &mut logits).unwrap();
            let e = error(&logits, &floats(&case.logits), 1e-3);
            assert!(e < 5e-6, "network {number}, {path}: logits off by {e}");
            let loss = engine.backward(&batch, &TrainStep::default()).unwrap().mean_loss();
            assert!((loss - case.loss).abs() < 5e-6 * (1.0 + case.loss), "network {number}, {path}: loss {loss}");
            let want = floats(&case.gradient);
            let largest = want.iter().fold(0.0f32, |m, v| m.max(v.abs()));
            for t in engine.network().tensors() {
                // A normalisation takes part of what is before it away again, which leaves less than rounding sees.
                let e = error(&engine.gradients()[t.range.clone()], &want[t.range.clone()], 0.1 * largest);
                assert!(e < 5e-6, "network {number}, {path}: gradient of {} off by {e}", t.name);
            }
            let e = error(engine.buffers(), &floats(&case.buffers), 1e-3);
            assert!(e < 2e-6, "network {number}, {path}: statistics off by {e}");
        }
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
        other => panic!("{other}"),
    }
}

#[test]
fn twenty_steps_of_every_optimizer_are_pytorchs() {
    for (number, case) in cases().iter().enumerate() {
        let (optimizer, lr) = optimizer(&case.optimizer);
        for path in Path::available() {
            let (mut engine, x, labels) = engine(case, path);
            let batch = Batch { pixels: Pixels::Floats(&x), labels: &labels, indices: &INDICES };
            for (step, want) in case.losses.iter().enumerate() {
                let update = Update { optimizer, lr, scale: 1.0, step: step as u64 + 1 };
                let loss = engine.step(&batch, &TrainStep::default(), update).unwrap().mean_loss();
                assert!(
                    (loss - want).abs() < 1e-4 * (1.0 + want),
                    "network {number}, {path}, step {step}: {loss} {want}"
                );
            }
            let e = error(engine.parameters(), &floats(&case.after), 1e-3);
            assert!(e < 1e-4, "network {number}, {path}, {}: parameters off by {e}", case.optimizer);
        }
    }
}
