//! What a training computes, leaves and refuses.

use crate::kit::train::*;
use crate::kit::{bits, data, files};
use lenet::data::Dataset;
use lenet::engine::{Batch, Engine, EngineError, Score, TrainStep, Update};
use lenet::model::Model;
use lenet::spec::{Network, Optimizer, Recipe};
use lenet::train::{Control, Event, LrRange, Run, RunError, TrainError, evaluate, lr_find, permutation, recipe_split};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// What is not said is what is usual, to the bit, in what is learnt and in the model's files.
#[test]
fn a_leaky_relu_that_says_its_usual_slope_learns_the_same() {
    let data = data();
    let model = |sets: &[&str]| {
        let recipe = recipe(&[&["layers.1.type=leaky_relu"], sets].concat());
        trained(&recipe, &data, engine(&recipe, &data, 1))
    };
    let (silent, said, steeper) = (model(&[]), model(&["layers.1.slope=0.01"]), model(&["layers.1.slope=0.2"]));
    assert_eq!(bits(&silent.parameters), bits(&said.parameters));
    assert_eq!(silent.spec.to_json(), said.spec.to_json());
    assert!(!said.spec.to_json().contains("slope") && steeper.spec.to_json().contains("\"slope\":0.2"));
    assert_ne!(bits(&silent.parameters), bits(&steeper.parameters));
}

#[test]
fn a_network_learns_and_leaves_a_run() {
    let recipe = recipe(&["data.train_limit=512", "data.test_limit=256", "train.epochs=12", "train.batch=16"]);
    let (data, dir) = (data(), tempfile::tempdir().unwrap());
    let path = Run::free_name(dir.path(), "tiny");
    assert_eq!(path, dir.path().join("tiny-1"));
    let run = Run::create(&path, &recipe, &serde_json::json!({ "version": "of a test" })).unwrap();
    assert_eq!(Run::free_name(dir.path(), "tiny"), dir.path().join("tiny-2"));
    let mut trainer = trainer(&recipe, &data, engine(&recipe, &data, 2), Some(run)).unwrap();
    trainer.run(&mut |_| Control::Continue).unwrap();
    // Chance is 0.1.
    let accuracy = trainer.last_metrics().unwrap().test_accuracy.unwrap();
    assert!(accuracy > 0.6, "{accuracy}");
    assert_eq!(
        files(&path),
        [
            ".lock",
            "checkpoint/best.safetensors",
            "checkpoint/last.safetensors",
            "environment.json",
            "events",
            "metrics.csv",
            "metrics.jsonl",
            "model/README.md",
            "model/config.json",
            "model/model.safetensors",
            "recipe.toml"
        ]
    );
    let metrics = fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    assert_eq!(metrics.lines().count(), 12);
    let line: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    let mut keys: Vec<&str> = line.keys().map(String::as_str).collect();
    keys.sort_unstable();
    let expected =
        "epoch eval_seconds images_per_second lr test_accuracy test_loss train_accuracy train_loss train_seconds";
    assert_eq!(keys.join(" "), expected);
    let again = Recipe::load(path.join("recipe.toml").to_str().unwrap()).unwrap();
    assert_eq!(again, recipe);
    let model = Model::load(&path).unwrap();
    assert_eq!(model, trainer.model());
    let mut other = engine(&recipe, &data, 1);
    other.set_parameters(&model.parameters).unwrap();
    let score = evaluate(&mut *other, &data.test, &model.normalization.tables(), usize::MAX, model.flip_test).unwrap();
    assert_eq!((score.samples, score.accuracy()), (256, accuracy));
}

#[test]
fn threads_do_not_change_a_byte() {
    let (recipe, data) = (recipe(&[]), data());
    let parameters =
        [1, 2, 3].map(|threads| bits(&trained(&recipe, &data, engine(&recipe, &data, threads)).parameters));
    assert!(parameters[0] == parameters[1] && parameters[1] == parameters[2]);
}

