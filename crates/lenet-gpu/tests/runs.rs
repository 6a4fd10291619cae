//! Trainings on the GPU beside those on the CPU.

use crate::kit::train::{engine, network, open, recipe, run_until, trainer};
use crate::kit::{Normalization, data, error, initialize, metrics};
use lenet::data::Loaded;
use lenet::engine::{Batch, Engine, EngineError, Pixels, TrainStep, Update};
use lenet::spec::Recipe;
use lenet::train::Outcome;
use lenet_gpu::{GpuEngine, NoGpu};
use std::path::Path;

/// The kit's training, with what else runs on the device.
const SETS: [&str; 6] = [
    r#"model.layers=[{ type = "conv2d", channels = 4, window = 5, stride = 2 }, { type = "batch_norm" }, { type = "relu" }, { type = "max_pool", window = 2 }, { type = "dropout", rate = 0.1 }, { type = "flatten" }, { type = "dense", units = "classes" }]"#,
    "lr=0.05",
    "momentum=0.9",
    "ema=0.9",
    "clip_norm=1.0",
    "shift=2",
];

fn on_gpu<'a>(recipe: &Recipe, data: &'a Loaded) -> Box<dyn Engine + 'a> {
    Box::new(GpuEngine::new(network(recipe, data), lenet_gpu::open(true).unwrap(), [&data.train, &data.test]).unwrap())
}

/// With as many threads as the machine runs at once.
fn on_cpu(recipe: &Recipe, data: &Loaded) -> Box<dyn Engine> {
    engine(recipe, data, 0)
}

/// Trains in a directory, new or not, until so many steps are done, and gives the parameters of the model.
fn train<'a>(
    recipe: &'a Recipe,
    data: &'a Loaded,
    engine: Box<dyn Engine + 'a>,
    dir: &Path,
    stop: Option<usize>,
) -> Vec<f32> {
    let mut trainer = trainer(recipe, data, engine, Some(open(recipe, dir).unwrap())).unwrap();
    let outcome = run_until(&mut trainer, stop).unwrap();
    assert_eq!(outcome == Outcome::Interrupted, stop.is_some());
    trainer.model().parameters
}

#[test]
fn a_checkpoint_moves_between_gpu_and_cpu() {
    let (recipe, data, dir) = (recipe(&SETS), data(), tempfile::tempdir().unwrap());
    let whole = train(&recipe, &data, on_cpu(&recipe, &data), &dir.path().join("cpu"), None);
    let path = dir.path().join("both");
    train(&recipe, &data, on_gpu(&recipe, &data), &path, Some(3));
    train(&recipe, &data, on_cpu(&recipe, &data), &path, Some(3));
    let mixed = train(&recipe, &data, on_gpu(&recipe, &data), &path, None);
    let apart = error(&mixed, &whole, 0.0);
    assert!(apart < 1e-3, "{apart}");
    let (cpu, both) = (metrics(&dir.path().join("cpu")), metrics(&path));
    assert_eq!((cpu.len(), both.len()), (3, 3));
    for (cpu, both) in cpu.iter().zip(&both) {
        for key in ["train_loss", "test_loss"] {
            let [a, b] = [cpu, both].map(|m| m[key].as_f64().unwrap());
            assert!((a - b).abs() < 1e-3 * a, "{key}: {a} {b}");
        }
        assert_eq!(cpu["test_accuracy"], both["test_accuracy"]);
    }
}

#[test]
fn fifty_steps_reach_the_cpus_loss() {
    // Four steps an epoch.
    let (recipe, data, dir) = (recipe(&[&SETS[..], &["epochs=13"]].concat()), data(), tempfile::tempdir().unwrap());
    let losses = ["gpu", "cpu"].map(|device| {
        let engine = if device == "gpu" { on_gpu(&recipe, &data) } else { on_cpu(&recipe, &data) };
        let path = dir.path().join(device);
        train(&recipe, &data, engine, &path, None);
        let last = metrics(&path).pop().unwrap();
        (last["train_loss"].as_f64().unwrap(), last["test_loss"].as_f64().unwrap())
    });
    let [(a, b), (c, d)] = losses;
    assert!((a - c).abs() < 1e-3 && (b - d).abs() < 1e-3, "{losses:?}");
}

#[test]
fn a_program_that_plays_a_gpu_has_to_be_asked_for() {
    let all = lenet_gpu::adapters();
    assert!(!all.is_empty(), "no driver shows anything: Debian's packages are mesa-vulkan-drivers and libvulkan1");
    match lenet_gpu::open(false) {
        Ok(gpu) => assert!(all.iter().any(|a| !a.software && gpu.to_string().contains(&a.name))),
        Err(reason) => {
            assert!(all.iter().all(|a| a.software));
            assert!(matches!(reason, NoGpu::Software(_)), "{reason}");
            assert!(reason.to_string().contains("--allow-software"), "{reason}");
        }
    }
    assert!(lenet_gpu::open(true).is_ok());
}

#[test]
fn what_is_not_finite_is_told_and_changes_nothing() {
    let (recipe, data) = (recipe(&SETS), data());
    let mut engine = on_gpu(&recipe, &data);
    let start = initialize(engine.network(), &recipe.train);
    engine.set_parameters(&start).unwrap();
    let tables = Normalization::unit(1).tables();
    let indices: Vec<u32> = (0..32).collect();
    let batch = |tables| Batch {
        pixels: Pixels::Bytes { data: &data.train.images, tables },
        labels: &data.train.labels,
        indices: &indices,
    };
    let how = TrainStep::default();
    engine.step(&batch(&tables), &how, Update::sgd(0.1)).unwrap();
    engine.settle(None).unwrap();
    let (parameters, buffers) = (engine.parameters().to_vec(), engine.buffers().to_vec());
    assert_ne!(parameters, start);
    // Told by the step itself, or by a later call.
    let broken = [[f32::INFINITY; 256]];
    let told = engine.step(&batch(&broken), &how, Update::sgd(0.1)).and_then(|_| engine.settle(None));
    let error = told.unwrap_err();
    assert!(matches!(error, EngineError::NotFinite { .. }), "{error}");
    engine.settle(None).unwrap();
    assert_eq!((engine.parameters(), engine.buffers()), (&parameters[..], &buffers[..]));
    let score = engine.step(&batch(&tables), &how, Update::sgd(0.1)).unwrap();
    assert!(score.samples == 32 || engine.settle(None).unwrap().samples == 32);
}

#[test]
fn batches_that_do_not_fit_are_refused() {
    let (recipe, data) = (recipe(&SETS), data());
    let mut engine = on_gpu(&recipe, &data);
    let batch = Batch { pixels: Pixels::Floats(&[0.0; 784]), labels: &[12], indices: &[0] };
    assert!(matches!(engine.evaluate(&batch), Err(EngineError::Mismatch(_))));
    assert!(matches!(engine.forward(&batch, &mut [0.0; 3]), Err(EngineError::Mismatch(_))));
    assert!(matches!(engine.set_parameters(&[0.0]), Err(EngineError::Mismatch(_))));
}
