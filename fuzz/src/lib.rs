//! What each fuzz target does with its bytes: it hands them to a reader, and checks what comes back. The same functions
//! replay the corpora as an ordinary test (`crates/lenet/tests/corpora.rs`). Each tells whether the bytes were accepted.

use lenet::data::idx;
use lenet::data::picture::{self, Invert};
use lenet::model::onnx::ImportOptions;
use lenet::model::{Model, Training, torch};
use lenet::spec::Normalization;
use lenet::spec::{BatchNorm, Conv2d, Dense, Document, Layer, RecipeError, Residual, Spec};
use lenet::train::Checkpoint;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::OnceLock;

/// What a target is run with.
pub type Target = fn(&[u8]) -> bool;

/// Every target of the library, by the name of its corpus.
pub const TARGETS: [(&str, Target); 7] = [
    ("config", config),
    ("safetensors", safetensors),
    ("onnx", onnx),
    ("idx", idx),
    ("checkpoint", checkpoint),
    ("recipe", recipe),
    ("image", image),
];

/// Most pixels of a picture that is decoded here: a large one takes time, and shows no more.
const PIXELS: u64 = 1 << 22;

/// A model with every kind of tensor.
pub fn model() -> Model {
    let narrow = Conv2d { channels: 2, ..Conv2d::default() };
    let layers = vec![
        Layer::Conv2d(Conv2d { window: [3, 3], ..narrow.clone() }),
        Layer::BatchNorm(BatchNorm::default()),
        Layer::Residual(Residual { body: vec![Layer::Conv2d(narrow)], shortcut: Vec::new() }),
        Layer::Flatten,
        Layer::Dense(Dense { units: 2, bias: true }),
    ];
    let spec = Spec { input: [1, 4, 4], layers };
    let network = spec.infer().expect("the layers fit");
    let values = |n: usize| (0..n).map(|i| i as f32 / 8.0).collect();
    let (parameters, buffers) = (values(network.parameters()), values(network.buffers()));
    let classes = vec!["a".into(), "b".into()];
    let (normalization, training) = (Normalization::unit(1), Training::default());
    Model { spec, network, normalization, flip_test: false, classes, training, parameters, buffers }
}

/// The checkpoint of a training that could be going on.
pub fn state() -> Checkpoint {
    let model = model();
    let slabs = BTreeMap::from([("buffers".into(), model.buffers), ("optimizer.state".into(), vec![0.5; 4])]);
    let identity = "[train]\nlr = 0.1\n".into();
    let parameters = model.parameters;
    Checkpoint { parameters, slabs, identity, epoch: 2, step: 17, loss: 0.25, correct: 5, seconds: 0.5 }
}

/// The model, and a directory with its files for readers that take a path; one of them is replaced each time.
fn files(target: &str) -> (&'static Model, PathBuf) {
    static MODEL: OnceLock<Model> = OnceLock::new();
    let model = MODEL.get_or_init(model);
    let dir = std::env::temp_dir().join(format!("lenet-fuzz-{}-{target}", std::process::id()));
    if !dir.exists() {
        model.save(&dir).expect("the temporary directory takes files");
        // Other tensors are to be read, too.
        let config = std::fs::read_to_string(dir.join("config.json")).expect("it was just written");
        let at = config.rfind(",\n  \"model_sha256\"").expect("the checksum is last");
        std::fs::write(dir.join("config.json"), format!("{}\n}}\n", &config[..at])).expect("as before");
    }
    (model, dir)
}

/// Whether it was read; an error must be one line.
fn accepted<T, E: std::fmt::Display>(result: &Result<T, E>) -> bool {
    result.as_ref().map_err(|error| line(&error.to_string())).is_ok()
}

fn line(error: &str) {
    assert!(!error.contains(char::is_control) && error.len() < 20_000, "no line that a terminal shows: {error:?}");
}

