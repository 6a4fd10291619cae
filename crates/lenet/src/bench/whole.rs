//! Whole epochs with 1..n threads, and inference, on synthetic images: their content does not change the work.

use super::measure::{BenchOptions, BenchRow, measure, median};
use super::peak::peak;
use crate::engine::initialize;
use crate::engine::reference::Reference;
use crate::engine::{Batch, CpuEngine, CpuOptions, Engine, Pixels, TrainStep, Update};
use crate::kernel::Path;
use crate::kernel::bench::Disagreement;
use crate::kernel::bench::agree;
use crate::kernel::kit::{f64s, values};
use crate::spec::Augment;
use crate::spec::{Init, Network, TrainRecipe};
use std::time::Instant;

const BATCH: usize = 256;
const IMAGES: usize = 4096;

struct Data {
    bytes: Vec<u8>,
    tables: Vec<[f32; 256]>,
    labels: Vec<u16>,
    order: Vec<u32>,
    parameters: Vec<f32>,
}

impl Data {
    fn new(network: &Network) -> Self {
        let sample = network.input.iter().product::<usize>();
        let byte = |v: f32| ((v + 1.0) * 127.0) as u8;
        Data {
            bytes: values(IMAGES * sample, 2).into_iter().map(byte).collect(),
            tables: vec![std::array::from_fn(|b| b as f32 / 255.0); network.input[0]],
            labels: (0..IMAGES).map(|i| (i * 7 % network.outputs) as u16).collect(),
            order: (0..IMAGES as u32).map(|i| i * 1031 % IMAGES as u32).collect(),
            parameters: initialize(network, &TrainRecipe { init: Init::LecunNormal, seed: 1, ..Default::default() }),
        }
    }

    fn batch(&self, step: usize) -> Batch<'_> {
        let start = step * BATCH % IMAGES;
        self.some(&self.order[start..start + BATCH])
    }

    fn some<'a>(&'a self, indices: &'a [u32]) -> Batch<'a> {
        let pixels = Pixels::Bytes { data: &self.bytes, tables: &self.tables };
        Batch { pixels, labels: &self.labels, indices }
    }

    fn engine(&self, network: &Network, path: Path, threads: usize) -> Option<CpuEngine> {
        let mut engine = CpuEngine::new(network.clone(), CpuOptions { threads, path: Some(path) }).ok()?;
        engine.set_parameters(&self.parameters).ok()?;
        Some(engine)
    }
}

/// Multiply-adds of one sample's step: forward, and backward to weights and, where something before learns, to data.
pub(super) fn training_multiply_adds(network: &Network) -> u64 {
    let mut learns = false;
    network
        .layers
        .iter()
        .map(|l| {
            let passes = if learns { 3 } else { 2 };
            learns |= l.weight.is_some();
            passes * l.multiply_adds
        })
        .sum()
}

pub(super) fn run(
    network: &Network,
    augment: Option<&Augment>,
    path: Path,
    options: &BenchOptions,
    on_row: &mut dyn FnMut(BenchRow),
) -> Result<(), Disagreement> {
    let data = Data::new(network);
    let Some(mut engine) = data.engine(network, path, 1) else { return Ok(()) };
    check(network, &data, &mut engine)?;
    epochs(network, augment, &data, path, options, on_row);
    let mut logits = vec![0.0; BATCH * network.outputs];
    for n in [1, BATCH] {
        let batch = data.some(&data.order[..n]);
        let multiply_adds = network.multiply_adds() * n as u64;
        let (seconds, share) = measure(path, options, multiply_adds, || {
            // The batch fits: it was checked above.
            let _ = engine.forward(&batch, &mut logits[..n * network.outputs]);
        });
        on_row(BenchRow {
            group: "inference",
            name: format!("batch {n}, 1 thread"),
            seconds,
            multiply_adds,
            share_of_peak: share,
            note: format!("{:.0} images/s, {:.1} µs an image", n as f64 / seconds, seconds / n as f64 * 1e6),
        });
    }
    Ok(())
}

