//! The CPU engine against the naive reference in f64, on random networks; and its bits against themselves over paths,
//! threads and batch sizes.

use crate::kit::{Path, Targets, bits, error, f64s};
use lenet::engine::reference::Reference;
use lenet::engine::{Batch, CpuEngine, CpuOptions, Engine, Pixels, Ranks, TrainStep, Update, initialize};
use lenet::kernel::op::activation::facts;
use lenet::kernel::op::pool::{self, PoolKind};
use lenet::spec::{
    Activation, Approximate, BatchNorm, Conv2d, Dense, Dropout, Geometry, Layer, Network, Optimizer, Pool, Prelu, Rbf,
    Residual, Role, Spec, TrainRecipe,
};
use proptest::prelude::*;
use std::sync::{Arc, Barrier, Mutex};

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

const STEP: TrainStep =
    TrainStep { seed: 3, epoch: 2, augment: None, targets: Targets { smoothing: 0.0, weights: &[] } };

fn activation(r: &mut Stream) -> Layer {
    if r.below(6) == 0 {
        return Prelu::new().slope(0.5).into();
    }
    Layer::Activation(match Activation::ALL[r.below(Activation::ALL.len())] {
        Activation::LeakyRelu { slope } => Activation::LeakyRelu { slope: [slope, 0.0, 0.3][r.below(3)] },
        Activation::Elu { alpha } => Activation::Elu { alpha: [alpha, 0.4, 1.7][r.below(3)] },
        Activation::Gelu { .. } => Activation::Gelu { approximate: Approximate::ALL[r.below(2)] },
        other => other,
    })
}

fn conv(r: &mut Stream, inputs: usize) -> Layer {
    let window = [1 + r.below(5), 1 + r.below(5)];
    let mut channels = if r.below(4) == 0 { 1 + r.below(40) } else { 1 + r.below(12) };
    let mut groups = 1;
    if r.below(4) == 0 {
        // Any divisor: depthwise where it is the number of channels.
        let divisors: Vec<usize> = (1..=inputs).filter(|&d| inputs.is_multiple_of(d)).collect();
        groups = divisors[r.below(divisors.len())];
        channels = groups * (1 + r.below(3));
    }
    let connections = (groups == 1 && r.below(6) == 0).then(|| {
        let one = |r: &mut Stream| -> Vec<usize> { (0..inputs).filter(|_| r.below(2) == 0).collect() };
        (0..channels).map(|_| Some(one(r)).filter(|m| !m.is_empty()).unwrap_or_else(|| vec![r.below(inputs)])).collect()
    });
    Layer::Conv2d(Conv2d {
        channels,
        window,
        stride: if r.below(2) == 0 { [1, 1] } else { [1 + r.below(3), 1 + r.below(3)] },
        padding: [r.below(window[0].min(3) + 1), r.below(window[1].min(3) + 1)],
        dilation: if r.below(4) == 0 { [1 + r.below(3), 1 + r.below(3)] } else { [1, 1] },
        groups,
        connections,
        bias: r.below(4) != 0,
    })
}

/// A way from `inputs` to `channels` channels that keeps rows and columns.
fn way(r: &mut Stream, inputs: usize, channels: usize) -> Vec<Layer> {
    let same = |channels, window: usize| {
        let (window, padding) = ([window, window], [window / 2, window / 2]);
        Layer::Conv2d(Conv2d { channels, window, padding, ..Conv2d::default() })
    };
    let mut layers = Vec::new();
    for _ in 0..r.below(3) {
        match r.below(5) {
            0 => layers.push(same(inputs, 3)),
            1 => layers.push(Layer::BatchNorm(BatchNorm::default())),
            2 => layers.push(Layer::Dropout(Dropout { rate: 0.2 })),
            3 => layers.push(Layer::AvgPool(Pool { window: [3, 3], stride: [1, 1], padding: [1, 1] })),
            _ => layers.push(activation(r)),
        }
    }
    layers.push(same(channels, [1, 3, 5][r.below(3)]));
    if r.below(2) == 0 {
        layers.push(Layer::BatchNorm(BatchNorm::default()));
    }
    layers
}

