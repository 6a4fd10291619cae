//! What is seen inside of networks, against PyTorch, finite differences and formulas; and that pictures are whole.

use crate::kit::golden::Golden;
use crate::kit::{Normalization, data, f64s, fixtures, preset, untrained};
use lenet::data::Dataset;
use lenet::engine::CpuOptions;
use lenet::engine::reference::Reference;
use lenet::inspect::picture::{self, Input, Occlusion};
use lenet::inspect::{self, InspectError};
use lenet::model::Model;
use lenet::predict::Verdict;
use lenet::spec::{Activation, BatchNorm, Conv2d, Dense, Layer, PRESETS, Pool, Residual, Shape, Spec, TrainRecipe};
use serde::Deserialize;
use std::collections::HashMap;

fn fixture() -> Dataset {
    data().train
}

/// A model whose parameters are `value(i)`.
fn model(spec: Spec, value: impl Fn(usize) -> f32) -> Model {
    let channels = spec.input[0];
    let mut model = untrained(spec, &TrainRecipe::default());
    model.normalization = Normalization { mean: vec![0.25; channels], std: vec![0.5; channels] };
    model.training.recipe = "test".into();
    model.parameters = (0..model.network.parameters()).map(&value).collect();
    model.buffers = (0..model.network.buffers()).map(|i| 0.5 + value(i).abs()).collect();
    model
}

/// Numbers that follow no pattern, from -0.5 to 0.5.
fn scattered(i: usize) -> f32 {
    (i as u64 * 2_654_435_761 % 1_000_003) as f32 / 1_000_003.0 - 0.5
}

/// A preset with the golden network's initial weights.
fn golden(name: &str) -> Model {
    let golden = Golden::both().into_iter().find(|g| g.name == name).unwrap();
    let mut model = model(preset(name), scattered);
    model.normalization = Normalization::unit(1);
    model.classes = fixture().classes;
    model.parameters = golden.initial();
    model
}

/// Batch normalisation, a residual block, pooling: a little of everything, on 6 × 6 pixels.
fn block() -> Model {
    let conv = |channels, window: usize| {
        let (window, padding) = ([window, window], [window / 2, window / 2]);
        Layer::Conv2d(Conv2d { channels, window, padding, ..Conv2d::default() })
    };
    let norm = || Layer::BatchNorm(BatchNorm::default());
    let act = || Layer::Activation(Activation::Silu);
    let layers = vec![
        conv(4, 3),
        norm(),
        act(),
        Layer::Residual(Residual { body: vec![conv(5, 3), norm(), act(), conv(5, 3)], shortcut: vec![conv(5, 1)] }),
        act(),
        Layer::AvgPool(Pool { window: [2, 2], stride: [2, 2], padding: [0, 0] }),
        Layer::Flatten,
        Layer::Dense(Dense { units: 3, bias: true }),
    ];
    model(Spec { input: [2, 6, 6], layers }, scattered)
}

