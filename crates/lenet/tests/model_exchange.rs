//! Models from PyTorch's exporters and state dicts, and through ONNX and back (`bench/onnx_fixtures.py` wrote the files).

use crate::kit::{Normalization, error, fixtures, networks, preset, uniform, untrained};
use lenet::engine::{Batch, CpuOptions, Engine, Pixels};
use lenet::model::onnx::ImportOptions;
use lenet::model::{Model, Training};
use lenet::spec::{
    Activation, Approximate, Conv2d, Dense, Init, Layer, PRESETS, Prelu, Recipe, Residual, Spec, TrainRecipe,
};
use std::collections::BTreeMap;
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    fixtures().join("onnx").join(name)
}

fn floats(n: usize, seed: u64) -> Vec<f32> {
    uniform(n, seed).map(|u| u as f32).collect()
}

/// Logits of normalised inputs, as the model has them without mirror images.
fn plain(model: &Model, x: &[f32]) -> Vec<f32> {
    let mut engine = model.engine(CpuOptions { threads: 1, path: None }).unwrap();
    let n = x.len() / model.network.input().iter().product::<usize>();
    let indices: Vec<u32> = (0..n as u32).collect();
    let mut logits = vec![0.0; n * model.network.outputs()];
    let labels = vec![0; n];
    let batch = Batch { pixels: Pixels::Floats(x), labels: &labels, indices: &indices };
    engine.forward(&batch, &mut logits).unwrap();
    logits
}

fn pytorchs_logits() -> BTreeMap<String, Vec<f32>> {
    serde_json::from_str(&std::fs::read_to_string(fixture("logits.json")).unwrap()).unwrap()
}

#[test]
fn both_of_pytorchs_exporters_are_understood() {
    let x = floats(4 * 64, 3);
    for (name, want) in pytorchs_logits() {
        for way in ["script", "dynamo"] {
            let path = fixture(&format!("{name}-{way}.onnx"));
            let model = Model::load_onnx(&path, &ImportOptions::default()).unwrap();
            assert_eq!(model.classes, ["0", "1", "2"]);
            // A normalisation in the graph becomes the model's: (x - 0.25) / 0.5.
            let n = &model.normalization;
            let x: Vec<f32> = x.iter().map(|x| (x - n.mean[0]) / n.std[0]).collect();
            let wanted = if name == "historical" { (0.25, 0.5) } else { (0.0, 1.0) };
            assert!((n.mean[0] - wanted.0).abs() < 1e-6 && (n.std[0] - wanted.1).abs() < 1e-6, "{name} {n:?}");
            let e = error(&plain(&model, &x), &want, 1.0);
            assert!(e < 2e-6, "{name} by {way}: off by {e}");
        }
    }
}

#[test]
fn patterns_of_nodes_become_the_layers_that_they_are() {
    let kinds = |name: &str| {
        let model = Model::load_onnx(&fixture(name), &ImportOptions::default()).unwrap();
        model.network.layers().iter().map(|l| l.kind).collect::<Vec<_>>()
    };
    for way in ["script", "dynamo"] {
        let plain =
            ["conv2d", "sigmoid", "avg_pool", "conv2d", "gelu", "max_pool", "flatten", "dense", "hard_swish", "dense"];
        assert_eq!(kinds(&format!("plain-{way}.onnx")), plain);
        let all = kinds(&format!("residual-{way}.onnx"));
        assert_eq!(all.iter().filter(|k| **k == "residual").count(), 2, "{all:?}");
        assert!(["silu", "relu", "elu", "softplus", "leaky_relu"].iter().all(|k| all.contains(k)), "{all:?}");
        let all = kinds(&format!("historical-{way}.onnx"));
        assert_eq!(all.iter().filter(|k| **k == "scaled_tanh").count(), 2, "{all:?}");
        assert!(["subsample", "rbf"].iter().all(|k| all.contains(k)), "{all:?}");
    }
}

