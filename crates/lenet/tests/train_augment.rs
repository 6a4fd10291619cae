//! Augmentation, targets and normalisation within a training: the same bits whatever runs it, and what a model keeps of them.

use crate::kit::train::*;
use crate::kit::{Augment, Context, Erase, Normalization, Path, Targets, bits, data, f64s, initialize};
use lenet::engine::reference::Reference;
use lenet::engine::{Batch, CpuEngine, CpuOptions, Engine, Pixels, Score, TrainStep};
use lenet::model::Model;
use lenet::spec::{Normalize, Recipe, TrainRecipe};
use lenet::train::{Outcome, evaluate};

/// All at once.
const SETS: [&str; 12] = [
    "augment.shift=2",
    "augment.flip=true",
    "augment.rotate=10",
    "augment.scale=0.1",
    "augment.brightness=0.2",
    "augment.contrast=0.2",
    "augment.erase.probability=0.5",
    "augment.mixup=0.4",
    "augment.flip_test=true",
    "train.label_smoothing=0.1",
    "train.class_weights=\"balanced\"",
    "data.normalize=\"dataset\"",
];

#[test]
fn threads_paths_and_interruptions_leave_the_bits_alone() {
    let (recipe, data, dir) = (recipe(&SETS), data(), tempfile::tempdir().unwrap());
    let whole = dir.path().join("whole");
    assert_eq!(train(&recipe, &data, &whole, None).unwrap(), Outcome::Finished);
    let expected = results(&whole);
    let parameters = Model::load(&whole).unwrap().parameters;
    let network = network(&recipe, &data);
    for path in Path::available() {
        for threads in [1, 3] {
            let engine = CpuEngine::new(network.clone(), CpuOptions { threads, path: Some(path) }).unwrap();
            let model = trained(&recipe, &data, Box::new(engine));
            assert_eq!(bits(&model.parameters), bits(&parameters), "{path}, {threads} threads");
        }
    }
    for stop in [1, 6, 11] {
        let run = dir.path().join(format!("stopped-{stop}"));
        assert_eq!(train(&recipe, &data, &run, Some(stop)).unwrap(), Outcome::Interrupted);
        // The command line writes the numbers of the normalisation into the run's recipe: it stays the same training.
        let mut resolved = recipe.clone();
        resolved.resolve_normalization(&data.train);
        assert_ne!(resolved, recipe);
        train(&resolved, &data, &run, None).unwrap();
        assert_eq!(results(&run), expected, "stopped after step {stop}");
    }
}

#[test]
fn every_option_changes_the_training() {
    let data = data();
    let parameters = |sets: &[&str]| {
        let recipe = recipe(&[sets, &["train.epochs=1"]].concat());
        trained(&recipe, &data, engine(&recipe, &data, 1)).parameters
    };
    let plain = parameters(&[]);
    for set in SETS {
        let same = parameters(&[set]) == plain;
        assert_eq!(same, set.contains("flip_test"), "{set}");
    }
    let weights = "train.class_weights=[1,1,1,1,1,1,1,1,1,1]";
    let even = parameters(&[weights]);
    assert!(even.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-5), "weights of 1 are no weights");
}

/// The gradient of a step that augments is that of the augmented images in f64.
#[test]
fn a_step_computes_the_mean_of_what_it_says() {
    let data = data();
    let recipe = recipe(&[]);
    let network = network(&recipe, &data);
    let mut engine = CpuEngine::new(network.clone(), CpuOptions { threads: 2, path: None }).unwrap();
    let parameters = initialize(&network, &TrainRecipe { seed: 3, ..recipe.train.clone() });
    engine.set_parameters(&parameters).unwrap();
    let augment = Augment { shift: 2, erase: Some(Erase::default()), mixup: 1.0, ..Augment::default() };
    let weights: Vec<f32> = (0..10).map(|c| 0.25 * (c + 1) as f32).collect();
    let how = TrainStep {
        seed: 5,
        epoch: 2,
        augment: Some(&augment),
        targets: Targets { smoothing: 0.1, weights: &weights },
    };
    let indices: Vec<u32> = (0..45).map(|i| i * 11).collect();
    let tables = Normalization::unit(1).tables();
    let pixels = Pixels::Bytes { data: &data.train.images, tables: &tables };
    let batch = Batch { pixels, labels: &data.train.labels, indices: &indices };
    let score = engine.backward(&batch, &how).unwrap();
    let parameters = f64s(&parameters);
    let context = Context { path: Path::PORTABLE, seed: 5, epoch: 2 };
    let (mut loss, mut weight) = (0.0, 0.0);
    for chunk in indices.chunks(16) {
        let images = augment.chunk(&context, &data.train.images, chunk, [1, 28, 28], &mut Default::default()).to_vec();
        let partners = augment.partners(5, 2, chunk);
        for (lane, image) in images.chunks(784).enumerate() {
            let input: Vec<f64> = image.iter().map(|&b| f64::from(b) / 255.0).collect();
            let reference = Reference { network: &network, parameters: &parameters, buffers: &[], train: None };
            let logits = &reference.values(&[input]).pop().unwrap()[0];
            let sum = logits.iter().map(|z| z.exp()).sum::<f64>().ln();
            let share = f64::from(partners[lane].share) / 256.0;
            for (lane, share) in [(lane, share), (partners[lane].lane, 1.0 - share)] {
                let label = data.train.labels[chunk[lane] as usize] as usize;
                weight += share * f64::from(weights[label]);
                for c in 0..10 {
                    let target = 0.9 * f64::from(u8::from(c == label)) + 0.1 / 10.0;
                    loss += share * f64::from(weights[c]) * target * (sum - logits[c]);
                }
            }
        }
    }
    assert!((score.mean_loss() - loss / weight).abs() < 1e-5, "{} {}", score.mean_loss(), loss / weight);
}

