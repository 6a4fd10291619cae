//! Recipes at random: what is written reads back, and no text brings the reader down.

use crate::kit::{Augment, Border, Erase, Fill, Normalization};
use lenet::data::Dataset;
use lenet::spec::*;
use lenet::train::Checkpoint;
use proptest::prelude::*;

fn layers() -> impl Strategy<Value = Vec<Layer>> {
    let window = || [1usize..=4096, 1usize..=4096];
    let padding = || [0usize..=4096, 0usize..=4096];
    let pool =
        || (window(), window(), padding()).prop_map(|(window, stride, padding)| Pool { window, stride, padding });
    let conv = (1usize..1 << 26, window(), window(), padding(), any::<bool>()).prop_map(
        |(channels, window, stride, padding, bias)| Conv2d {
            channels,
            window,
            stride,
            padding,
            bias,
            groups: 1 + channels % 3,
            ..Conv2d::default()
        },
    );
    let activation = prop::sample::select(vec![Activation::Sigmoid, Activation::Tanh, Activation::Relu]);
    let layer = prop_oneof![
        conv.prop_map(Layer::Conv2d),
        pool().prop_map(Layer::AvgPool),
        pool().prop_map(Layer::MaxPool),
        Just(Layer::Flatten),
        (1usize..1 << 26, any::<bool>()).prop_map(|(units, bias)| Layer::Dense(Dense { units, bias })),
        activation.prop_map(Layer::Activation),
    ];
    prop::collection::vec(layer, 1..12)
}

fn augments() -> impl Strategy<Value = Augment> {
    let share = || 0f32..=1.0;
    let geometry = (0usize..=1 << 16, any::<bool>(), any::<bool>(), 0f32..=180.0, 0f32..=0.9, 0f32..=60.0);
    let erase = prop::option::of((0.01f32..=1.0, share(), share()));
    let fill = prop_oneof![Just(Fill::Noise), any::<u8>().prop_map(Fill::Byte)];
    let mixup = prop_oneof![Just(0.0), 0.01f32..=100.0];
    let rest = (share(), share(), erase, 0usize..=1 << 16, fill, mixup, any::<bool>());
    (geometry, rest).prop_map(|(geometry, rest)| {
        let (shift, edge, flip, rotate, scale, shear) = geometry;
        let (brightness, contrast, erase, cutout, fill, mixup, flip_test) = rest;
        let border = if edge { Border::Edge } else { Border::Zeros };
        let erase = erase.map(|(probability, a, b)| Erase { probability, area: [a.min(b), a.max(b)] });
        Augment {
            shift,
            border,
            flip,
            rotate,
            scale,
            shear,
            brightness,
            contrast,
            erase,
            cutout,
            fill,
            mixup,
            flip_test,
        }
    })
}

fn targets() -> impl Strategy<Value = TargetRecipe> {
    let weights = prop::collection::vec(0.1f32..10.0, 1..12).prop_map(ClassWeights::Given);
    let weights = prop_oneof![Just(ClassWeights::Even), Just(ClassWeights::Balanced), weights];
    (0f32..1.0, weights).prop_map(|(label_smoothing, class_weights)| TargetRecipe { label_smoothing, class_weights })
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let finite = || any::<f32>().prop_filter("finite", |x| x.is_finite());
    let positive = || finite().prop_map(f32::abs).prop_filter("not zero", |x| *x > 0.0);
    let normalization = prop::collection::vec((finite(), positive()), 1..4).prop_map(|pairs| {
        let (mean, std) = pairs.into_iter().unzip();
        Normalize::Given(Normalization { mean, std })
    });
    let normalization = prop_oneof![Just(Normalize::Unit), Just(Normalize::Dataset), normalization];
    let limit = || prop::option::of(1usize..1_000_000_000);
    let data = ("[a-z\t\n\"'\\\\ é]*", normalization, limit(), limit());
    let train = (
        1usize..=1_000_000,
        1usize..=1_000_000,
        positive(),
        any::<u64>(),
        prop::sample::select(Init::ALL.to_vec()),
        0u64..31_000_000,
    );
    let kit = (targets(), prop_oneof![Just(Augment::default()), augments()]);
    (data, layers(), any::<bool>(), train, kit).prop_map(
        |(data, mut layers, from_classes, train, (targets, augment))| {
            let last_dense = layers.iter_mut().rev().find_map(|l| if let Layer::Dense(d) = l { Some(d) } else { None });
            let units_from_classes = from_classes && last_dense.is_some();
            if let (true, Some(dense)) = (units_from_classes, last_dense) {
                dense.units = 0;
            }
            let (source, normalization, train_limit, test_limit) = data;
            let (epochs, batch, lr, seed, init, checkpoint_seconds) = train;
            Recipe {
                data: DataRecipe { source: source + "x", normalization, train_limit, test_limit, skip_bad: false },
                // No input: with one, the layers would have to fit.
                model: ModelRecipe { input: None, layers, units_from_classes },
                train: TrainRecipe { epochs, batch, lr, seed, init, checkpoint_seconds, ..TrainRecipe::default() },
                targets,
                augment,
            }
        },
    )
}