/// Class weights and the normalisation once came from the first images instead of those that are trained on.
#[test]
fn images_for_validation_teach_nothing() {
    let mut data = data();
    let sets = ["train.class_weights=balanced", "data.normalize=dataset", "data.train_limit=200"];
    let split = recipe(&[&sets[..], &["train.val_fraction=0.3"]].concat());
    let with = trained(&split, &data, engine(&split, &data, 1));
    let mut resolved = split.clone();
    resolved.resolve_normalization(&data.train);
    assert_eq!(resolved.data.normalization.given(), Some(&with.normalization));

    // The same images for training, and no others.
    let (indices, _) = recipe_split(&split, &data.train);
    data.train.images = indices.iter().flat_map(|&i| data.train.image(i as usize).to_vec()).collect();
    data.train.labels = indices.iter().map(|&i| data.train.labels[i as usize]).collect();
    let alone = recipe(&sets);
    let without = trained(&alone, &data, engine(&alone, &data, 1));
    assert_eq!(without.normalization, with.normalization);
    assert!(without.parameters == with.parameters);
}

/// A batch of 0 once divided by it, a learning rate that is no number was trained with.
#[test]
fn what_cannot_be_trained_is_an_error_before_anything_is_done() {
    let data = data();
    type Change = (fn(&mut Recipe), &'static str);
    let changes: [Change; 8] = [
        (|r| r.train.batch = 0, "batch must be a whole number from 1 to 1000000, not 0"),
        (|r| r.train.epochs = 0, "epochs must be a whole number from 1 to 1000000, not 0"),
        (|r| r.train.lr = f32::NAN, "lr must be a number above 0, for example 0.1, not nan"),
        (|r| r.train.evaluate_every = 0, "evaluate_every must be"),
        (|r| r.train.val_fraction = 2.0, "val_fraction must be from 0 to below 1, not 2.0"),
        (|r| r.train.clip_norm = Some(-1.0), "clip_norm must be"),
        (|r| r.augment.mixup = f32::INFINITY, "mixup must be 0 or a number from 0.01 to 100, not inf"),
        (|r| r.data.train_limit = Some(0), "train_limit must be"),
    ];
    for (change, words) in changes {
        let mut recipe = recipe(&[]);
        recipe.data.source.clear();
        assert!(recipe.check().is_ok());
        change(&mut recipe);
        let error = trainer(&recipe, &data, engine(&recipe, &data, 1), None).err().unwrap();
        assert!(matches!(error, TrainError::Recipe(_)) && error.to_string().contains(words), "{error}");
        let found = lr_find(&recipe, &data.train, &mut *engine(&recipe, &data, 1), LrRange::default(), &mut |_| {});
        assert!(matches!(found, Err(TrainError::Recipe(_))));
    }
    let recipe = recipe(&[]);
    let change = |change: fn(&mut Dataset)| {
        let mut data = data.clone();
        change(&mut data.train);
        let mut engine = engine(&recipe, &data, 1);
        let found = lr_find(&recipe, &data.train, &mut *engine, LrRange::default(), &mut |_| {});
        assert!(matches!(found, Err(TrainError::NoImages { .. } | TrainError::Images { .. })));
        let score = evaluate(&mut *engine, &data.train, &[[0.0; 256]], 0, false);
        assert!(matches!(score, Err(EngineError::Mismatch(_))));
        trainer(&recipe, &data, engine, None).err().unwrap().to_string()
    };
    let empty = change(|d| (d.images, d.labels) = Default::default());
    assert_eq!(empty, "0 training and 50 test images: at least one of each is needed");
    let short = change(|d| d.images.truncate(700));
    assert!(short.starts_with("the data are 700 bytes for ") && short.contains("images [1, 28, 28]"), "{short}");
}

/// The indices of every batch, in time order.
type Batches = Arc<Mutex<Vec<Vec<u32>>>>;

/// An engine that computes nothing and writes down what it is asked.
struct Scripted {
    network: Network,
    parameters: Vec<f32>,
    batches: Batches,
    /// The step (counted from 1) that is not finite.
    diverges: Option<usize>,
    steps: usize,
}

impl Engine for Scripted {
    fn device(&self) -> String {
        "script".into()
    }
    fn network(&self) -> &Network {
        &self.network
    }
    fn forward(&mut self, _: &Batch, _: &mut [f32]) -> Result<(), EngineError> {
        Ok(())
    }
    fn evaluate(&mut self, batch: &Batch) -> Result<Score, EngineError> {
        Ok(Score { loss: 0.5 * batch.indices.len() as f64, correct: 1, samples: batch.indices.len() })
    }
    fn backward(&mut self, batch: &Batch, _: &TrainStep) -> Result<Score, EngineError> {
        self.steps += 1;
        if self.diverges == Some(self.steps) {
            return Err(EngineError::NotFinite { what: "the gradient", layer: "4 (dense)".into() });
        }
        self.batches.lock().unwrap().push(batch.indices.to_vec());
        Ok(Score { loss: self.steps as f64, correct: 2, samples: batch.indices.len() })
    }
    fn update(&mut self, update: Update) {
        assert_eq!((update.optimizer, update.lr, update.scale), (Optimizer::default(), 0.1, 1.0));
    }
    fn parameters(&self) -> &[f32] {
        &self.parameters
    }
    fn set_parameters(&mut self, parameters: &[f32]) -> Result<(), EngineError> {
        self.parameters = parameters.to_vec();
        Ok(())
    }
    fn gradients(&self) -> &[f32] {
        &[]
    }
    fn optimizer_state(&self) -> &[f32] {
        &[]
    }
    fn set_optimizer_state(&mut self, _: &[f32]) -> Result<(), EngineError> {
        Ok(())
    }
    fn buffers(&self) -> &[f32] {
        &[]
    }
    fn set_buffers(&mut self, _: &[f32]) -> Result<(), EngineError> {
        Ok(())
    }
}

fn scripted(diverges: Option<usize>) -> (Box<Scripted>, Batches) {
    let (recipe, data) = (recipe(&[]), data());
    let network = network(&recipe, &data);
    let batches = Arc::new(Mutex::new(Vec::new()));
    let engine = Scripted { network, parameters: Vec::new(), batches: batches.clone(), diverges, steps: 0 };
    (Box::new(engine), batches)
}

#[test]
fn means_are_a_samples_and_epochs_are_whole() {
    let (recipe, data) = (recipe(&[]), data());
    let (engine, batches) = scripted(None);
    let mut trainer = trainer(&recipe, &data, engine, None).unwrap();
    let (mut metrics, mut second) = (Vec::new(), None);
    let outcome = trainer.run(&mut |event| {
        match *event {
            Event::Epoch(m) => {
                let test = (m.test_loss.unwrap(), m.test_accuracy.unwrap());
                metrics.push((m.epoch, m.train_loss, m.train_accuracy, test.0, test.1));
            }
            Event::Step { epoch: 1, step: 2, steps, loss, .. } => second = Some((steps, loss)),
            _ => {}
        }
        Control::Continue
    });
    outcome.unwrap();
    // Losses are 1, 2, … 12; each epoch has 4 steps and 100 samples, the test one batch of 50.
    let expected = [(1, 0.10, 0.08, 0.5, 0.02), (2, 0.26, 0.08, 0.5, 0.02), (3, 0.42, 0.08, 0.5, 0.02)];
    assert_eq!(metrics, expected);
    assert_eq!(second, Some((4, 3.0 / 64.0)));
    let batches = batches.lock().unwrap();
    assert_eq!(batches.iter().map(Vec::len).collect::<Vec<_>>(), [32, 32, 32, 4].repeat(3));
    for (epoch, steps) in batches.chunks(4).enumerate() {
        assert_eq!(steps.concat(), permutation(100, 4, epoch));
    }
}

/// Epochs that have validation and test accuracies, and the epochs done.
fn evaluated(sets: &[&str], ranked: bool) -> (Vec<usize>, Vec<usize>, usize) {
    let (recipe, data) = (recipe(sets), data());
    let mut trainer = trainer(&recipe, &data, scripted(None).0, None).unwrap();
    if ranked {
        trainer = trainer.ranked();
    }
    let (mut val, mut test, mut epochs) = (Vec::new(), Vec::new(), 0);
    let outcome = trainer.run(&mut |event| {
        if let Event::Epoch(m) = event {
            assert_eq!(
                (m.val_loss.is_some(), m.test_loss.is_some()),
                (m.val_accuracy.is_some(), m.test_accuracy.is_some())
            );
            val.extend(m.val_accuracy.map(|_| m.epoch));
            test.extend(m.test_accuracy.map(|_| m.epoch));
            epochs += 1;
        }
        Control::Continue
    });
    outcome.unwrap();
    (val, test, epochs)
}

#[test]
fn epochs_are_evaluated_in_their_turn_and_the_last_always() {
    let sets = ["epochs=7", "val_fraction=0.2", "evaluate_every=3"];
    assert_eq!(evaluated(&sets, false), (vec![3, 6, 7], vec![3, 6, 7], 7));
    assert_eq!(evaluated(&sets[..1], false), (vec![], (1..=7).collect(), 7));
    // The scripted accuracy never gets better than at the first evaluation.
    let patient = [&sets[..], &["epochs=20", "patience=2"]].concat();
    assert_eq!(evaluated(&patient, false), (vec![3, 6, 9], vec![3, 6, 9], 9));
    // A trial of a sweep is ranked by validation; test images have their turn when all is over.
    assert_eq!(evaluated(&sets, true), ((1..=7).collect(), vec![7], 7));
    let (val, test, epochs) = evaluated(&patient, true);
    assert_eq!((val.len(), &test[..]), (epochs, &[epochs][..]));
}

#[test]
fn what_was_not_evaluated_is_not_in_the_metrics() {
    let recipe = recipe(&["epochs=3", "val_fraction=0.2", "evaluate_every=2"]);
    let (data, dir) = (data(), tempfile::tempdir().unwrap());
    train(&recipe, &data, dir.path(), None).unwrap();
    let metrics = fs::read_to_string(dir.path().join("metrics.jsonl")).unwrap();
    let has: Vec<_> = metrics.lines().map(|l| ["\"test_", "\"val_"].map(|key| l.matches(key).count())).collect();
    assert_eq!(has, [[0, 0], [2, 2], [2, 2]]);
}

#[test]
fn a_training_that_diverges_keeps_its_last_good_checkpoint() {
    let (recipe, data, dir) = (recipe(&[]), data(), tempfile::tempdir().unwrap());
    let path = dir.path().join("run");
    let (engine, _) = scripted(Some(7));
    let mut first = trainer(&recipe, &data, engine, Some(open(&recipe, &path).unwrap())).unwrap();
    let error = first.run(&mut |_| Control::Continue).unwrap_err().to_string();
    let last = path.join("checkpoint/last.safetensors");
    assert!(error.contains("gradient of layer 4 (dense)") && error.contains(last.to_str().unwrap()), "{error}");
    drop(first);
    let (engine, batches) = scripted(None);
    let mut second = trainer(&recipe, &data, engine, Some(open(&recipe, &path).unwrap())).unwrap();
    second.run(&mut |_| Control::Continue).unwrap();
    assert_eq!(batches.lock().unwrap().len(), 8);
}

#[test]
fn a_real_divergence_is_noticed() {
    let (recipe, data) = (recipe(&["train.lr=1e30"]), data());
    let mut trainer = trainer(&recipe, &data, engine(&recipe, &data, 1), None).unwrap();
    let error = trainer.run(&mut |_| Control::Continue).unwrap_err();
    let diverged = matches!(error, TrainError::Engine { error: EngineError::NotFinite { .. }, .. });
    assert!(diverged, "{error}");
}

#[test]
fn parameters_that_are_not_finite_never_replace_a_checkpoint() {
    let (recipe, data, dir) = (recipe(&[]), data(), tempfile::tempdir().unwrap());
    let path = dir.path().join("run");
    train(&recipe, &data, &path, Some(2)).unwrap();
    let last = path.join("checkpoint/last.safetensors");
    let good = fs::read(&last).unwrap();
    /// Loses a parameter at its first step.
    struct Broken(Box<dyn Engine>, Vec<f32>);
    impl Engine for Broken {
        fn device(&self) -> String {
            self.0.device()
        }
        fn network(&self) -> &Network {
            self.0.network()
        }
        fn forward(&mut self, batch: &Batch, logits: &mut [f32]) -> Result<(), EngineError> {
            self.0.forward(batch, logits)
        }
        fn evaluate(&mut self, batch: &Batch) -> Result<Score, EngineError> {
            self.0.evaluate(batch)
        }
        fn backward(&mut self, batch: &Batch, how: &TrainStep) -> Result<Score, EngineError> {
            self.0.backward(batch, how)
        }
        fn update(&mut self, _: Update) {
            self.1[0] = f32::NAN;
        }
        fn parameters(&self) -> &[f32] {
            &self.1
        }
        fn set_parameters(&mut self, parameters: &[f32]) -> Result<(), EngineError> {
            self.1 = parameters.to_vec();
            self.0.set_parameters(parameters)
        }
        fn gradients(&self) -> &[f32] {
            self.0.gradients()
        }
        fn optimizer_state(&self) -> &[f32] {
            &[]
        }
        fn set_optimizer_state(&mut self, _: &[f32]) -> Result<(), EngineError> {
            Ok(())
        }
        fn buffers(&self) -> &[f32] {
            self.0.buffers()
        }
        fn set_buffers(&mut self, buffers: &[f32]) -> Result<(), EngineError> {
            self.0.set_buffers(buffers)
        }
    }
    let engine = Box::new(Broken(engine(&recipe, &data, 1), Vec::new()));
    let mut trainer = trainer(&recipe, &data, engine, Some(open(&recipe, &path).unwrap())).unwrap();
    let error = trainer.run(&mut |_| Control::Stop).unwrap_err().to_string();
    assert!(error.contains("a parameter of layer 0 (conv2d) is not finite"), "{error}");
    assert_eq!(fs::read(&last).unwrap(), good);
}

#[test]
fn two_processes_do_not_share_a_run_and_no_run_is_overwritten() {
    let (recipe, data, dir) = (recipe(&[]), data(), tempfile::tempdir().unwrap());
    let path = dir.path().join("run");
    let refused = |run: Result<Run, RunError>| run.unwrap_err().to_string();
    let create = |path: &Path| Run::create(path, &recipe, &serde_json::json!({}));
    assert!(refused(Run::open(dir.path())).contains("no recipe.toml in it"));
    let first = create(&path).unwrap();
    assert!(refused(Run::open(&path)).contains("in use by another process"));
    assert_eq!(Run::in_use(&path), Some(true));
    drop(first);
    train(&recipe, &data, &path, Some(1)).unwrap();
    assert!(refused(create(&path)).contains("not empty"));
    let first = Run::open(&path).unwrap();
    assert!(refused(Run::open(&path)).contains("in use by another process"));
    drop(first);
    Run::open(&path).unwrap();
    assert!(refused(create(&path.join("recipe.toml"))).contains("recipe.toml"));
}

#[test]
fn a_directory_that_holds_something_else_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("letter.txt"), "mine").unwrap();
    let error = Run::create(dir.path(), &recipe(&[]), &serde_json::json!({})).unwrap_err().to_string();
    assert!(error.contains("not empty"), "{error}");
    assert_eq!(files(dir.path()), ["letter.txt"]);
}