fn residual(r: &mut Stream, inputs: usize, channels: usize, depth: usize) -> Layer {
    let mut body = way(r, inputs, channels);
    if depth > 0 && r.below(3) == 0 {
        body.insert(0, residual(r, inputs, inputs, depth - 1));
    }
    let shortcut = if channels != inputs || r.below(3) == 0 { way(r, inputs, channels) } else { Vec::new() };
    Layer::Residual(Residual { body, shortcut })
}

/// A random network of odd sizes and all operators: windows, strides, paddings, channels 1..40.
fn random_network(r: &mut Stream) -> Network {
    loop {
        let input = [1 + r.below(3), 5 + r.below(16), 5 + r.below(16)];
        let mut layers = Vec::new();
        let mut channels = input[0];
        for _ in 0..1 + r.below(3) {
            let layer = match r.below(12) {
                0..5 => conv(r, channels),
                5 => pool_layer(r),
                6 => Layer::BatchNorm(BatchNorm::default()),
                7 => Layer::Dropout(Dropout { rate: 0.3 }),
                8..10 => {
                    let outputs = if r.below(2) == 0 { channels } else { 1 + r.below(9) };
                    residual(r, channels, outputs, 2)
                }
                10 => Layer::Subsample(Pool { window: [2, 2], stride: [2, 2], padding: [0, 0] }),
                _ => activation(r),
            };
            layers.push(layer);
            if r.below(3) == 0 {
                layers.push(Layer::BatchNorm(BatchNorm { eps: 1e-3, momentum: 0.3 }));
            }
            if r.below(2) == 0 {
                layers.push(activation(r));
            }
            if r.below(2) == 0 {
                layers.push(pool_layer(r));
            }
            let spec = Spec { input, layers: layers.iter().cloned().chain([Layer::Flatten]).collect() };
            match spec.infer().map(|n| n.layers()[n.layers().len() - 1].input) {
                Ok(lenet::spec::Shape::Image([c, ..])) => channels = c,
                _ => break,
            }
        }
        if r.below(4) == 0 {
            layers.push(Layer::GlobalAvgPool);
        }
        layers.push(Layer::Flatten);
        for _ in 0..r.below(3) {
            layers.push(Layer::Dense(Dense { units: 1 + r.below(60), bias: r.below(4) != 0 }));
            match r.below(4) {
                0 => layers.push(Layer::BatchNorm(BatchNorm::default())),
                1 => layers.push(Layer::Dropout(Dropout { rate: 0.5 })),
                _ => {}
            }
            layers.push(activation(r));
        }
        let units = 2 + r.below(30);
        layers.push(match r.below(6) {
            0 => Layer::Rbf(Rbf { units }),
            _ => Layer::Dense(Dense { units, bias: true }),
        });
        if let Ok(network) = (Spec { input, layers }).infer()
            && network.parameters() > 0
        {
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
    buffers: Vec<f32>,
    samples: Vec<f32>,
    labels: Vec<u16>,
    indices: Vec<u32>,
}

impl Case {
    fn random(seed: u64) -> Case {
        let mut r = Stream(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678);
        let network = random_network(&mut r);
        let mut parameters = vec![0.0; network.parameters()];
        for t in network.tensors() {
            let (scale, start) = match t.role {
                Role::Scale => (0.4, t.start),
                _ => ((3.0 / t.fan_in.max(1) as f32).sqrt(), 0.0),
            };
            let mask = t.mask.clone().unwrap_or_else(|| vec![true; t.range.len()]);
            for (w, live) in parameters[t.range.clone()].iter_mut().zip(mask) {
                let value = start + (2.0 * r.unit() - 1.0) * scale;
                *w = if live { value } else { 0.0 };
            }
        }
        // A mean, a variance above 0, or codes: any will do.
        let buffers = (0..network.buffers()).map(|_| 0.5 + r.unit()).collect();
        let n = 1 + r.below(40);
        let total = n + 5;
        let samples = (0..total * network.input().iter().product::<usize>()).map(|_| r.unit()).collect();
        let labels = (0..total).map(|_| r.below(network.outputs()) as u16).collect();
        let indices = (0..n).map(|_| r.below(total) as u32).collect();
        Case { network, parameters, buffers, samples, labels, indices }
    }

    fn batch(&self) -> Batch<'_> {
        Batch { pixels: Pixels::Floats(&self.samples), labels: &self.labels, indices: &self.indices }
    }

    fn engine(&self, path: Path, threads: usize) -> CpuEngine {
        let options = CpuOptions { threads, path: Some(path) };
        let mut engine = CpuEngine::new(self.network.clone(), options).unwrap();
        engine.set_parameters(&self.parameters).unwrap();
        engine.set_buffers(&self.buffers).unwrap();
        engine
    }

    fn x(&self) -> Vec<Vec<f64>> {
        let n = self.network.input().iter().product::<usize>();
        self.indices.iter().map(|&i| f64s(&self.samples[i as usize * n..][..n])).collect()
    }

    fn picked_labels(&self) -> Vec<usize> {
        self.indices.iter().map(|&i| self.labels[i as usize] as usize).collect()
    }

    fn keys(&self) -> Vec<u32> {
        self.indices.iter().map(|&i| STEP.dropout_key(i)).collect()
    }

    /// Whether training meets a value so near a kink (0 of a ReLU, a tie of maxima) that f32 and f64 may fall on
    /// different sides, or a normalisation of values that hardly differ, which makes rounding errors large.
    fn is_delicate(&self) -> bool {
        const NEAR: f64 = 1e-4;
        let (parameters, buffers, keys) = (f64s(&self.parameters), f64s(&self.buffers), self.keys());
        let reference =
            Reference { network: &self.network, parameters: &parameters, buffers: &buffers, train: Some(&keys) };
        let all = reference.values(&self.x());
        let near = |x: &[f64], kink: f64| x.iter().any(|v| (v - kink).abs() < NEAR && *v != 0.0);
        self.network.layers().iter().any(|layer| {
            let values = &all[layer.source];
            if let Geometry::BatchNorm(s) = layer.geometry {
                // Few values leave hardly any gradient behind their own mean and variance.
                return s.positions * values.len() < 12
                    || (0..s.channels).any(|c| {
                        let of = |x: &Vec<f64>| x[c * s.positions..(c + 1) * s.positions].to_vec();
                        lenet::kernel::op::norm::naive::moments(&values.iter().flat_map(of).collect::<Vec<_>>()).1
                            < 1e-2
                    });
            }
            values.iter().any(|x| match layer.geometry {
                Geometry::Activation(a) => facts(a).kinks.iter().any(|kink| near(x, *kink)),
                Geometry::Prelu(_) => near(x, 0.0),
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

    /// Logits of evaluation, and of training the gradient of the mean loss and the loss, by the reference.
    fn expected(&self) -> (Vec<f64>, Vec<f64>, f64) {
        let (parameters, buffers, keys) = (f64s(&self.parameters), f64s(&self.buffers), self.keys());
        let mut reference =
            Reference { network: &self.network, parameters: &parameters, buffers: &buffers, train: None };
        let logits = reference.values(&self.x()).pop().unwrap().concat();
        reference.train = Some(&keys);
        let (gradient, loss) = reference.gradient(&self.x(), &self.picked_labels());
        (logits, gradient, loss)
    }
}

fn logits(engine: &mut CpuEngine, batch: &Batch) -> Vec<f32> {
    let mut out = vec![0.0; batch.indices.len() * engine.network().outputs()];
    engine.forward(batch, &mut out).unwrap();
    out
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 150,
        failure_persistence: None,
        rng_seed: proptest::test_runner::RngSeed::Fixed(20),
        ..ProptestConfig::default()
    })]

    #[test]
    fn agrees_with_the_reference_on_every_path(seed in 0u64..1 << 40) {
        let case = Case::random(seed);
        prop_assume!(!case.is_delicate());
        let (want_logits, want_gradient, want_loss) = case.expected();
        for path in Path::available() {
            let mut engine = case.engine(path, 2);
            let got = logits(&mut engine, &case.batch());
            prop_assert!(error(&got, &want_logits, 1e-6) < 2e-5, "{path} logits {} {:?}", error(&got, &want_logits, 1e-6), case.network);
            let score = engine.backward(&case.batch(), &STEP).unwrap();
            // Each sample's loss is as exact as its logits.
            let largest = want_logits.iter().fold(1.0f64, |m, v| m.max(v.abs()));
            let allowed = 2e-5 * largest * case.indices.len() as f64;
            prop_assert!((score.loss - want_loss).abs() < allowed, "{path} loss {} {want_loss}", score.loss);
            // What a normalisation takes away again (a bias, a scale) has a gradient of 0 but for rounding: there the
            // whole network's gradient is the measure.
            let normalizes = case.network.layers().iter().any(|l| l.kind == "batch_norm");
            let largest = want_gradient.iter().fold(1e-6f64, |m, v| m.max(v.abs()));
            let least = if normalizes { largest } else { 1e-6 };
            // Distances to codes are large, and what is left of them behind a softmax is small.
            let distances = case.network.layers().iter().any(|l| l.kind == "rbf");
            let allowed = if distances { 2e-3 } else if normalizes { 3e-4 } else { 1e-4 };
            for t in case.network.tensors() {
                let e = error(&engine.gradients()[t.range.clone()], &want_gradient[t.range.clone()], least);
                prop_assert!(e < allowed, "{path} gradient of {} off by {e}, {:?}", t.name, case.network);
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_path_threads_or_batch(seed in 0u64..1 << 40) {
        let case = Case::random(seed);
        let mut first = case.engine(Path::available()[0], 1);
        let want_logits = bits(&logits(&mut first, &case.batch()));
        let want_evaluated = first.evaluate(&case.batch()).unwrap();
        let want_score = first.step(&case.batch(), &STEP, Update::sgd(0.5)).unwrap();
        let (want_parameters, want_buffers) = (bits(first.parameters()), bits(first.buffers()));
        for (path, threads) in Path::available().into_iter().flat_map(|p| [(p, 1), (p, 3)]) {
            let mut engine = case.engine(path, threads);
            prop_assert_eq!(&bits(&logits(&mut engine, &case.batch())), &want_logits, "{}", path);
            // One by one: pixels or outputs in the lanes.
            for (i, row) in case.indices.iter().zip(want_logits.chunks(case.network.outputs())) {
                let single = Batch { indices: &[*i], ..case.batch() };
                prop_assert_eq!(&bits(&logits(&mut engine, &single)), row, "{} alone", path);
            }
            let evaluated = engine.evaluate(&case.batch()).unwrap();
            prop_assert_eq!(evaluated, want_evaluated, "{}", path);
            prop_assert_eq!(engine.step(&case.batch(), &STEP, Update::sgd(0.5)).unwrap(), want_score, "{}", path);
            prop_assert_eq!(&bits(engine.parameters()), &want_parameters, "{}", path);
            prop_assert_eq!(&bits(engine.buffers()), &want_buffers, "{}", path);
        }
    }
}

/// Ranks that are threads of this process.
#[derive(Clone)]
struct Threads {
    rank: usize,
    values: Arc<Mutex<Vec<Vec<f32>>>>,
    barrier: Arc<Barrier>,
}

impl Threads {
    fn of(ranks: usize) -> Vec<Threads> {
        let first = Threads {
            rank: 0,
            values: Arc::new(Mutex::new(vec![Vec::new(); ranks])),
            barrier: Arc::new(Barrier::new(ranks)),
        };
        (0..ranks).map(|rank| Threads { rank, ..first.clone() }).collect()
    }
}

impl Ranks for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.values.lock().unwrap().len()
    }

    fn gather(&self, own: &[f32], counts: &[usize], all: &mut [f32]) {
        assert_eq!(own.len(), counts[self.rank]);
        self.values.lock().unwrap()[self.rank] = own.to_vec();
        self.barrier.wait();
        all.copy_from_slice(&self.values.lock().unwrap().concat());
        self.barrier.wait();
    }
}

#[test]
fn bits_do_not_depend_on_the_number_of_ranks() {
    for case in (0..80).map(Case::random) {
        // Up to 23 chunks, so that ranks have several subtrees.
        let indices = case.indices.repeat(9);
        let batch = Batch { indices: &indices, ..case.batch() };
        let work = |mut engine: CpuEngine| {
            let evaluated = engine.evaluate(&batch).unwrap();
            let mut told = vec![evaluated.loss.to_bits(), evaluated.correct as u64];
            for step in 1..=2 {
                let score = engine.step(&batch, &STEP, Update { step, ..Update::sgd(0.1) });
                told.extend(score.map_or(Vec::new(), |s| vec![s.loss.to_bits(), s.correct as u64]));
            }
            let all = [bits(&logits(&mut engine, &batch)), bits(engine.parameters()), bits(engine.buffers())];
            (told, all)
        };
        let want = work(case.engine(Path::available()[0], 1));
        for ranks in 2..=4 {
            let run = |rank| work(case.engine(Path::available()[0], 1).with_ranks(Box::new(rank)));
            std::thread::scope(|scope| {
                let all: Vec<_> = Threads::of(ranks).into_iter().map(|rank| scope.spawn(move || run(rank))).collect();
                for got in all {
                    assert!(got.join().unwrap() == want, "{ranks} ranks, {:?}", case.network);
                }
            });
        }
    }
}

/// The reference itself against finite differences, which know nothing of derivatives.
#[test]
fn the_reference_agrees_with_finite_differences() {
    let mut seen = 0;
    for seed in 0..150 {
        let case = Case::random(seed);
        if case.is_delicate() || case.indices.len() > 12 {
            continue;
        }
        seen += 1;
        let (parameters, buffers, keys) = (f64s(&case.parameters), f64s(&case.buffers), case.keys());
        let (x, labels) = (case.x(), case.picked_labels());
        let at = |p: &[f64]| -> (Vec<f64>, f64) {
            let train = Some(&keys[..]);
            Reference { network: &case.network, parameters: p, buffers: &buffers, train }.gradient(&x, &labels)
        };
        let gradient = at(&parameters).0;
        let live: Vec<bool> =
            case.network.tensors().flat_map(|t| t.mask.clone().unwrap_or_else(|| vec![true; t.range.len()])).collect();
        for i in (0..parameters.len()).step_by(1 + parameters.len() / 15).filter(|&i| live[i]) {
            let h = 1e-5;
            let mut moved = parameters.clone();
            moved[i] += h;
            let up = at(&moved).1;
            moved[i] -= 2.0 * h;
            let difference = (up - at(&moved).1) / (2.0 * h) / x.len() as f64;
            let error = (difference - gradient[i]).abs();
            assert!(
                error < 2e-6 * (1.0 + difference.abs()),
                "seed {seed}, parameter {i}: {difference} {}",
                gradient[i]
            );
        }
    }
    assert!(seen > 10, "{seen}");
}

/// Twenty steps by hand, in f64, as one writes them in PyTorch: `Linear(3, 4)`, `PReLU(4)`, `Linear(4, 2)`, the mean
/// cross-entropy, SGD with momentum and a weight decay for the two matrices alone.
#[test]
fn slopes_learn_as_by_hand() {
    const LR: f64 = 0.2;
    let layers = [Layer::Flatten, Dense::new(4).into(), Prelu::new().into(), Dense::new(2).into()];
    let network = Spec::new([1, 1, 3], layers).infer().unwrap();
    let start = initialize(&network, &TrainRecipe { seed: 4, ..TrainRecipe::default() });
    assert_eq!(start[16..20], [0.25; 4], "slopes start where their layer says");
    let samples: Vec<f32> = (0..36).map(|i| ((i * 7 + 3) % 11) as f32 / 5.0 - 1.0).collect();
    let (labels, indices): (Vec<u16>, Vec<u32>) = ((0..12).map(|i| i % 2).collect(), (0..12).collect());

    let mut p = f64s(&start);
    let (mut velocity, mut want) = (vec![0.0; p.len()], Vec::new());
    for _ in 0..20 {
        let mut gradient = vec![0.0; p.len()];
        let mut loss = 0.0;
        for (x, &label) in f64s(&samples).chunks(3).zip(&labels) {
            let h: Vec<f64> = (0..4).map(|o| (0..3).map(|i| p[3 * o + i] * x[i]).sum::<f64>() + p[12 + o]).collect();
            let a: Vec<f64> = (0..4).map(|o| h[o].max(0.0) + p[16 + o] * h[o].min(0.0)).collect();
            let y: Vec<f64> =
                (0..2).map(|o| (0..4).map(|i| p[20 + 4 * o + i] * a[i]).sum::<f64>() + p[28 + o]).collect();
            let total: f64 = y.iter().map(|y| y.exp()).sum();
            loss += total.ln() - y[usize::from(label)];
            for (o, y) in y.iter().enumerate() {
                let dy = (y.exp() / total - f64::from(usize::from(label) == o)) / 12.0;
                gradient[28 + o] += dy;
                for i in 0..4 {
                    gradient[20 + 4 * o + i] += dy * a[i];
                    let da = dy * p[20 + 4 * o + i];
                    gradient[16 + i] += da * h[i].min(0.0);
                    let dh = if h[i] > 0.0 { da } else { p[16 + i] * da };
                    gradient[12 + i] += dh;
                    (0..3).for_each(|k| gradient[3 * i + k] += dh * x[k]);
                }
            }
        }
        want.push(loss);
        for i in 0..p.len() {
            let decay = if i < 12 || (20..28).contains(&i) { 0.01 } else { 0.0 };
            velocity[i] = 0.9 * velocity[i] + gradient[i] + decay * p[i];
            p[i] -= LR * velocity[i];
        }
    }

    let optimizer = Optimizer { momentum: 0.9, weight_decay: 0.01, ..Optimizer::default() };
    let batch = Batch { pixels: Pixels::Floats(&samples), labels: &labels, indices: &indices };
    for path in Path::available() {
        let options = CpuOptions { threads: 1, path: Some(path) };
        let mut engine = CpuEngine::new(network.clone(), options).unwrap();
        engine.set_parameters(&start).unwrap();
        for (step, want) in want.iter().enumerate() {
            let update = Update { optimizer, lr: LR as f32, scale: 1.0, step: step as u64 + 1 };
            let score = engine.step(&batch, &STEP, update).unwrap();
            assert!((score.loss - want).abs() < 1e-4, "{path}, step {step}: {score:?} {want}");
        }
        assert!(error(engine.parameters(), &p, 1e-3) < 1e-5, "{path}: {:?} {p:?}", engine.parameters());
    }
    assert!((16..20).any(|i| (p[i] - 0.25).abs() > 0.05), "the slopes moved");
}

#[test]
fn training_that_diverges_stops_and_names_the_layer() {
    let case = (0..).map(Case::random).find(|c| c.network.layers()[0].kind == "conv2d").unwrap();
    let mut engine = case.engine(Path::available()[0], 2);
    let mut bad = case.parameters.clone();
    let tensor = case.network.tensors().next().unwrap().range.clone();
    bad[tensor.start] = f32::NAN;
    engine.set_parameters(&bad).unwrap();
    let error = engine.step(&case.batch(), &STEP, Update::sgd(0.1)).unwrap_err().to_string();
    assert!(error.contains("not finite") && error.contains("train.lr"), "{error}");
    assert_eq!(bits(engine.parameters()), bits(&bad), "parameters are as they were");
}

#[test]
fn a_batch_that_does_not_fit_is_refused() {
    let case = Case::random(3);
    let mut engine = case.engine(Path::available()[0], 1);
    let beyond = [case.labels.len() as u32];
    assert!(engine.backward(&Batch { indices: &beyond, ..case.batch() }, &STEP).is_err());
    assert!(engine.backward(&Batch { indices: &[], ..case.batch() }, &STEP).is_err());
    let labels = vec![case.network.outputs() as u16; case.labels.len()];
    assert!(engine.backward(&Batch { labels: &labels, ..case.batch() }, &STEP).is_err());
    assert!(engine.forward(&case.batch(), &mut [0.0]).is_err());
    assert!(engine.set_parameters(&[0.0]).is_err());
}
