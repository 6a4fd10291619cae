//! Reports of made-up runs: what is in them, and that nothing of a run's names gets out of its place.

use super::*;
use crate::data::{Dataset, Loaded};
use crate::engine::{initial_buffers, initialize};
use crate::model::{Model, Training};
use crate::spec::{Normalization, Recipe, Spec};
use crate::train::{EpochMetrics, RunError};
use std::path::Path;

/// Names that would be markup.
const CLASSES: [&str; 3] = ["<script>alert(1)</script>", "a \"quoted\" & 'named'", "plain"];

fn dataset(n: usize) -> Dataset {
    let labels = (0..n).map(|i| (i % 3) as u16).collect();
    let images = (0..n * 64).map(|i| (i * 37 % 251) as u8).collect();
    Dataset { shape: [1, 8, 8], images, labels, classes: CLASSES.map(String::from).to_vec() }
}

fn loaded() -> Loaded {
    let (train, test) = (dataset(30), dataset(24));
    let none = (Vec::new(), Vec::new(), Vec::new());
    let (checksums, notes, skipped) = none;
    Loaded { train, test, name: "<b>data</b>".into(), provenance: "here".into(), checksums, notes, skipped }
}

fn run(layers: &str, metrics: usize) -> RunReport {
    let text =
        format!("[data]\nsource = \"mnist\"\n[model]\nlayers = [{layers}]\n[train]\nval_fraction = 0.2\nseed = 4");
    let recipe = Recipe::parse(&text, "test").unwrap();
    let spec: Spec = recipe.spec([1, 8, 8], 3).unwrap();
    let network = spec.infer().unwrap();
    let parameters = initialize(&network, &crate::spec::TrainRecipe { seed: 4, ..recipe.train.clone() });
    let buffers = initial_buffers(&network);
    let model = Model {
        spec,
        network: network.clone(),
        normalization: Normalization::unit(1),
        flip_test: false,
        classes: CLASSES.map(String::from).to_vec(),
        training: Training::default(),
        parameters,
        buffers,
    };
    let epoch = |epoch| EpochMetrics {
        epoch,
        lr: 0.1,
        train_loss: 2.0 / epoch as f64,
        train_accuracy: 0.5,
        val_loss: Some(1.0),
        val_accuracy: Some(0.5),
        test_loss: Some(1.0),
        test_accuracy: Some(0.5),
        train_seconds: 1.0,
        eval_seconds: 0.1,
        images_per_second: 30.0,
    };
    RunReport {
        name: "<i>run</i>".into(),
        recipe,
        environment: serde_json::json!({ "cpu": "<u>cpu</u>", "features": ["avx2"] }),
        metrics: (1..=metrics).map(epoch).collect(),
        network: Some(network),
        model: Some(model),
        evidence: None,
    }
}

const CONVOLUTION: &str = r#"{ type = "conv2d", channels = 2, window = 3 }, { type = "batch_norm" }, { type = "relu" },
    { type = "max_pool", window = 2 }, { type = "flatten" }, { type = "dense", units = "classes" }"#;
const DENSE: &str = r#"{ type = "flatten" }, { type = "dense", units = "classes" }"#;

fn examined(layers: &str, part: Part) -> RunReport {
    let mut run = run(layers, 3);
    run.examine(&loaded(), part, 1).unwrap();
    run
}

