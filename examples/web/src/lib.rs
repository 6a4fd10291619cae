//! What the page calls: numbers go in and out as arguments, arrays as addresses in the module's memory.
//!
//! A function that gives an address makes room for an array there; the page writes or reads it before it calls the next.

use lenet::engine::initialize;
use lenet::engine::{Batch, CpuEngine, CpuOptions, Engine, Pixels, TrainStep, Update};
use lenet::model::Model;
use lenet::spec::Normalization;
use lenet::spec::{Activation, Conv2d, Dense, Init, Layer, Optimizer, Pool, Spec, TrainRecipe};
use lenet::train::permutation;
use std::cell::RefCell;

/// All that the page's network is.
struct Session {
    engine: CpuEngine,
    tables: Vec<[f32; 256]>,
    seed: u64,
    /// Steps done since the network was made.
    steps: u64,
    logits: Vec<f32>,
    probabilities: Vec<f32>,
}

/// Arrays that the page writes.
#[derive(Default)]
struct Arrays {
    images: Vec<u8>,
    labels: Vec<u16>,
    picture: Vec<u8>,
    config: Vec<u8>,
    tensors: Vec<u8>,
    session: Option<Session>,
}

thread_local! {
    static ARRAYS: RefCell<Arrays> = RefCell::default();
    /// Why the last call failed; apart, since a panic may leave the rest borrowed.
    static MESSAGE: RefCell<String> = RefCell::default();
}

/// Makes a call fail with a message instead of a trap.
fn with<T>(failed: T, run: impl FnOnce(&mut Arrays) -> Result<T, String>) -> T {
    ARRAYS.with_borrow_mut(run).unwrap_or_else(|message| {
        MESSAGE.set(message);
        failed
    })
}

fn room<T: Clone + Default>(array: &mut Vec<T>, len: usize) -> *mut T {
    array.clear();
    array.resize(len, T::default());
    array.as_mut_ptr()
}

/// Room for training images, bytes `[n, 1, 28, 28]`.
#[unsafe(no_mangle)]
pub extern "C" fn images(n: usize) -> *mut u8 {
    with(std::ptr::null_mut(), |a| Ok(room(&mut a.images, n * 784)))
}

/// Room for their labels, 16 bits each.
#[unsafe(no_mangle)]
pub extern "C" fn labels(n: usize) -> *mut u16 {
    with(std::ptr::null_mut(), |a| Ok(room(&mut a.labels, n)))
}

/// Room for one image to classify, bytes `[1, 28, 28]`.
#[unsafe(no_mangle)]
pub extern "C" fn picture() -> *mut u8 {
    with(std::ptr::null_mut(), |a| Ok(room(&mut a.picture, 784)))
}

/// Room for a model's `config.json`.
#[unsafe(no_mangle)]
pub extern "C" fn config(len: usize) -> *mut u8 {
    with(std::ptr::null_mut(), |a| Ok(room(&mut a.config, len)))
}

/// Room for its `model.safetensors`.
#[unsafe(no_mangle)]
pub extern "C" fn tensors(len: usize) -> *mut u8 {
    with(std::ptr::null_mut(), |a| Ok(room(&mut a.tensors, len)))
}

/// Why the last call failed, in UTF-8.
#[unsafe(no_mangle)]
pub extern "C" fn message() -> *const u8 {
    MESSAGE.with_borrow(|m| m.as_ptr())
}

/// Its length in bytes.
#[unsafe(no_mangle)]
pub extern "C" fn message_len() -> usize {
    MESSAGE.with_borrow(String::len)
}

/// LeNet with ReLU and maxima, over 28 × 28 pixels and ten classes.
fn lenet() -> Spec {
    let conv = |channels, padding| {
        Layer::Conv2d(Conv2d { channels, window: [5, 5], padding: [padding; 2], ..Conv2d::default() })
    };
    let pool = || Layer::MaxPool(Pool { window: [2, 2], stride: [2, 2], padding: [0, 0] });
    let relu = || Layer::Activation(Activation::Relu);
    let dense = |units| Layer::Dense(Dense { units, bias: true });
    let features = [conv(6, 2), relu(), pool(), conv(16, 0), relu(), pool(), Layer::Flatten];
    let classifier = [dense(120), relu(), dense(84), relu(), dense(10)];
    Spec { input: [1, 28, 28], layers: features.into_iter().chain(classifier).collect() }
}