#[test]
fn what_cannot_be_is_an_error() {
    let data = data();
    let recipe = recipe(&[]);
    let network = network(&recipe, &data);
    let mut engine = CpuEngine::new(network, CpuOptions { threads: 1, path: None }).unwrap();
    let floats = vec![0.5; 784];
    let batch = Batch { pixels: Pixels::Floats(&floats), labels: &[3], indices: &[0] };
    let mut error = |how: &TrainStep| engine.backward(&batch, how).unwrap_err().to_string();
    let augment = Augment { shift: 1, ..Augment::default() };
    let how = TrainStep { augment: Some(&augment), ..TrainStep::default() };
    assert_eq!(error(&how), "augmentation takes bytes, the batch has floats");
    let mut targets = |smoothing, weights: &[f32]| {
        error(&TrainStep { targets: Targets { smoothing, weights }, ..TrainStep::default() })
    };
    assert!(targets(1.0, &[]).starts_with("label smoothing of 1"));
    assert!(targets(f32::NAN, &[]).starts_with("label smoothing of NaN"));
    assert!(targets(0.0, &[1.0; 9]).starts_with("9 weights of classes for 10 classes"));
    assert!(targets(0.0, &[-1.0; 10]).starts_with("10 weights of classes for 10 classes"));
    assert!(targets(0.0, &[0.0; 10]).starts_with("a batch of nothing but classes of weight 0"));
}

#[test]
fn a_model_averages_over_mirror_images_if_its_recipe_says_so() {
    let (recipe, data, dir) = (recipe(&["augment.flip_test=true"]), data(), tempfile::tempdir().unwrap());
    let run = dir.path().join("run");
    train(&recipe, &data, &run, None).unwrap();
    let model = Model::load(&run).unwrap();
    assert!(model.flip_test);
    let mut engine = model.engine(CpuOptions { threads: 1, path: None }).unwrap();
    let tables = model.normalization.tables();
    let mut test = data.test.clone();
    let score = evaluate(&mut engine, &test, &tables, 50, true).unwrap();
    assert_eq!(Some(score.accuracy()), model.training.test_accuracy);
    // By hand: logits of the images, of their mirror images, and the means of both.
    let indices: Vec<u32> = (0..50).collect();
    let mut logits = |images: &[u8]| {
        let mut logits = vec![0.0; 500];
        let batch = Batch { pixels: Pixels::Bytes { data: images, tables: &tables }, labels: &[], indices: &indices };
        engine.forward(&batch, &mut logits).unwrap();
        logits
    };
    let straight = logits(&test.images);
    test.images.chunks_mut(28).for_each(|row| row.reverse());
    let mirrored = logits(&test.images);
    let mean: Vec<f32> = straight.iter().zip(&mirrored).map(|(a, b)| (a + b) / 2.0).collect();
    assert_ne!(mean, straight);
    assert_eq!(Score::of(&mean, test.labels[..50].iter().copied()).unwrap(), score);
    let plain = evaluate(&mut engine, &data.test, &tables, 50, false).unwrap();
    let same = Score::of(&straight, test.labels[..50].iter().copied()).unwrap();
    assert!(plain.correct == same.correct && (plain.loss - same.loss).abs() < 1e-4);
    assert!(plain != score);
}