#[test]
fn what_the_file_leaves_open_is_given() {
    let path = fixture("plain-script.onnx");
    let normalization = Some(Normalization { mean: vec![0.25], std: vec![0.5] });
    let classes = Some(["a", "b", "c"].map(String::from).to_vec());
    let options = ImportOptions { classes: classes.clone(), normalization: normalization.clone(), name: "x".into() };
    let model = Model::load_onnx(&path, &options).unwrap();
    assert_eq!((Some(&model.normalization), Some(&model.classes)), (normalization.as_ref(), classes.as_ref()));
    assert_eq!(model.training.recipe, "x");
    let two = ImportOptions { classes: Some(vec!["a".into(), "b".into()]), ..options.clone() };
    let error = Model::load_onnx(&path, &two).unwrap_err().to_string();
    assert!(error.ends_with("it has 3 outputs for 2 names of classes"), "{error}");
    let wide = Normalization { mean: vec![0.0; 3], std: vec![1.0; 3] };
    assert!(Model::load_onnx(&path, &ImportOptions { normalization: Some(wide), ..options }).is_err());
}

fn model(spec: Spec, seed: u64) -> Model {
    let channels = spec.input[0];
    let how = TrainRecipe { init: Init::KaimingUniform, seed, ..TrainRecipe::default() };
    let mut model = Model {
        normalization: Normalization { mean: vec![0.3; channels], std: vec![0.37; channels] },
        flip_test: seed.is_multiple_of(2),
        training: Training { recipe: "drawn".into(), dataset: "none".into(), epochs: 3, ..Training::default() },
        ..untrained(spec, &how)
    };
    // Biases and scales that are neither 0 nor 1.
    for t in model.network.tensors().filter(|t| t.shape.len() == 1) {
        let values = floats(t.range.len(), seed + 1);
        model.parameters[t.range.clone()].iter_mut().zip(values).for_each(|(p, u)| *p += 0.5 * (u - 0.5));
    }
    for b in model.network.buffer_tensors() {
        let values = floats(b.range.len(), seed + 2);
        model.buffers[b.range.clone()].iter_mut().zip(values).for_each(|(p, u)| *p += 0.3 * u);
    }
    model
}

/// The layers without what an ONNX graph does not show: tables of connections, and dropout.
fn shown(layers: &[Layer]) -> Vec<Layer> {
    let layers = layers.iter().filter(|l| !matches!(l, Layer::Dropout(_)));
    let one = |l: &Layer| match l {
        Layer::Conv2d(l) => Layer::Conv2d(Conv2d { connections: None, ..l.clone() }),
        Layer::Residual(r) => Layer::Residual(Residual { body: shown(&r.body), shortcut: shown(&r.shortcut) }),
        other => other.clone(),
    };
    layers.map(one).collect()
}

#[test]
fn every_preset_and_random_networks_come_back_from_onnx() {
    let presets = PRESETS.iter().map(|(name, _)| preset(name));
    for (number, spec) in presets.chain(networks::cases().iter().map(|c| c.spec())).enumerate() {
        let model = model(spec, number as u64);
        let want = shown(&model.spec.layers);
        for raw in [false, true] {
            let bytes = model.to_onnx(raw);
            assert_eq!(bytes, model.to_onnx(raw), "the bytes depend on the model alone");
            let back = Model::from_onnx(&bytes, &ImportOptions::default()).unwrap_or_else(|e| panic!("{number}: {e}"));
            // An average over all is a pooling with a window of all.
            if !want.contains(&Layer::GlobalAvgPool) {
                assert_eq!(back.spec.layers, want, "network {number}");
            }
            assert_eq!((&back.classes, back.flip_test), (&model.classes, model.flip_test));
            assert_eq!(back.training, model.training);
            assert!(error(&back.normalization.mean, &model.normalization.mean, 1.0) < 1e-6);
            assert!(error(&back.normalization.std, &model.normalization.std, 1.0) < 1e-6);
            let x = floats(8 * model.spec.input.iter().product::<usize>(), 9);
            let e = error(&plain(&back, &x), &plain(&model, &x), 1.0);
            assert!(e < 2e-6, "network {number}: off by {e}");
        }
    }
}