fn check(network: &Network, data: &Data, engine: &mut CpuEngine) -> Result<(), Disagreement> {
    let indices = &data.order[..20];
    let batch = data.some(indices);
    let (parameters, buffers) = (f64s(&data.parameters), f64s(engine.buffers()));
    let sample = network.input.iter().product::<usize>();
    let (mut x, mut labels, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    let step = TrainStep::default();
    for &i in indices {
        let bytes = &data.bytes[i as usize * sample..][..sample];
        let plane = sample / network.input[0];
        x.push(
            bytes.iter().enumerate().map(|(k, &b)| f64::from(data.tables[k / plane][b as usize])).collect::<Vec<_>>(),
        );
        labels.push(data.labels[i as usize] as usize);
        keys.push(step.dropout_key(i));
    }
    let mut reference = Reference { network, parameters: &parameters, buffers: &buffers, train: None };
    let want: Vec<f64> = reference.values(&x).pop().unwrap_or_default().concat();
    reference.train = Some(&keys);
    let (gradient, _) = reference.gradient(&x, &labels);
    let mut logits = vec![0.0; indices.len() * network.outputs];
    let refused = |_| Disagreement { what: "the engine".to_string(), error: f64::INFINITY };
    engine.forward(&batch, &mut logits).map_err(refused)?;
    agree("the whole network forward", &f64s(&logits), &want, 1e-5)?;
    engine.backward(&batch, &step).map_err(refused)?;
    for t in network.tensors() {
        let got = f64s(&engine.gradients()[t.range.clone()]);
        agree(&format!("the gradient of {}", t.name), &got, &gradient[t.range.clone()], 1e-4)?;
    }
    Ok(())
}

/// Epochs with 1..n threads, without and with the augmentation that there may be, interleaved with each other and with the
/// peak loop on as many threads.
fn epochs(
    network: &Network,
    augment: Option<&Augment>,
    data: &Data,
    path: Path,
    options: &BenchOptions,
    on_row: &mut dyn FnMut(BenchRow),
) {
    struct Contestant<'a> {
        engine: usize,
        augment: Option<&'a Augment>,
        seconds: Vec<f64>,
        shares: Vec<f64>,
    }
    let mut engines: Vec<CpuEngine> = (1..=options.threads).filter_map(|n| data.engine(network, path, n)).collect();
    let kinds: Vec<Option<&Augment>> = std::iter::once(None).chain(augment.map(Some)).collect();
    let new = |engine, augment| Contestant { engine, augment, seconds: Vec::new(), shares: Vec::new() };
    let mut contestants: Vec<Contestant> =
        (0..engines.len()).flat_map(|engine| kinds.iter().map(move |&augment| new(engine, augment))).collect();
    let multiply_adds = training_multiply_adds(network) * (options.steps * BATCH) as u64;
    for repeat in 0..=options.repeats.min(5) {
        for contestant in &mut contestants {
            let engine = &mut engines[contestant.engine];
            let before = peak_of(path, engine.threads());
            let how = TrainStep { augment: contestant.augment, ..TrainStep::default() };
            let start = Instant::now();
            for step in 0..options.steps {
                // A rate of 0: the same work, and values that stay what they are.
                let _ = engine.step(&data.batch(step), &how, Update::sgd(0.0));
            }
            let elapsed = start.elapsed().as_secs_f64();
            let best = before.max(peak_of(path, engine.threads()));
            // The first round warms up.
            if repeat > 0 {
                contestant.seconds.push(elapsed);
                contestant.shares.push(multiply_adds as f64 / elapsed / best);
            }
        }
    }
    let ratio = |over: &Contestant, under: &Contestant| {
        median(over.seconds.iter().zip(&under.seconds).map(|(o, u)| o / u).collect())
    };
    for (i, contestant) in contestants.iter().enumerate() {
        let threads = engines[contestant.engine].threads();
        let (plain, each) = (&contestants[i - i % kinds.len()], median(contestant.seconds.clone()));
        let rate = (options.steps * BATCH) as f64 / each;
        let compared = match contestant.augment {
            Some(_) => format!(", {:+.1} % by augmentation", (ratio(contestant, plain) - 1.0) * 100.0),
            None if i == 0 => String::new(),
            None => format!(", {:.2} × one thread", ratio(&contestants[0], contestant)),
        };
        let what = if contestant.augment.is_some() { "augmented" } else { "training" };
        let s = if threads == 1 { "" } else { "s" };
        on_row(BenchRow {
            group: "epoch",
            name: format!("{what}, {} steps of {BATCH}, {threads} thread{s}", options.steps),
            seconds: each,
            multiply_adds,
            share_of_peak: median(contestant.shares.clone()),
            note: format!("{rate:.0} images/s{compared}"),
        });
    }
}

/// The peak of several threads at once.
fn peak_of(path: Path, threads: usize) -> f64 {
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(move || peak(path, 0.03))).collect();
        all.into_iter().filter_map(|t| t.join().ok()).sum()
    })
}
