//! PyTorch's numbers (float64 arithmetic from float32 weights, see `golden/*.json`): logits, every gradient, the losses
//! of 20 steps, the weights after them. For the chapter's network and for the one with ReLU and max pooling.

use super::{Make, Normalization, backward, error, numbers};
use flate2::read::GzDecoder;
use lenet::engine::{Batch, Engine, Pixels, TrainStep, Update};
use lenet::spec::{Activation, Conv2d, Dense, Layer, Network, Pool, Spec};
use safetensors::SafeTensors;
use std::io::Read;

pub const BATCH: usize = 256;

pub struct Golden {
    /// Of the preset that it is.
    pub name: &'static str,
    pub network: Network,
    init: &'static [u8],
    reference: &'static [u8],
    pub losses: Vec<f64>,
    pub lr: f32,
}

macro_rules! golden {
    ($name:literal, $activation:expr, $max:expr) => {
        Golden::new(
            $name,
            include_str!(concat!("../golden/", $name, ".json")),
            include_bytes!(concat!("../golden/", $name, ".init.safetensors")),
            include_bytes!(concat!("../golden/", $name, ".reference.safetensors")),
            $activation,
            $max,
        )
    };
}

impl Golden {
    fn new(
        name: &'static str,
        json: &str,
        init: &'static [u8],
        reference: &'static [u8],
        activation: Activation,
        max: bool,
    ) -> Golden {
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
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
            name,
            network: Spec { input: [1, 28, 28], layers }.infer().unwrap(),
            init,
            reference,
            losses: numbers(&json["losses"]),
            lr: json["optimizer"]["lr"].as_f64().unwrap() as f32,
        }
    }

    pub fn both() -> [Golden; 2] {
        [golden!("lenet", Activation::Sigmoid, false), golden!("lenet-relu-max", Activation::Relu, true)]
    }

    pub fn initial(&self) -> Vec<f32> {
        let init = SafeTensors::deserialize(self.init).unwrap();
        let mut parameters = vec![0.0; self.network.parameters()];
        for t in self.network.tensors() {
            let (floats, _) = init.tensor(&t.name).unwrap().data().as_chunks::<4>();
            let values: Vec<f32> = floats.iter().map(|b| f32::from_le_bytes(*b)).collect();
            parameters[t.range.clone()].copy_from_slice(&values);
        }
        parameters
    }

    /// An engine with the initial parameters.
    pub fn engine(&self, make: Make) -> Box<dyn Engine> {
        let mut engine = make(self.network.clone());
        engine.set_parameters(&self.initial()).unwrap();
        engine
    }

    pub fn expected(&self, name: &str) -> Vec<f64> {
        let reference = SafeTensors::deserialize(self.reference).unwrap();
        let tensor = reference.tensor(name).unwrap();
        tensor.data().as_chunks::<8>().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
    }

    /// Steps of gradient descent from the start on, against PyTorch's losses.
    pub fn steps(&self, engine: &mut dyn Engine, data: &Data, steps: usize) {
        for (step, want) in self.losses.iter().enumerate().take(steps) {
            let indices: Vec<u32> = (step * BATCH..(step + 1) * BATCH).map(|i| i as u32).collect();
            let score = backward(engine, &data.batch(&indices), &TrainStep::default());
            engine.update(Update::sgd(self.lr));
            let loss = score.mean_loss();
            assert!((loss - want).abs() < 1e-5, "{} step {step}: {loss} for {want}", engine.device());
        }
        engine.settle(None).unwrap();
    }
}

pub struct Data {
    images: Vec<u8>,
    labels: Vec<u16>,
    tables: Vec<[f32; 256]>,
}

impl Data {
    pub fn new(images: Vec<u8>, labels: Vec<u16>) -> Data {
        Data { images, labels, tables: Normalization::unit(1).tables() }
    }

    /// The first images of the training set, from the fixture.
    pub fn fixture() -> Data {
        let unzip = |zipped: &[u8]| {
            let mut bytes = Vec::new();
            GzDecoder::new(zipped).read_to_end(&mut bytes).unwrap();
            bytes
        };
        let labels = unzip(include_bytes!("../fixtures/fashion-mnist-small/train-labels-idx1-ubyte.gz"));
        let images = unzip(include_bytes!("../fixtures/fashion-mnist-small/train-images-idx3-ubyte.gz"));
        Data::new(images[16..].to_vec(), labels[8..].iter().map(|&l| u16::from(l)).collect())
    }

    pub fn batch<'a>(&'a self, indices: &'a [u32]) -> Batch<'a> {
        Batch { pixels: Pixels::Bytes { data: &self.images, tables: &self.tables }, labels: &self.labels, indices }
    }
}

/// Logits, loss and gradients of the first batch; errors of tensors are shares of their largest value.
pub fn first_batch(make: Make, bound: f64) {
    let data = Data::fixture();
    let indices: Vec<u32> = (0..BATCH as u32).collect();
    for golden in Golden::both() {
        let mut engine = golden.engine(make);
        let device = engine.device();
        let mut logits = vec![0.0; BATCH * 10];
        engine.forward(&data.batch(&indices), &mut logits).unwrap();
        let e = error(&logits, &golden.expected("logits"), 0.0);
        assert!(e < bound, "{device}: logits off by {e:.1e}");
        let score = backward(engine.as_mut(), &data.batch(&indices), &TrainStep::default());
        assert!((score.mean_loss() - golden.losses[0]).abs() < 1e-6, "{device}: loss {}", score.mean_loss());
        for t in golden.network.tensors() {
            let e = error(&engine.gradients()[t.range.clone()], &golden.expected(&format!("grad.{}", t.name)), 0.0);
            println!("{device}: gradient of {}: {e:.1e}", t.name);
            assert!(e < bound, "{device}: gradient of {} off by {e:.1e} of its largest", t.name);
        }
    }
}