#[test]
fn a_checkpoint_of_another_training_is_refused_with_what_differs() {
    let (data, dir) = (data(), tempfile::tempdir().unwrap());
    let path = dir.path().join("run");
    train(&recipe(&[]), &data, &path, Some(5)).unwrap();
    let before =
        files(&path).iter().filter(|f| *f != "events").map(|f| fs::read(path.join(f)).unwrap()).collect::<Vec<_>>();
    let error = train(&recipe(&["train.lr=0.2", "train.epochs=9"]), &data, &path, None).unwrap_err().to_string();
    assert!(error.contains("belongs to another recipe: train.lr is 0.1 there and 0.2 here;"), "{error}");
    let error = train(&recipe(&["model.layers.0.channels=4"]), &data, &path, None).unwrap_err().to_string();
    assert!(error.contains("model.layers.0.channels is 3 there and 4 here"), "{error}");
    let mut changed = data.clone();
    changed.train.labels.swap(0, 1);
    let error = train(&recipe(&[]), &changed, &path, None).unwrap_err().to_string();
    assert!(error.contains("dataset.labels is "), "{error}");
    assert_eq!(
        files(&path).iter().filter(|f| *f != "events").map(|f| fs::read(path.join(f)).unwrap()).collect::<Vec<_>>(),
        before
    );
    train(&recipe(&[]), &data, &path, None).unwrap();
}