/// Opening and closing tags match: the page is what its source looks like.
fn assert_balanced(page: &str) {
    let mut open: Vec<&str> = Vec::new();
    let body = page.split("</style>").nth(1).unwrap();
    for tag in body.split('<').skip(1) {
        let name = tag.split(|c: char| c.is_whitespace() || c == '>').next().unwrap();
        let alone = tag.split('>').next().unwrap().ends_with('/') || ["meta", "link", "img", "br"].contains(&name);
        match name.strip_prefix('/') {
            Some("head" | "html") => {}
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if alone => {}
            None => open.push(name),
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn names_stay_text_and_nothing_is_asked_of_others() {
    for runs in [vec![examined(CONVOLUTION, Part::Test)], vec![examined(CONVOLUTION, Part::Test); 2]] {
        let page = html(&runs).unwrap();
        assert_balanced(&page);
        for markup in ["<script", "<b>data", "<i>run", "<u>cpu", "\"quoted\""] {
            assert!(!page.contains(markup), "{markup}");
        }
        for text in ["&lt;script&gt;alert(1)", "&lt;b&gt;data", "&lt;i&gt;run", "&lt;u&gt;cpu"] {
            assert!(page.contains(text), "{text}");
        }
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("url("));
        assert_eq!(html(&runs).unwrap(), page, "the same runs give the same bytes");
    }
}

#[test]
fn every_section_of_a_run_is_there() {
    let page = html(&[examined(CONVOLUTION, Part::Test)]).unwrap();
    let ids = [
        "overview",
        "layers",
        "curves",
        "confusion",
        "classes",
        "calibration",
        "mistakes",
        "pairs",
        "filters",
        "activations",
        "recipe",
        "environment",
    ];
    for id in ids {
        assert!(page.contains(&format!("<h2 id=\"{id}\">")), "{id}");
    }
    assert!(page.contains("24 test images"));
}

#[test]
fn the_first_layer_s_weights_and_activations_are_the_model_s() {
    let run = examined(CONVOLUTION, Part::Test);
    let evidence = run.evidence.unwrap();
    let filters = evidence.filters.unwrap();
    assert_eq!((filters.shown, filters.shape), ([2, 2], [1, 3, 3]));
    assert_eq!((filters.picture.width, filters.picture.height), (7, 3));
    let activations = evidence.activations.unwrap();
    assert_eq!(activations.layers, ["0 (conv2d)", "2 (relu)"]);
    assert_eq!((activations.shown, activations.range[0], activations.examples.len()), ([2, 2], 0.0, 3));
    let (example, maps) = &activations.examples[0];
    assert_eq!((example.actual, maps.width, maps.height), (0, 6 + 2 + 6, 6));
    // A dense layer on the image itself has filters as large as that; there is no convolution to show.
    let evidence = examined(DENSE, Part::Test).evidence.unwrap();
    assert_eq!(evidence.filters.unwrap().shape, [1, 8, 8]);
    assert!(evidence.activations.is_none());
}

#[test]
fn validation_images_are_those_that_the_training_kept() {
    let run = examined(DENSE, Part::Validation);
    let evidence = run.evidence.unwrap();
    let kept = crate::train::split(&dataset(30).labels, 0.2, 4).1;
    assert_eq!(evidence.predictions.len(), kept.len());
    assert!(!evidence.mistakes.is_empty());
    assert!(evidence.mistakes.iter().all(|m| kept.contains(&(m.index as u32)) && m.actual != m.predicted));
    let sure: Vec<f32> = evidence.mistakes.iter().map(|m| m.confidence).collect();
    assert!(sure.is_sorted_by(|a, b| a >= b));
}

#[test]
fn a_run_without_a_model_shows_what_it_has() {
    let mut run = run(CONVOLUTION, 1);
    (run.model, run.network) = (None, None);
    run.examine(&loaded(), Part::Test, 1).unwrap();
    let page = html(&[run]).unwrap();
    assert_balanced(&page);
    assert!(
        page.contains("no model yet") && page.contains("<h2 id=\"layers\">") && page.contains("<h2 id=\"curves\">")
    );
    assert!(!page.contains("id=\"confusion\""));
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut other = loaded();
    other.test.shape = [1, 4, 16];
    assert!(run(DENSE, 1).examine(&other, Part::Test, 1).unwrap_err().to_string().contains("give other data"));
    let mut none = run(DENSE, 1);
    none.recipe.train.val_fraction = 0.0;
    let error = none.examine(&loaded(), Part::Validation, 1).unwrap_err().to_string();
    assert!(error.contains("train.val_fraction"), "{error}");
    assert!(matches!(html(&[]), Err(ReportError::Runs(0))));
    assert!(matches!(html(&vec![run(DENSE, 1); 9]), Err(ReportError::Runs(9))));
    assert!(matches!(RunReport::read(Path::new("nowhere")), Err(ReportError::Run(RunError::NotARun(_)))));
}