/// Every activation, and those with settings with others too.
fn activations() -> impl Iterator<Item = Activation> {
    let others = [
        Activation::LeakyRelu { slope: 0.2 },
        Activation::LeakyRelu { slope: 0.999 },
        Activation::Elu { alpha: 0.3 },
        Activation::Elu { alpha: 2.5 },
        Activation::Gelu { approximate: Approximate::Tanh },
    ];
    Activation::ALL.into_iter().chain(others)
}

#[test]
fn every_activation_comes_back_from_onnx_with_its_settings() {
    for activation in activations() {
        let layers = vec![Conv2d::new(2, 3).into(), activation.into(), Layer::Flatten, Dense::new(3).into()];
        let model = model(Spec { input: [1, 5, 5], layers }, 1);
        let back = Model::from_onnx(&model.to_onnx(false), &ImportOptions::default()).unwrap();
        assert_eq!(back.spec, model.spec);
        let x = floats(8 * 25, 9);
        assert!(error(&plain(&back, &x), &plain(&model, &x), 1.0) < 2e-6, "{activation:?}");
    }
}

#[test]
fn the_model_card_has_the_settings_of_activations_that_are_not_pytorchs() {
    let layers: Vec<Layer> = activations().map(Layer::from).chain([Layer::Flatten, Dense::new(2).into()]).collect();
    let dir = tempfile::tempdir().unwrap();
    model(Spec { input: [1, 2, 2], layers }, 1).save(dir.path()).unwrap();
    let card = std::fs::read_to_string(dir.path().join("README.md")).unwrap();
    for line in [
        "class ScaledTanh(nn.Module):",
        "    nn.ReLU6(),",
        "    nn.LeakyReLU(),",
        "    nn.LeakyReLU(0.2),",
        "    nn.ELU(),",
        "    nn.ELU(2.5),",
        "    nn.GELU(),",
        "    nn.GELU(approximate=\"tanh\"),",
        "    ScaledTanh(),",
    ] {
        assert!(card.lines().any(|l| l == line), "{line:?} is not in:\n{card}");
    }
}

fn plain_spec() -> Spec {
    let text = "[data]\nsource = \"x\"\n[model]\ninput = [1, 8, 8]\nlayers = [\n\
        { type = \"conv2d\", channels = 4, window = 3, padding = 1 }, { type = \"sigmoid\" },\n\
        { type = \"avg_pool\", window = 2 },\n\
        { type = \"conv2d\", channels = 6, window = 3, padding = 1, groups = 2 }, { type = \"gelu\" },\n\
        { type = \"max_pool\", window = 3, stride = 2, padding = 1 }, { type = \"flatten\" },\n\
        { type = \"dense\", units = 8 }, { type = \"hard_swish\" }, { type = \"dense\", units = \"classes\" } ]\n";
    Recipe::parse(text, "plain.toml").unwrap().spec([1, 8, 8], 3).unwrap()
}

#[test]
fn a_state_dict_of_a_sequential_with_other_numbers_is_read() {
    // The file is of a network with dropout: its layers from 4 on have other numbers.
    let classes = ["a", "b", "c"].map(String::from).to_vec();
    let (unit, path) = (Normalization::unit(1), fixture("plain.safetensors"));
    let model =
        Model::from_state_dict(&path, plain_spec(), unit.clone(), classes.clone(), Training::default()).unwrap();
    let e = error(&plain(&model, &floats(4 * 64, 3)), &pytorchs_logits()["plain"], 1.0);
    assert!(e < 2e-6, "off by {e}");

    let mut other = plain_spec();
    if let Some(Layer::Dense(dense)) = other.layers.get_mut(7) {
        dense.units = 9;
    }
    let error = Model::from_state_dict(&path, other, unit.clone(), classes, Training::default()).unwrap_err();
    let error = error.to_string();
    assert!(error.contains("'8.weight' (here 7.weight) has the shape [8, 24] instead of [9, 24]"), "{error}");
    assert!(error.contains("'10.weight' (here 9.weight) has the shape [3, 8] instead of [3, 9]"), "{error}");
    assert!(!error.contains('\n'));
}