/// As [`accepted`]: a recipe's error may have a line for each thing that is wrong.
fn understood<T>(result: &Result<T, RecipeError>) -> bool {
    result.as_ref().map_err(|error| error.to_string().lines().for_each(line)).is_ok()
}

fn is_finite(model: &Model) {
    assert!(model.parameters.iter().chain(&model.buffers).all(|v| v.is_finite()));
    assert_eq!([model.parameters.len(), model.buffers.len()], [model.network.parameters(), model.network.buffers()]);
    assert_eq!(model.classes.len(), model.network.outputs());
}

/// A model's `config.json`.
pub fn config(bytes: &[u8]) -> bool {
    let (_, dir) = files("config");
    std::fs::write(dir.join("config.json"), bytes).expect("the temporary directory takes files");
    let read = Model::load(&dir);
    read.iter().for_each(is_finite);
    accepted(&read)
}

/// A model's `model.safetensors`, and a state dict of PyTorch.
pub fn safetensors(bytes: &[u8]) -> bool {
    let (model, dir) = files("safetensors");
    let dict = torch::parameters(&model.network, bytes);
    std::fs::write(dir.join("model.safetensors"), bytes).expect("the temporary directory takes files");
    let read = Model::load(&dir);
    read.iter().for_each(is_finite);
    // A state dict may have other names, types and counters; the model's own file is always one.
    assert!(accepted(&dict) || read.is_err());
    accepted(&read)
}

/// An ONNX file.
pub fn onnx(bytes: &[u8]) -> bool {
    let read = Model::from_onnx(bytes, &ImportOptions::default());
    read.iter().for_each(is_finite);
    accepted(&read)
}

/// An IDX file of images or of labels, raw or gzipped.
pub fn idx(bytes: &[u8]) -> bool {
    let images = idx::decode_images(bytes, bytes.len() as u64, "file");
    let labels = idx::decode_labels(bytes, bytes.len() as u64, "file");
    if let Ok(images) = &images {
        assert_eq!(images.len() * images.shape.iter().product::<usize>(), images.pixels.len());
    }
    accepted(&images) | accepted(&labels)
}

/// A checkpoint of [`state`]'s training.
pub fn checkpoint(bytes: &[u8]) -> bool {
    let (model, dir) = files("checkpoint");
    let path = dir.join("last.safetensors");
    std::fs::write(&path, bytes).expect("the temporary directory takes files");
    let read = Checkpoint::load(&model.network, "[train]\nlr = 0.1\n", &path);
    // Nothing else has its checksum.
    read.iter().for_each(|read| assert_eq!(*read, state()));
    accepted(&read)
}

/// A recipe, and behind a zero character overrides, one a line.
pub fn recipe(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let (text, overrides) = text.split_once('\0').unwrap_or((text, ""));
    let read = Document::parse(text, "file");
    understood(&read);
    let Ok(mut document) = read else { return false };
    for assignment in overrides.lines() {
        understood(&document.set(assignment));
    }
    document.problems().iter().for_each(|problem| line(&problem.to_string()));
    understood(&document.spec([1, 28, 28], 10));
    let recipe = document.recipe();
    if let Ok(recipe) = &recipe {
        let again = Document::parse(&recipe.to_toml(), "again").and_then(|d| d.recipe());
        assert_eq!(again.as_ref().map_err(ToString::to_string), Ok(recipe));
    }
    understood(&recipe)
}

/// A picture.
pub fn image(bytes: &[u8]) -> bool {
    let seen = picture::look(bytes);
    accepted(&seen);
    if let Ok((w, h, _)) = seen
        && u64::from(w) * u64::from(h) > PIXELS
    {
        return false;
    }
    let read = [[1, 28, 28], [3, 9, 32]].map(|shape| (shape, picture::prepare(bytes, shape, Invert::Auto)));
    for (shape, prepared) in &read {
        if let Ok(prepared) = prepared {
            assert_eq!(prepared.pixels.len(), shape.iter().product::<usize>());
        }
    }
    read.iter().all(|(_, prepared)| accepted(prepared))
}
