//! PyTorch's numbers (float64 arithmetic from float32 weights, see `golden/*.json`): logits, every gradient, the losses
//! of 20 steps, the weights after them. For the chapter's network and for the one with ReLU and max pooling.

use flate2::read::GzDecoder;
use lenet::engine::{Batch, CpuEngine, CpuOptions, Engine, Pixels, TrainStep, Update};
use lenet::kernel::Path;
use lenet::spec::{Activation, Conv2d, Dense, Layer, Network, Pool, Spec};
use safetensors::SafeTensors;
use std::io::Read;
use std::path::PathBuf;

const BATCH: usize = 256;

fn tests() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests")
}

struct Golden {
    network: Network,
    init: Vec<u8>,
    reference: Vec<u8>,
    losses: Vec<f64>,
    lr: f32,
}

impl Golden {
    fn load(name: &str, activation: Activation, max: bool) -> Golden {
        let read = |suffix: &str| std::fs::read(tests().join("golden").join(format!("{name}{suffix}"))).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&read(".json")).unwrap();
        let pool = Pool { window: [2, 2], stride: [2, 2], padding: [0, 0] };
        let pool = || if max { Layer::MaxPool(pool.clone()) } else { Layer::AvgPool(pool.clone()) };
        let conv = |channels, padding| {
            let padding = [padding, padding];
            Layer::Conv2d(Conv2d { channels, window: [5, 5], stride: [1, 1], padding, ..Conv2d::default() })
        };
        let act = || Layer::Activation(activation);
        let dense = |units| Layer::Dense(Dense { units, bias: true });
        let mut layers = vec![conv(6, 2), act(), pool(), conv(16, 0), act(), pool(), Layer::Flatten];
        layers.extend([dense(120), act(), dense(84), act(), dense(10)]);
        Golden {
            network: Spec { input: [1, 28, 28], layers }.infer().unwrap(),
            init: read(".init.safetensors"),
            reference: read(".reference.safetensors"),
            losses: json["losses"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect(),
            lr: json["optimizer"]["lr"].as_f64().unwrap() as f32,
        }
    }

    fn both() -> [Golden; 2] {
        [Golden::load("lenet", Activation::Sigmoid, false), Golden::load("lenet-relu-max", Activation::Relu, true)]
    }

    fn engine(&self, path: Path) -> CpuEngine {
        let init = SafeTensors::deserialize(&self.init).unwrap();
        let mut parameters = vec![0.0; self.network.parameters];
        for t in self.network.tensors() {
            let (floats, _) = init.tensor(&t.name).unwrap().data().as_chunks::<4>();
            let values: Vec<f32> = floats.iter().map(|b| f32::from_le_bytes(*b)).collect();
            parameters[t.range.clone()].copy_from_slice(&values);
        }
        let mut engine = CpuEngine::new(self.network.clone(), CpuOptions { threads: 2, path: Some(path) }).unwrap();
        engine.set_parameters(&parameters).unwrap();
        engine
    }

    fn expected(&self, name: &str) -> Vec<f64> {
        let reference = SafeTensors::deserialize(&self.reference).unwrap();
        let tensor = reference.tensor(name).unwrap();
        tensor.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
    }
}

/// Largest difference as a share of the largest expected value.
fn error(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    got.iter().zip(want).fold(0.0, |m, (g, w)| (f64::from(*g) - w).abs().max(m)) / largest
}

struct Data {
    images: Vec<u8>,
    labels: Vec<u16>,
    tables: Vec<[f32; 256]>,
}

impl Data {
    fn new(images: Vec<u8>, labels: Vec<u16>) -> Data {
        Data { images, labels, tables: lenet::data::Normalization::unit(1).tables() }
    }

    /// The first images of the training set, from the fixture.
    fn fixture() -> Data {
        let unzip = |name: &str| {
            let file = std::fs::File::open(tests().join("fixtures/fashion-mnist-small").join(name)).unwrap();
            let mut bytes = Vec::new();
            GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
            bytes
        };
        let labels = unzip("train-labels-idx1-ubyte.gz")[8..].iter().map(|&l| u16::from(l)).collect();
        Data::new(unzip("train-images-idx3-ubyte.gz")[16..].to_vec(), labels)
    }

    fn batch<'a>(&'a self, indices: &'a [u32]) -> Batch<'a> {
        Batch { pixels: Pixels::Bytes { data: &self.images, tables: &self.tables }, labels: &self.labels, indices }
    }
}

#[test]
fn logits_and_gradients_of_the_first_batch() {
    let data = Data::fixture();
    let indices: Vec<u32> = (0..BATCH as u32).collect();
    for golden in Golden::both() {
        for path in Path::available() {
            let mut engine = golden.engine(path);
            let mut logits = vec![0.0; BATCH * 10];
            engine.forward(&data.batch(&indices), &mut logits).unwrap();
            assert!(error(&logits, &golden.expected("logits")) < 2e-6, "{path} logits");
            let score = engine.backward(&data.batch(&indices), &TrainStep::default()).unwrap();
            assert!((score.mean_loss() - golden.losses[0]).abs() < 1e-6, "{path} loss {}", score.mean_loss());
            for t in golden.network.tensors() {
                let e = error(&engine.gradients()[t.range.clone()], &golden.expected(&format!("grad.{}", t.name)));
                println!("{path} gradient of {}: {e:.1e}", t.name);
                assert!(e < 2e-6, "{path} gradient of {} off by {e:.1e} of its largest", t.name);
            }
        }
    }
}

#[test]
#[ignore = "needs the full Fashion-MNIST (cargo xtask data)"]
fn twenty_steps() {
    let options = lenet::data::CacheOptions::from_env();
    let loaded = lenet::data::load("fashion-mnist", &options, &mut |_| {}).unwrap();
    let data = Data::new(loaded.train.images, loaded.train.labels);
    for golden in Golden::both() {
        for path in [Path::available()[0], Path::Portable] {
            let mut engine = golden.engine(path);
            for (step, want) in golden.losses.iter().enumerate() {
                let indices: Vec<u32> = (step * BATCH..(step + 1) * BATCH).map(|i| i as u32).collect();
                let score = engine.step(&data.batch(&indices), &TrainStep::default(), Update::sgd(golden.lr)).unwrap();
                assert!(
                    (score.mean_loss() - want).abs() < 1e-5,
                    "{path} step {step}: {} for {want}",
                    score.mean_loss()
                );
            }
            for t in golden.network.tensors() {
                let e = error(&engine.parameters()[t.range.clone()], &golden.expected(&format!("after.{}", t.name)));
                println!("{path} {} after 20 steps: {e:.1e}", t.name);
                assert!(e < 1e-4, "{path} {} off by {e:.1e} of its largest after 20 steps", t.name);
            }
            let indices: Vec<u32> = (0..BATCH as u32).collect();
            let mut logits = vec![0.0; BATCH * 10];
            engine.forward(&data.batch(&indices), &mut logits).unwrap();
            println!("{path} logits after 20 steps: {:.1e}", error(&logits, &golden.expected("eval_logits_after")));
        }
    }
}
