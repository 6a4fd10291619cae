//! The CPU engine against the naive reference in f64, on random networks; and its bits against themselves over paths,
//! threads and batch sizes.

use lenet::engine::{Batch, CpuEngine, CpuOptions, Engine, Pixels, TrainStep, Update, reference};
use lenet::kernel::Path;
use lenet::kernel::pool::{self, PoolKind};
use lenet::spec::{Activation, Conv2d, Dense, Geometry, Layer, Network, Pool, Spec};
use proptest::prelude::*;

/// A small deterministic stream, so that a case is named by its seed.
struct Stream(u64);

impl Stream {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn below(&mut self, n: usize) -> usize {
        self.next() as usize % n
    }

    fn unit(&mut self) -> f32 {
        self.next() as f32 / (1u64 << 31) as f32
    }
}

/// A random network of odd sizes: windows, strides, paddings, channels 1..40.
fn random_network(r: &mut Stream) -> Network {
    loop {
        let input = [1 + r.below(3), 5 + r.below(16), 5 + r.below(16)];
        let mut layers = Vec::new();
        for _ in 0..1 + r.below(3) {
            let window = [1 + r.below(5), 1 + r.below(5)];
            let channels = if r.below(4) == 0 { 1 + r.below(40) } else { 1 + r.below(12) };
            layers.push(match r.below(8) {
                0..4 => Layer::Conv2d(Conv2d {
                    channels,
                    window,
                    stride: if r.below(2) == 0 { [1, 1] } else { [1 + r.below(3), 1 + r.below(3)] },
                    padding: [r.below(window[0].min(3) + 1), r.below(window[1].min(3) + 1)],
                    bias: r.below(4) != 0,
                }),
                4 | 5 => pool_layer(r),
                _ => Layer::Activation([Activation::Sigmoid, Activation::Tanh, Activation::Relu][r.below(3)]),
            });
            if r.below(2) == 0 {
                layers.push(Layer::Activation([Activation::Sigmoid, Activation::Tanh, Activation::Relu][r.below(3)]));
            }
            if r.below(2) == 0 {
                layers.push(pool_layer(r));
            }
        }
        layers.push(Layer::Flatten);
        for _ in 0..r.below(3) {
            layers.push(Layer::Dense(Dense { units: 1 + r.below(60), bias: r.below(4) != 0 }));
            layers.push(Layer::Activation([Activation::Sigmoid, Activation::Tanh, Activation::Relu][r.below(3)]));
        }
        layers.push(Layer::Dense(Dense { units: 2 + r.below(30), bias: true }));
        if let Ok(network) = (Spec { input, layers }).infer() {
            return network;
        }
    }
}

fn pool_layer(r: &mut Stream) -> Layer {
    let window = [1 + r.below(3), 1 + r.below(3)];
    let stride = if r.below(2) == 0 { window } else { [1 + r.below(3), 1 + r.below(3)] };
    let padding = if r.below(3) == 0 { [window[0] / 2, window[1] / 2] } else { [0, 0] };
    let pool = Pool { window, stride, padding };
    if r.below(2) == 0 { Layer::AvgPool(pool) } else { Layer::MaxPool(pool) }
}

struct Case {
    network: Network,
    parameters: Vec<f32>,
    samples: Vec<f32>,
    labels: Vec<u16>,
    indices: Vec<u32>,
}

impl Case {
    fn random(seed: u64) -> Case {
        let mut r = Stream(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678);
        let network = random_network(&mut r);
        let mut parameters = vec![0.0; network.parameters];
        for t in network.tensors() {
            let scale = (3.0 / t.fan_in as f32).sqrt();
            parameters[t.range.clone()].iter_mut().for_each(|w| *w = (2.0 * r.unit() - 1.0) * scale);
        }
        let n = 1 + r.below(40);
        let total = n + 5;
        let samples = (0..total * network.input.iter().product::<usize>()).map(|_| r.unit()).collect();
        let labels = (0..total).map(|_| r.below(network.outputs) as u16).collect();
        let indices = (0..n).map(|_| r.below(total) as u32).collect();
        Case { network, parameters, samples, labels, indices }
    }