#[test]
fn a_damaged_checkpoint_stops_before_anything_is_written() {
    let (recipe, data, dir) = (recipe(&[]), data(), tempfile::tempdir().unwrap());
    let path = dir.path().join("run");
    train(&recipe, &data, &path, Some(5)).unwrap();
    let last = path.join("checkpoint/last.safetensors");
    let good = fs::read(&last).unwrap();
    for damage in [0, good.len() / 2, good.len() - 1] {
        let mut bytes = good.clone();
        bytes[damage] ^= 0x10;
        fs::write(&last, &bytes).unwrap();
        let error = train(&recipe, &data, &path, None).unwrap_err().to_string();
        assert!(error.contains("last.safetensors "), "{error}");
        assert_eq!(fs::read(&last).unwrap(), bytes);
    }
}

/// A save that fails must neither hide itself nor leave half a file.
#[test]
fn a_save_that_fails_names_the_file_and_leaves_no_temporary_one() {
    let (recipe, data, dir) = (recipe(&[]), data(), tempfile::tempdir().unwrap());
    let path = dir.path().join("run");
    let last = path.join("checkpoint/last.safetensors");
    let run = open(&recipe, &path).unwrap();
    let mut trainer = trainer(&recipe, &data, engine(&recipe, &data, 1), Some(run)).unwrap();
    // A directory in the file's place fails the rename, whatever rights this process has.
    fs::create_dir(&last).unwrap();
    let error = trainer.run(&mut |_| Control::Continue).unwrap_err().to_string();
    assert!(error.starts_with(&format!("checkpoint {} could not be written: ", last.display())), "{error}");
    assert!(files(&path).iter().all(|f| !f.ends_with(".tmp")), "{:?}", files(&path));
}

#[test]
fn checkpoints_come_by_the_clock_too() {
    let recipe = recipe(&["train.checkpoint_seconds=1", "train.epochs=1"]);
    let (data, dir) = (data(), tempfile::tempdir().unwrap());
    let run = open(&recipe, &dir.path().join("run")).unwrap();
    let mut trainer = trainer(&recipe, &data, engine(&recipe, &data, 1), Some(run)).unwrap();
    let (mut at, mut saved) = (0, Vec::new());
    let outcome = trainer.run(&mut |event| {
        match event {
            Event::Step { step, .. } => {
                at = *step;
                if at == 2 {
                    // The clock is looked at after this.
                    std::thread::sleep(std::time::Duration::from_millis(1100));
                }
            }
            Event::Checkpoint { .. } => saved.push(at),
            _ => {}
        }
        Control::Continue
    });
    outcome.unwrap();
    assert!(saved.contains(&2) && saved.last() == Some(&4), "{saved:?}");
}
