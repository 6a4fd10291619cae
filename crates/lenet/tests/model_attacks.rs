//! Files that must be refused (`tests/attacks`, written by `bench/onnx_fixtures.py`), and damaged ones: an error each that
//! says what is wrong, and no panic.

use crate::kit::{Normalization, fixtures, tests};
use lenet::model::onnx::{ImportOptions, OnnxError};
use lenet::model::{Model, ModelError, Training};
use lenet::spec::{Dense, Layer, Spec};
use std::path::PathBuf;

fn attack(name: &str) -> PathBuf {
    tests().join("attacks").join(name)
}

/// Each file, and words of its error.
const ONNX: [(&str, &str); 25] = [
    ("truncated.onnx", "longer than what is left of the file"),
    ("empty.onnx", "0 graphs"),
    ("text.onnx", "is no whole ONNX file"),
    ("overlong-number.onnx", "more than ten bytes"),
    ("length-beyond-the-end.onnx", "longer than what is left of the file"),
    ("group.onnx", "wire type 3"),
    ("external-absolute.onnx", "keeps tensor 'w' in another file"),
    ("external-parent.onnx", "keeps tensor 'w' in another file"),
    ("external-address.onnx", "keeps tensor 'w' in another file"),
    ("many-nodes.onnx", "more than 10000 nodes"),
    ("many-initializers.onnx", "more than 10000 initialisers"),
    ("many-inputs.onnx", "more than 64 inputs of a node"),
    ("deep-graphs.onnx", "0 inputs"),
    ("huge-dims.onnx", "at most 67108864 values are read"),
    ("negative-dims.onnx", "at most 67108864 values are read"),
    ("large-dims.onnx", "at most 67108864 values are read"),
    ("short-data.onnx", "does not hold the 8 values"),
    ("nan.onnx", "not finite, at position 3"),
    ("half.onnx", "element type 10"),
    ("large-image.onnx", "is too large: at most 67108864 values are possible"),
    ("loop.onnx", "nothing before it gives its input 'b'"),
    ("ladder.onnx", "residual blocks"),
    ("unknown-operator.onnx", "node 'y' (LSTM): this operator is not known"),
    ("dilated.onnx", "node 'c' (Conv): dilations is [0, 2]"),
    ("average-without-padding.onnx", "count_include_pad must be 1"),
];