#[test]
fn a_dilation_comes_back() {
    let conv = |dilation: [usize; 2]| Conv2d::new(2, 3).stride(2).padding(1).dilation(dilation).into();
    let spec = |dilation| Spec::new([1, 9, 12], [conv(dilation), Layer::Flatten, Dense::new(3).into()]);
    let model = |dilation| model(spec(dilation), 1);
    let says = |bytes: &[u8]| bytes.windows(9).any(|w| w == b"dilations");
    let (plain, dilated) = (model([1, 1]).to_onnx(false), model([2, 3]).to_onnx(false));
    assert!(!says(&plain) && says(&dilated));
    let model = model([2, 3]);
    assert_eq!(model.network.layers()[0].settings, "3×3, stride 2, padding 1, dilation 2×3");
    let back = Model::from_onnx(&dilated, &ImportOptions::default()).unwrap();
    assert_eq!((&back.spec, &back.parameters), (&model.spec, &model.parameters));
    assert_eq!(Spec::from_json(&model.spec.to_json()).unwrap(), model.spec);
    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path()).unwrap();
    let card = std::fs::read_to_string(dir.path().join("README.md")).unwrap();
    assert!(card.contains("nn.Conv2d(1, 2, 3, stride=2, padding=1, dilation=(2, 3)),"), "{card}");
}

#[test]
fn slopes_come_back_whether_one_a_channel_or_one_for_all() {
    let layers = [
        Conv2d::new(2, 3).into(),
        Prelu::new().into(),
        Layer::Flatten,
        Dense::new(5).into(),
        Prelu::new().into(),
        Dense::new(3).into(),
    ];
    let mut model = model(Spec::new([1, 4, 4], layers), 1);
    let bytes = model.to_onnx(false);
    let back = Model::from_onnx(&bytes, &ImportOptions::default()).unwrap();
    assert_eq!((&back.spec, &back.parameters), (&model.spec, &model.parameters));
    assert!(model.network.tensors().any(|t| t.name == "1.weight" && t.shape == [2]), "as in PyTorch's state dict");

    // In the file: dimensions, element type, name, values. Texts without a meaning fill what is left of the shorter form.
    let slopes = model.network.tensors().find(|t| t.name == "1.weight").unwrap().range.clone();
    let tensor = |dims: [u8; 6], values: &[u8]| [&dims[..], &[16, 1, 66, 8], b"1.weight", &[74], values].concat();
    let values: Vec<u8> = model.parameters[slopes.clone()].iter().flat_map(|v| v.to_le_bytes()).collect();
    let one_each = tensor([8, 2, 8, 1, 8, 1], &[&[8], &values[..]].concat());
    let for_all = tensor([8, 1, 98, 2, b'a', b'a'], &[&[4], &values[..4], &[98, 2, b'a', b'a']].concat());
    let at = bytes.windows(one_each.len()).position(|w| w == one_each).expect("slopes of the shape [2, 1, 1]");
    let patched = [&bytes[..at], &for_all[..], &bytes[at + one_each.len()..]].concat();
    let back = Model::from_onnx(&patched, &ImportOptions::default()).unwrap();
    model.parameters[slopes.start + 1] = model.parameters[slopes.start];
    assert_eq!(back.parameters, model.parameters);

    let dir = tempfile::tempdir().unwrap();
    model.save(dir.path()).unwrap();
    let card = std::fs::read_to_string(dir.path().join("README.md")).unwrap();
    assert!(card.contains("    nn.PReLU(2),\n") && card.contains("    nn.PReLU(5),\n"), "{card}");
}

#[test]
fn the_model_card_has_a_program_for_what_pytorch_lacks() {
    let dir = tempfile::tempdir().unwrap();
    model(preset("lenet5-1998"), 1).save(dir.path()).unwrap();
    let card = std::fs::read_to_string(dir.path().join("README.md")).unwrap();
    for line in [
        "library_name: pytorch",
        "class ScaledTanh(nn.Module):",
        "    nn.Conv2d(1, 6, 5, padding=2),",
        "    Subsample(6, 2, 2, 0),",
        "    Rbf(84, 10),",
        "model.load_state_dict(load_file(\"model.safetensors\"), strict=True)",
    ] {
        assert!(card.lines().any(|l| l == line), "{line:?} is not in:\n{card}");
    }
    assert!(!card.contains("class Residual"));
}