#[test]
fn a_dataset_s_mean_and_deviation_are_those_of_its_images() {
    let mut data = data();
    data.train.shape = [4, 14, 14];
    let n = Normalization::of(&data.train, &Vec::from_iter(0..100));
    for c in 0..4 {
        let values = || {
            let images = (0..100).map(|i| &data.train.image(i)[c * 196..][..196]);
            images.flatten().map(|&b| f64::from(b) / 255.0)
        };
        let mean = values().sum::<f64>() / 19600.0;
        let deviation = (values().map(|v| (v - mean).powi(2)).sum::<f64>() / 19600.0).sqrt();
        assert!((f64::from(n.mean[c]) - mean).abs() < 1e-7 && (f64::from(n.std[c]) - deviation).abs() < 1e-7);
    }
    let all = Vec::from_iter(0..data.train.len() as u32);
    assert_ne!(Normalization::of(&data.train, &all), n);
    data.train.images.fill(7);
    let flat = Normalization::of(&data.train, &all);
    assert_eq!((flat.mean[0], flat.std[0]), (7.0 / 255.0, 1.0));
}

#[test]
fn sections_are_read_and_every_problem_has_its_line() {
    let base = RECIPE.replace("seed = 4", "seed = 4\nclass_weights = [1, 2.5]\nlabel_smoothing = 0.1");
    let text = format!("{base}[augment]\nshift = 3\nborder = \"edge\"\nerase = 0.25\nfill = 7\n");
    let recipe = Recipe::parse(&text, "r.toml").unwrap();
    assert_eq!(recipe.targets.label_smoothing, 0.1);
    assert_eq!((recipe.augment.shift, recipe.augment.erase.unwrap().probability), (3, 0.25));
    let message = recipe.spec([1, 28, 28], 10).unwrap_err().to_string();
    assert_eq!(message, "train.class_weights has 2 numbers, the data has 10 classes: give one a class");
    let line = RECIPE.lines().count() + 2;
    for (wrong, message) in [
        ("shift = -1", "shift must be a whole number from 0 to 65536, not -1"),
        ("rotate = 181", "rotate must be a number from 0 to 180, not 181"),
        ("rotate = nan", "rotate must be a number from 0 to 180, not nan"),
        ("scale = 1.0", "scale must be a number from 0 to 0.9, not 1.0"),
        ("shear = 90", "shear must be a number from 0 to 60, not 90"),
        ("brightness = 2", "brightness must be a number from 0 to 1, not 2"),
        ("contrast = \"high\"", "contrast must be a number from 0 to 1, not \"high\""),
        ("flip = 1", "flip must be true or false, not 1"),
        ("border = 0", "border must be \"zeros\" or \"edge\", not 0"),
        ("fill = 256", "fill must be a byte from 0 to 255 or \"noise\", not 256"),
        ("mixup = -1", "mixup must be 0 or a number from 0.01 to 100, not -1"),
        ("erase = { probability = 1.5 }", "probability must be a number from 0 to 1, not 1.5"),
        ("erase = { area = [0.5, 0.1] }", "area must be [least, most], shares of the image from 0 to 1, not a list"),
        ("erase = { areas = 1 }", "unknown key \"areas\" in erase, did you mean \"area\"? (known: probability, area)"),
        (
            "erase = true",
            "erase must be a probability from 0 to 1, or { probability = 0.5, area = [0.02, 0.33] }, not true",
        ),
        ("rotation = 5", "unknown key \"rotation\" in [augment], did you mean \"rotate\"?"),
    ] {
        let error = Recipe::parse(&format!("{RECIPE}[augment]\n{wrong}"), "r.toml").unwrap_err().to_string();
        let error = error.strip_prefix(&format!("r.toml:{line}:")).unwrap_or_else(|| panic!("{wrong}: {error}"));
        assert!(error.split_once(": ").unwrap().1.starts_with(message), "{wrong}: {error}");
    }
    for (set, message) in [
        ("normalize=\"mean\"", "normalize must be \"unit\", \"dataset\" or { mean = [...], std = [...] }"),
        ("label_smoothing=1", "label_smoothing must be a number from 0 to below 1"),
        ("class_weights=[0, 0]", "class_weights must be above 0 for one class at least"),
        ("class_weights=[1, -1]", "class_weights must be \"balanced\" or a list of numbers from 0 on"),
    ] {
        let error = Recipe::load_with("lenet", &[set]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("--set {set}: {message}")), "{error}");
    }
    let recipe = Recipe::load_with("lenet", &["normalize=dataset", "flip=true", "class_weights=balanced"]).unwrap();
    assert!(recipe.data.normalization == Normalize::Dataset && recipe.augment.flip);
}