/// As `bench/pytorch_inspect.py` writes it.
#[derive(Deserialize)]
struct Told {
    sum: f64,
    squares: f64,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct Case {
    layers: Vec<Told>,
    targets: Vec<usize>,
    gradient_times_input: Told,
}

impl Told {
    fn check(&self, what: &str, values: &[f32]) {
        let scale = (self.squares / values.len() as f64).sqrt();
        let close = |got: f64, want: f64, most: f64| assert!((got - want).abs() < most, "{what}: {got} for {want}");
        let sum = |f: fn(f64) -> f64| values.iter().map(|&v| f(f64::from(v))).sum::<f64>();
        close(sum(|v| v), self.sum, 1e-6 * scale * values.len() as f64);
        close(sum(|v| v * v), self.squares, 1e-6 * self.squares);
        let second = &values[values.len() / 2..];
        for (i, want) in self.values.iter().enumerate() {
            close(f64::from(second[i * (second.len() - 1) / 7]), *want, 1e-6 * scale.max(want.abs()));
        }
    }
}

#[test]
fn activations_and_gradients_are_pytorchs() {
    let text = std::fs::read_to_string(fixtures().join("torch_inspect.json")).unwrap();
    let cases: HashMap<String, Case> = serde_json::from_str(&text).unwrap();
    assert_eq!(cases.len(), 2);
    let images = &fixture().images[..2 * 784];
    for (name, case) in cases {
        let model = golden(&name);
        let layers = inspect::activations(&model, images).unwrap();
        assert_eq!(layers.len(), case.layers.len() + 1);
        assert_eq!(
            (layers[0].name.as_str(), layers[0].image(1)[784 / 2]),
            ("input", f32::from(images[784 * 3 / 2]) / 255.0)
        );
        for (layer, want) in layers[1..].iter().zip(&case.layers) {
            want.check(&format!("{name} {}", layer.title()), &layer.values);
        }
        let mut engine = model.engine(CpuOptions { threads: 1, path: None }).unwrap();
        let seen: Vec<usize> =
            inspect::verdicts(&model, &mut engine, images).unwrap().iter().map(|v| v.class).collect();
        assert_eq!(seen, case.targets);
        let saliency = inspect::gradient_times_input(&model, images, &seen).unwrap();
        case.gradient_times_input.check(&format!("{name} gradient × input"), &saliency);
    }
}

/// With and without the mirror image that predictions may average in.
#[test]
fn saliency_agrees_with_finite_differences() {
    let mut model = block();
    let image: Vec<u8> = (0..72).map(|i| (i * 37 % 256) as u8).collect();
    for flip in [false, true] {
        model.flip_test = flip;
        let (parameters, buffers) = (f64s(&model.parameters), f64s(&model.buffers));
        let reference = Reference { network: &model.network, parameters: &parameters, buffers: &buffers, train: None };
        let logit = |x: &[f64], target: usize| {
            let mirrored: Vec<f64> = x.chunks(6).flat_map(|row| row.iter().rev().copied()).collect();
            let of = |x: Vec<f64>| reference.values(&[x]).pop().unwrap()[0][target];
            if flip { 0.5 * (of(x.to_vec()) + of(mirrored)) } else { of(x.to_vec()) }
        };
        let x: Vec<f64> = image.iter().map(|&b| (f64::from(b) / 255.0 - 0.25) / 0.5).collect();
        for target in 0..3 {
            let got = inspect::gradient_times_input(&model, &image, &[target]).unwrap();
            for i in 0..72 {
                let moved = |by: f64| {
                    let mut x = x.clone();
                    x[i] += by;
                    logit(&x, target)
                };
                let want = (moved(1e-5) - moved(-1e-5)) / 2e-5 * x[i];
                assert!((f64::from(got[i]) - want).abs() < 1e-6, "{flip} {target} {i}: {} for {want}", got[i]);
            }
        }
    }
}

/// In a linear network a covered square costs what its pixels bring. (A single image of a network that begins by flattening
/// once was a panic.)
#[test]
fn occlusion_of_a_linear_network_is_a_mean_of_sums() {
    let layers = vec![Layer::Flatten, Layer::Dense(Dense { units: 2, bias: true })];
    let model = model(Spec { input: [1, 7, 9], layers }, scattered);
    let image: Vec<u8> = (0..63).map(|i| (i * 29 % 256) as u8).collect();
    let mut engine = model.engine(CpuOptions { threads: 1, path: None }).unwrap();
    let got = inspect::occlusion(&model, &mut engine, &image, &[1]).unwrap();
    let side = inspect::occlusion_window(&model) as i64;
    assert_eq!((side, got.len()), (2, 63));
    // The mean of the normalisation is 63.75: byte 64, which is an input of nearly 0.
    let share = |y: i64, x: i64| {
        let inside = (0..7).contains(&y) && (0..9).contains(&x);
        let i = (y * 9 + x) as usize;
        if inside { f64::from(model.parameters[63 + i]) * (f64::from(image[i]) - 64.0) / 255.0 / 0.5 } else { 0.0 }
    };
    for (y, x) in (0..63).map(|i| (i / 9, i % 9)) {
        let corners = (0..side * side).map(|i| (y - i / side, x - i % side));
        let square =
            |(top, left): (i64, i64)| -> f64 { (0..side * side).map(|i| share(top + i / side, left + i % side)).sum() };
        let want = corners.map(square).sum::<f64>() / (side * side) as f64;
        let got = f64::from(got[(y * 9 + x) as usize]);
        assert!((got - want).abs() < 1e-5, "{y} {x}: {got} for {want}");
    }
}

#[test]
fn class_means_are_means_of_activations() {
    let (model, data) = (golden("lenet"), fixture());
    let means = inspect::class_means(&model, &data, &[4, 2], 3).unwrap();
    assert_eq!(means.iter().map(|m| (m.class, m.images)).collect::<Vec<_>>(), [(4, 3), (2, 3)]);
    let first: Vec<usize> = (0..data.len()).filter(|&i| data.labels[i] == 4).take(3).collect();
    let images: Vec<u8> = first.iter().flat_map(|&i| data.image(i).to_vec()).collect();
    let layers = inspect::activations(&model, &images).unwrap();
    for (mean, layer) in means[0].layers.iter().zip(&layers) {
        for (i, got) in mean.values.iter().enumerate() {
            let want = (0..3).map(|n| layer.image(n)[i]).sum::<f32>() / 3.0;
            assert!((got - want).abs() < 1e-5, "{} {i}: {got} for {want}", layer.name);
        }
    }
    let none = Dataset { labels: vec![0; data.len()], ..data };
    assert_eq!(inspect::class_means(&model, &none, &[1], 3), Err(InspectError::NoImages("Trouser".into())));
}

#[test]
fn layers_and_classes_are_found_or_the_nearest_named() {
    let network = block().network;
    let find =
        |names: &[&str]| inspect::find_layers(&network, &names.iter().map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(find(&["3.body.0", "input", "3", "3.body.0"]), Ok(vec![4, 0, 9]));
    assert_eq!(find(&["all"]).unwrap(), (1..=network.layers().len()).collect::<Vec<_>>());
    let error = find(&["3.body.9"]).unwrap_err().to_string();
    assert!(error.contains("\"3.body.9\"") && error.contains("3.body.0 (conv2d)"), "{error}");
    // Behind the normalisation and the activation of the first, at the second itself.
    assert_eq!(inspect::first_two(&network), [3, 6]);
    let mlp = preset("mlp").infer().unwrap();
    assert!(inspect::first_two(&mlp).iter().all(|&v| matches!(mlp.layers()[v - 1].output, Shape::Flat(_))));
    let classes = ["coat", "T-shirt"].map(String::from);
    assert_eq!(["Coat", "t-shirt", "1"].map(|c| inspect::find_class(&classes, c)), [Ok(0), Ok(1), Ok(1)]);
    let error = inspect::find_class(&classes, "2").unwrap_err().to_string();
    assert!(error.contains("coat, T-shirt"), "{error}");
}

#[test]
fn what_is_no_image_is_refused() {
    let model = block();
    assert_eq!(inspect::activations(&model, &[0; 71]), Err(InspectError::Images { found: 71, sample: 72 }));
    assert!(inspect::activations(&model, &[]).unwrap().iter().all(|l| l.values.is_empty()));
    assert!(inspect::gradient_times_input(&model, &[0; 72], &[]).is_err());
    assert!(inspect::gradient_times_input(&model, &[0; 72], &[3]).is_err());
}

#[test]
fn noise_is_even_and_every_image_another() {
    let network = golden("lenet").network;
    let noise: Vec<Vec<u8>> = (0..20).map(|n| inspect::noise(&network, 5, n)).collect();
    assert!(
        noise[0] != noise[1]
            && noise[0] == inspect::noise(&network, 5, 0)
            && noise[0] != inspect::noise(&network, 6, 0)
    );
    let mean = noise.concat().iter().map(|&b| f64::from(b)).sum::<f64>() / (20.0 * 784.0);
    // Five standard deviations of the mean.
    assert!((mean - 127.5).abs() < 5.0 * 73.9 / (20.0f64 * 784.0).sqrt(), "{mean}");
}

/// A channel of noise more or less does not matter here.
fn inputs(model: &Model, n: u32) -> Vec<Input> {
    let mut engine = model.engine(CpuOptions { threads: 1, path: None }).unwrap();
    let one = |i| {
        let pixels = inspect::noise(&model.network, 0, i);
        let verdict: Verdict = inspect::verdicts(model, &mut engine, &pixels).unwrap()[0];
        let group = if i < 2 { "a < b & c" } else { "\u{1}odd\u{fffe}" };
        Input { pixels, group: group.into(), title: format!("noise {i}"), class: Some(0), verdict }
    };
    (0..n).map(one).collect()
}

#[test]
fn pictures_are_whole_in_both_formats() {
    for model in [golden("lenet"), block()] {
        let inputs = inputs(&model, 3);
        let pixels: Vec<u8> = inputs.iter().flat_map(|i| i.pixels.clone()).collect();
        let layers = inspect::activations(&model, &pixels).unwrap();
        let all: Vec<usize> = (1..layers.len()).collect();
        let [c, h, w] = model.network.input();
        let mean = |class| inspect::ClassMean {
            class,
            images: 3,
            layers: inspect::activations(&model, &pixels[..c * h * w]).unwrap(),
        };
        let verdicts: Vec<Verdict> = inputs.iter().map(|i| i.verdict).collect();
        let gradient = inspect::gradient_times_input(&model, &pixels, &[0, 1, 2]).unwrap();
        let scenes = [
            picture::activations(&model, &inputs, &layers, &all),
            picture::means(&model, &[mean(0), mean(1)], &all),
            picture::saliency(&model, &inputs, &gradient, None, Some(1)),
            picture::saliency(&model, &inputs, &gradient[..3 * h * w], Some(Occlusion { window: 2 }), None),
            picture::filters(&model).unwrap(),
            picture::ood(&model, &inputs, &verdicts, "three images"),
            picture::network(&model.network, "test"),
        ];
        for scene in scenes {
            let png = image::load_from_memory(&scene.to_png().unwrap()).unwrap().to_rgb8();
            let size = [scene.width, scene.height].map(|s| (2.0 * s).ceil() as u32);
            assert_eq!([png.width(), png.height()], size, "{}", scene.title);
            assert!(png.pixels().filter(|p| p.0 != [255; 3]).count() > 1000, "{}", scene.title);
            // Nothing is cut off: the edges are white.
            let edge = |x: u32, y: u32| png.get_pixel(x, y).0 == [255; 3];
            assert!((0..size[0]).all(|x| edge(x, 0) && edge(x, size[1] - 1)), "{}", scene.title);
            assert!((0..size[1]).all(|y| edge(0, y) && edge(size[0] - 1, y)), "{}", scene.title);
            let svg = scene.to_svg().unwrap();
            let document = roxmltree::Document::parse(&svg).unwrap_or_else(|e| panic!("{}: {e}", scene.title));
            for node in document.descendants().filter(|n| n.has_tag_name("text")) {
                let at = |name: &str| node.attribute(name).unwrap().parse::<f64>().unwrap();
                assert!((0.0..=scene.width).contains(&at("x")) && (0.0..=scene.height).contains(&at("y")), "{node:?}");
            }
        }
    }
}

/// The maps of one layer share a scale: its extreme values have the ends of the colour map, wherever they are.
#[test]
fn the_extremes_of_a_layer_have_the_ends_of_the_colours() {
    let model = golden("lenet");
    let inputs = inputs(&model, 2);
    let pixels: Vec<u8> = inputs.iter().flat_map(|i| i.pixels.clone()).collect();
    let layers = inspect::activations(&model, &pixels).unwrap();
    let count = |chosen: &[usize], ends: [[u8; 3]; 2]| {
        let scene = picture::activations(&model, &inputs, &layers, chosen);
        let png = image::load_from_memory(&scene.to_png().unwrap()).unwrap().to_rgb8();
        ends.map(|end| png.pixels().filter(|p| p.0 == end).count())
    };
    // Pixels of 1 unit and more, and of the legend alone: 2 columns of 12 rows each or less.
    let [low, high] = count(&[2], [[68, 1, 84], [253, 231, 37]]);
    assert!(low >= 4 && high >= 4, "{low} {high}");
}

#[test]
fn every_preset_has_a_picture_of_its_network() {
    for (name, _) in PRESETS {
        let network = preset(name).infer().unwrap();
        let svg = picture::network(&network, name).to_svg().unwrap();
        let document = roxmltree::Document::parse(&svg).unwrap();
        let texts: Vec<&str> = document.descendants().filter_map(|n| n.text()).collect();
        assert!(network.layers().iter().all(|l| texts.contains(&&l.name[..])), "{name}");
    }
}