fn session(engine: CpuEngine, normalization: &Normalization, seed: u64) -> Session {
    let [logits, probabilities] = [(); 2].map(|()| vec![0.0; engine.network().outputs()]);
    Session { tables: normalization.tables(), engine, seed, steps: 0, logits, probabilities }
}

/// Keeps what a panic says, for the page to show: the module ends in a trap then. Called once, first of all.
#[unsafe(no_mangle)]
pub extern "C" fn watch() {
    std::panic::set_hook(Box::new(|panic| MESSAGE.set(panic.to_string())));
}

/// A network with new weights, drawn by the seed. Whether that worked.
#[unsafe(no_mangle)]
pub extern "C" fn start(seed: u32) -> bool {
    with(false, |a| {
        let network = lenet().infer().map_err(|e| e.to_string())?;
        let recipe = TrainRecipe { seed: seed.into(), init: Init::XavierUniform, ..TrainRecipe::default() };
        let parameters = initialize(&network, &recipe);
        let mut engine = CpuEngine::new(network, CpuOptions::default()).map_err(|e| e.to_string())?;
        engine.set_parameters(&parameters).map_err(|e| e.to_string())?;
        a.session = Some(session(engine, &Normalization::unit(1), seed.into()));
        Ok(true)
    })
}

/// A network from the files that were written to [`config`] and [`tensors`]; it can be trained on. Whether that worked.
#[unsafe(no_mangle)]
pub extern "C" fn load() -> bool {
    with(false, |a| {
        let model = Model::from_bytes(&a.config, &a.tensors).map_err(|e| e.to_string())?;
        if (model.network.input(), model.network.outputs()) != ([1, 28, 28], 10) {
            return Err(format!("this page shows networks of [1, 28, 28], not of {:?}", model.network.input()));
        }
        let engine = model.engine(CpuOptions::default()).map_err(|e| e.to_string())?;
        a.session = Some(session(engine, &model.normalization, model.training.seed));
        Ok(true)
    })
}

/// One step of gradient descent on the next images of the epoch's order. The mean loss before it; NaN if it failed.
#[unsafe(no_mangle)]
pub extern "C" fn step(batch: usize, lr: f32, momentum: f32) -> f64 {
    with(f64::NAN, |a| {
        let s = a.session.as_mut().ok_or("there is no network yet")?;
        let per_epoch = (a.labels.len() / batch.max(1)) as u64;
        if per_epoch == 0 {
            return Err(format!("{} images are less than a batch of {batch}", a.labels.len()));
        }
        let (epoch, place) = (s.steps / per_epoch, (s.steps % per_epoch) as usize);
        let order = permutation(a.labels.len(), s.seed, epoch as usize);
        let pixels = Pixels::Bytes { data: &a.images, tables: &s.tables };
        let batch = Batch { pixels, labels: &a.labels, indices: &order[place * batch..][..batch] };
        let how = TrainStep { seed: s.seed, epoch: epoch as u32, ..TrainStep::default() };
        let optimizer = Optimizer { momentum, ..Optimizer::default() };
        let update = Update { optimizer, lr, scale: 1.0, step: s.steps + 1 };
        let score = s.engine.step(&batch, &how, update).map_err(|e| e.to_string())?;
        s.steps += 1;
        Ok(score.mean_loss())
    })
}

/// The class of the image that was written to [`picture`]; -1 if it failed.
#[unsafe(no_mangle)]
pub extern "C" fn classify() -> i32 {
    with(-1, |a| {
        let s = a.session.as_mut().ok_or("there is no network yet")?;
        let pixels = Pixels::Bytes { data: &a.picture, tables: &s.tables };
        let batch = Batch { pixels, labels: &[], indices: &[0] };
        s.engine.forward(&batch, &mut s.logits).map_err(|e| e.to_string())?;
        let largest = s.logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        s.probabilities.iter_mut().zip(&s.logits).for_each(|(p, z)| *p = (z - largest).exp());
        let sum: f32 = s.probabilities.iter().sum();
        s.probabilities.iter_mut().for_each(|p| *p /= sum);
        Ok(s.logits.iter().position(|z| *z == largest).map_or(-1, |class| class as i32))
    })
}

/// The probabilities of that image's ten classes.
#[unsafe(no_mangle)]
pub extern "C" fn probabilities() -> *const f32 {
    ARRAYS.with_borrow(|a| a.session.as_ref().map_or(std::ptr::null(), |s| s.probabilities.as_ptr()))
}