    fn batch(&self) -> Batch<'_> {
        Batch { pixels: Pixels::Floats(&self.samples), labels: &self.labels, indices: &self.indices }
    }

    fn engine(&self, path: Path, threads: usize) -> CpuEngine {
        let options = CpuOptions { threads, path: Some(path) };
        let mut engine = CpuEngine::new(self.network.clone(), options).unwrap();
        engine.set_parameters(&self.parameters).unwrap();
        engine
    }

    fn sample(&self, index: u32) -> Vec<f64> {
        let n = self.network.input.iter().product::<usize>();
        self.samples[index as usize * n..][..n].iter().map(|&v| f64::from(v)).collect()
    }

    /// Whether some value lies so near a kink (0 of a ReLU, a tie of maxima) that f32 and f64 may fall on different sides.
    fn is_near_a_kink(&self) -> bool {
        const NEAR: f64 = 2e-5;
        let parameters: Vec<f64> = self.parameters.iter().map(|&w| f64::from(w)).collect();
        self.indices.iter().any(|&i| {
            let all = reference::activations(&self.network, &parameters, &self.sample(i));
            self.network.layers.iter().zip(&all).any(|(layer, x)| match layer.geometry {
                Geometry::Activation(Activation::Relu) => x.iter().any(|v| v.abs() < NEAR && *v != 0.0),
                Geometry::MaxPool(s) => {
                    let (best, takes) = pool::naive::forward(PoolKind::Maximum, &s, x);
                    // Another maximum, were the taken one a little smaller?
                    let mut lowered = x.clone();
                    takes.iter().flatten().for_each(|(i, _)| lowered[*i] -= NEAR);
                    let exact = |a: f64, b: f64| a == b;
                    let (_, others) = pool::naive::forward(PoolKind::Maximum, &s, &lowered);
                    takes.iter().zip(&others).zip(best).any(|((a, b), v)| a != b && !exact(x[b[0].0], v))
                }
                _ => false,
            })
        })
    }

    /// Logits and gradient of the mean loss, and the loss, by the reference.
    fn expected(&self) -> (Vec<f64>, Vec<f64>, f64) {
        let parameters: Vec<f64> = self.parameters.iter().map(|&w| f64::from(w)).collect();
        let mut gradient = vec![0.0; parameters.len()];
        let (mut logits, mut loss) = (Vec::new(), 0.0);
        let scale = 1.0 / self.indices.len() as f64;
        for &i in &self.indices {
            let x = self.sample(i);
            logits.extend(reference::activations(&self.network, &parameters, &x).pop().unwrap());
            let label = self.labels[i as usize] as usize;
            loss += reference::backward(&self.network, &parameters, &x, label, scale, &mut gradient);
        }
        (logits, gradient, loss)
    }
}