#[test]
fn every_onnx_attack_is_refused_in_one_line() {
    let more = [
        ("unknown-function.onnx", "node 'y' (Sin): this operator is not known"),
        ("no-activation.onnx", "node 'y' (Exp): with the elementwise nodes before it, it computes none"),
    ];
    let all: Vec<_> = ONNX.into_iter().chain(more).collect();
    let files = std::fs::read_dir(attack("")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let unlisted: Vec<_> = files.filter(|f| f.ends_with(".onnx") && !all.iter().any(|(name, _)| f == name)).collect();
    assert!(unlisted.is_empty(), "{unlisted:?} are not in the table");
    for (name, words) in all {
        let error = Model::load_onnx(&attack(name), &ImportOptions::default()).unwrap_err();
        assert!(matches!(error, ModelError::Onnx { .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.contains(words) && error.contains(name) && !error.contains('\n'), "{name}: {error}");
    }
}

#[test]
fn every_state_dict_attack_is_refused_in_one_line() {
    let layers = vec![Layer::Flatten, Layer::Dense(Dense { units: 2, bias: true })];
    let spec = Spec { input: [1, 2, 2], layers };
    for (name, words) in [
        ("huge-header.safetensors", "is no whole safetensors file"),
        ("no-json.safetensors", "is no whole safetensors file"),
        ("nested.safetensors", "is no whole safetensors file"),
        ("overlapping.safetensors", "is no whole safetensors file"),
        ("hole.safetensors", "is no whole safetensors file"),
        ("huge-shape.safetensors", "is no whole safetensors file"),
        ("beyond-the-end.safetensors", "is no whole safetensors file"),
        ("nan.safetensors", "tensor '1.bias' holds a value that is not finite, at position 1"),
        ("other-shape.safetensors", "'1.weight' has the shape [4, 2] instead of [2, 4]"),
        ("missing.safetensors", "'1.bias' is missing"),
        ("left-over.safetensors", "'2.bias' is left over"),
        ("integers.safetensors", "'1.weight' is I32: save the network as float32"),
    ] {
        let classes = vec!["a".to_string(), "b".to_string()];
        let unit = Normalization::unit(1);
        let error = Model::from_state_dict(&attack(name), spec.clone(), unit, classes, Training::default());
        let error = error.unwrap_err().to_string();
        assert!(error.contains(words) && error.contains(name) && !error.contains('\n'), "{name}: {error}");
    }
}

/// The `config.json` of a model of four bytes and two classes.
const CONFIG: &str = r#"{"format_version": 1, "model_type": "lenet", "normalization": {"mean": [0.0], "std": [1.0]},
    "spec": {"input": [1, 2, 2], "layers": [{"type": "flatten"}, {"type": "dense", "units": 2, "bias": true}]},
    "classes": ["a", "b"], "training": {"recipe": "", "dataset": "", "epochs": 0, "seed": 0}}"#;

#[test]
fn every_model_attack_is_refused_in_one_line() {
    for (name, words) in [
        ("huge-header.safetensors", "its header claims"),
        ("no-json.safetensors", "header: "),
        ("nested.safetensors", "nested too deeply"),
        ("overlapping.safetensors", "overlap"),
        ("hole.safetensors", "leave bytes between"),
        ("huge-shape.safetensors", "bytes for the shape"),
        ("beyond-the-end.safetensors", "not all in the file"),
        ("nan.safetensors", "tensor '1.bias' holds a value that is not finite, at position 1"),
        ("other-shape.safetensors", "tensor '1.weight' has shape [4, 2], the network needs [2, 4]"),
        ("missing.safetensors", "has no tensor '1.bias'"),
        ("left-over.safetensors", "has a tensor '2.bias' that the network does not know"),
        ("integers.safetensors", "tensor '1.weight' is I32, not F32"),
    ] {
        let error = Model::from_bytes(CONFIG.as_bytes(), &std::fs::read(attack(name)).unwrap()).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(words) && error.starts_with("model.safetensors "), "{name}: {error}");
        assert!(!error.contains('\n'), "{name}: {error}");
    }
}

#[test]
fn a_config_of_a_kilobyte_does_not_ask_for_gigabytes() {
    let layers = r#"{"type": "relu"}, "#.repeat(60) + r#"{"type": "global_avg_pool"}, {"type": "flatten"}"#;
    let config = CONFIG.replace("[1, 2, 2]", "[1, 4096, 4096]").replace(r#"{"type": "flatten"}"#, &layers);
    let error = Model::from_bytes(config.as_bytes(), &[]).unwrap_err().to_string();
    let words = "config.json: layer 15 (relu) is too large: all activations so far are";
    assert!(error.starts_with(words) && error.contains("18.3 GB"), "{error}");
}

/// What is read here, the format's own library reads as well, and finds the same in it.
#[test]
fn no_damaged_model_makes_a_panic_or_is_read_as_something_else() {
    use safetensors::{Dtype, SafeTensors, tensor::TensorView};
    let bytes: Vec<u8> = (0..10u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let view = |shape: &[usize], data| TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap();
    let tensors = [("1.bias", view(&[2], &bytes[..8])), ("1.weight", view(&[2, 4], &bytes[8..]))];
    let whole = safetensors::serialize(tensors, None).unwrap();
    let read = |bytes: &[u8]| Model::from_bytes(CONFIG.as_bytes(), bytes);
    assert_eq!(read(&whole).unwrap().parameters, [2., 3., 4., 5., 6., 7., 8., 9., 0., 1.]);
    assert!((0..whole.len()).all(|end| read(&whole[..end]).is_err()));
    let mut accepted = 0;
    for at in 0..whole.len() {
        for change in [1, 2, 4, 0x20, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            let Ok(model) = read(&bytes) else { continue };
            accepted += 1;
            let theirs = SafeTensors::deserialize(&bytes).unwrap();
            let values: Vec<u8> = model.parameters.iter().flat_map(|p| p.to_le_bytes()).collect();
            let data = ["1.weight", "1.bias"].map(|name| theirs.tensor(name).unwrap().data());
            assert_eq!(values, data.concat(), "{at}");
        }
    }
    assert!(accepted > 100, "{accepted}");
    for at in 0..CONFIG.len() {
        for change in [1, 2, 8, 0x20, 0x80] {
            let mut config = CONFIG.as_bytes().to_vec();
            config[at] ^= change;
            if let Err(error) = Model::from_bytes(&config, &whole) {
                assert!(!error.to_string().contains('\n'), "{error:?}");
            }
        }
    }
}

#[test]
fn no_damage_makes_a_panic() {
    for name in ["plain-script.onnx", "residual-dynamo.onnx", "historical-script.onnx"] {
        let whole = std::fs::read(fixtures().join("onnx").join(name)).unwrap();
        for end in 0..whole.len() {
            // What is cut is mostly an error; where a field ends, a shorter file may be whole.
            if let Err(error) = Model::from_onnx(&whole[..end], &ImportOptions::default()) {
                assert!(!error.to_string().contains('\n'));
            }
        }
        let mut refused = 0;
        for at in (0..whole.len()).step_by(2) {
            for change in [1, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= change;
                match Model::from_onnx(&bytes, &ImportOptions::default()) {
                    Ok(model) => assert!(model.parameters.iter().all(|p| p.is_finite())),
                    Err(OnnxError::Malformed(_) | OnnxError::Node { .. } | OnnxError::Graph(_)) => refused += 1,
                    Err(error) => assert!(!error.to_string().contains('\n'), "{error:?}"),
                }
            }
        }
        assert!(refused > 100, "{refused}");
    }
}