/// Pieces that a careless or hostile hand puts into a recipe.
const PIECES: [&str; 16] = [
    "[",
    "]",
    "{",
    "}",
    "=",
    "\"",
    "\n",
    ".",
    "-1",
    "1e999",
    "9999999999999999999999999999999999999999999",
    "nan",
    "[[model.layers]]",
    "type",
    "\u{0}",
    "é",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_recipe_survives_its_text(recipe in recipes()) {
        let text = recipe.to_toml();
        let again = Recipe::parse(&text, "r.toml").map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(&again, &recipe);
        prop_assert_eq!(again.to_toml(), text);
    }

    /// A run is resumed with the recipe in its directory, where the normalisation has its numbers.
    #[test]
    fn a_recipe_from_its_runs_file_knows_its_checkpoints(recipe in recipes()) {
        let images: Vec<u8> = (0..5 * 8).map(|i: u32| (i * 89 % 256) as u8).collect();
        let (labels, classes) = (vec![0, 1, 1, 0, 1], vec!["a".into(), "b".into()]);
        let data = Dataset { shape: [2, 2, 2], images, labels, classes };
        let mut resolved = recipe.clone();
        resolved.resolve_normalization(&data);
        let again = Recipe::parse(&resolved.to_toml(), "recipe.toml").unwrap();
        let identity = Checkpoint::identity_of(&recipe, &data);
        prop_assert_eq!(Checkpoint::identity_of(&again, &data), &identity[..]);
        let other = Recipe { train: TrainRecipe { seed: !recipe.train.seed, ..recipe.train.clone() }, ..recipe };
        prop_assert_ne!(Checkpoint::identity_of(&other, &data), identity);
    }

    #[test]
    fn a_spec_survives_its_json(layers in layers(), input: [usize; 3]) {
        let spec = Spec { input, layers };
        prop_assert_eq!(Spec::from_json(&spec.to_json()).unwrap(), spec);
    }

    /// Whatever the sizes, inference ends with an answer, and its sums are consistent.
    #[test]
    fn inference_never_panics(layers in layers(), huge: usize, input: [usize; 3]) {
        let mut spec = Spec { input: [1, 64, 64], layers };
        for l in &mut spec.layers {
            match l {
                Layer::Conv2d(l) => l.padding[0] = huge,
                Layer::Dense(l) => l.units = huge,
                _ => {}
            }
        }
        let _ = spec.infer();
        spec.input = input;
        if let Ok(network) = spec.infer() {
            prop_assert_eq!(network.tensors().map(|t| t.range.len()).sum::<usize>(), network.parameters);
        }
    }

    /// Each line names its place.
    #[test]
    fn a_mutated_recipe_gives_a_recipe_or_a_line_for_each_problem(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..6, 0usize..PIECES.len()), 1..6),
        tables in any::<bool>(),
    ) {
        let lenet = Recipe::load("lenet").unwrap();
        let mut text: Vec<char> = if tables { lenet.to_toml() } else { PRESETS[0].1.to_string() }.chars().collect();
        for (at, removed, piece) in edits {
            let start = at.index(text.len() + 1);
            let end = (start + removed).min(text.len());
            text.splice(start..end, PIECES[piece].chars());
        }
        let text: String = text.into_iter().collect();
        match Recipe::parse(&text, "r.toml") {
            Ok(recipe) => prop_assert_eq!(Recipe::parse(&recipe.to_toml(), "again").unwrap(), recipe),
            Err(e) => {
                let e = e.to_string();
                let is_line = |l: &str| l.starts_with("r.toml:") && !l.contains(char::is_control);
                prop_assert!(!e.is_empty() && e.lines().all(is_line), "{}", e);
            }
        }
    }

    #[test]
    fn an_override_gives_a_recipe_or_one_line(set in "(train|model|layers|0|1|lr|\\.|=|\\[|[ -~é]){0,8}=?\\PC{0,8}") {
        if let Err(e) = Recipe::load_with("lenet", &[set]) {
            let e = e.to_string();
            prop_assert!(e.contains(": ") && !e.contains(char::is_control), "{}", e);
        }
    }
}