fn logits(engine: &mut CpuEngine, batch: &Batch) -> Vec<f32> {
    let mut out = vec![0.0; batch.indices.len() * engine.network().outputs];
    engine.forward(batch, &mut out).unwrap();
    out
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

/// Largest difference, as a share of the largest expected value.
fn error(got: &[f32], want: &[f64]) -> f64 {
    let largest = want.iter().fold(1e-6f64, |m, v| m.max(v.abs()));
    got.iter().zip(want).fold(0.0, |m, (g, w)| (f64::from(*g) - w).abs().max(m)) / largest
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_reference_on_every_path(seed in 0u64..1 << 40) {
        let case = Case::random(seed);
        prop_assume!(!case.is_near_a_kink());
        let (want_logits, want_gradient, want_loss) = case.expected();
        for path in Path::available() {
            let mut engine = case.engine(path, 2);
            let got = logits(&mut engine, &case.batch());
            prop_assert!(error(&got, &want_logits) < 2e-5, "{path} logits {} {:?}", error(&got, &want_logits), case.network);
            let score = engine.backward(&case.batch(), &TrainStep::default()).unwrap();
            prop_assert!((score.loss - want_loss).abs() < 2e-5 * (1.0 + want_loss), "{path} loss");
            for t in case.network.tensors() {
                let e = error(&engine.gradients()[t.range.clone()], &want_gradient[t.range.clone()]);
                prop_assert!(e < 1e-4, "{path} gradient of {} off by {e}, {:?}", t.name, case.network);
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_path_threads_or_batch(seed in 0u64..1 << 40) {
        let case = Case::random(seed);
        let mut first = case.engine(Path::available()[0], 1);
        let want_logits = bits(&logits(&mut first, &case.batch()));
        let want_score = first.step(&case.batch(), &TrainStep::default(), Update::sgd(0.5)).unwrap();
        let want_parameters = bits(first.parameters());
        for (path, threads) in Path::available().into_iter().flat_map(|p| [(p, 1), (p, 3)]) {
            let mut engine = case.engine(path, threads);
            prop_assert_eq!(&bits(&logits(&mut engine, &case.batch())), &want_logits, "{}", path);
            // One by one: pixels or outputs in the lanes.
            for (i, row) in case.indices.iter().zip(want_logits.chunks(case.network.outputs)) {
                let single = Batch { indices: &[*i], ..case.batch() };
                prop_assert_eq!(&bits(&logits(&mut engine, &single)), row, "{} alone", path);
            }
            let evaluated = engine.evaluate(&case.batch()).unwrap();
            prop_assert_eq!(evaluated, want_score, "{}", path);
            prop_assert_eq!(engine.step(&case.batch(), &TrainStep::default(), Update::sgd(0.5)).unwrap(), want_score, "{}", path);
            prop_assert_eq!(&bits(engine.parameters()), &want_parameters, "{}", path);
        }
    }
}

/// The reference itself against finite differences, which know nothing of derivatives.
#[test]
fn the_reference_agrees_with_finite_differences() {
    for seed in 0..60 {
        let case = Case::random(seed);
        let smooth = case.network.layers.iter().all(|l| l.kind != "relu" && l.kind != "max_pool");
        if !smooth {
            continue;
        }
        let parameters: Vec<f64> = case.parameters.iter().map(|&w| f64::from(w)).collect();
        let (x, label) = (case.sample(0), case.labels[0] as usize);
        let mut gradient = vec![0.0; parameters.len()];
        reference::backward(&case.network, &parameters, &x, label, 1.0, &mut gradient);
        let loss = |p: &[f64]| reference::backward(&case.network, p, &x, label, 1.0, &mut vec![0.0; p.len()]);
        for i in (0..parameters.len()).step_by(1 + parameters.len() / 25) {
            let h = 1e-5;
            let mut moved = parameters.clone();
            moved[i] += h;
            let up = loss(&moved);
            moved[i] -= 2.0 * h;
            let difference = (up - loss(&moved)) / (2.0 * h);
            assert!((difference - gradient[i]).abs() < 1e-7 * (1.0 + difference.abs()), "seed {seed}, parameter {i}");
        }
    }
}

#[test]
fn training_that_diverges_stops_and_names_the_layer() {
    let case = Case::random(7);
    let mut engine = case.engine(Path::available()[0], 2);
    let mut bad = case.parameters.clone();
    let tensor = case.network.tensors().next().unwrap().range.clone();
    bad[tensor.start] = f32::NAN;
    engine.set_parameters(&bad).unwrap();
    let error = engine.step(&case.batch(), &TrainStep::default(), Update::sgd(0.1)).unwrap_err().to_string();
    assert!(error.contains("not finite") && error.contains("train.lr"), "{error}");
    assert_eq!(bits(engine.parameters()), bits(&bad), "parameters are as they were");
}

#[test]
fn a_batch_that_does_not_fit_is_refused() {
    let case = Case::random(3);
    let mut engine = case.engine(Path::available()[0], 1);
    let beyond = [case.labels.len() as u32];
    assert!(engine.backward(&Batch { indices: &beyond, ..case.batch() }, &TrainStep::default()).is_err());
    assert!(engine.backward(&Batch { indices: &[], ..case.batch() }, &TrainStep::default()).is_err());
    let labels = vec![case.network.outputs as u16; case.labels.len()];
    assert!(engine.backward(&Batch { labels: &labels, ..case.batch() }, &TrainStep::default()).is_err());
    assert!(engine.forward(&case.batch(), &mut [0.0]).is_err());
    assert!(engine.set_parameters(&[0.0]).is_err());
}
