//! The JSON Schema of recipes, held against the reader by a validator that knows neither.

use jsonschema::Validator;
use lenet::spec::{PRESETS, Recipe, json_schema};
use serde_json::Value;

fn validator() -> Validator {
    let schema = json_schema();
    jsonschema::meta::validate(&schema).expect("the schema is one");
    jsonschema::validator_for(&schema).expect("the schema is one")
}

/// What the schema says against a recipe's text.
fn errors(validator: &Validator, text: &str) -> Vec<String> {
    let table: toml::Table = text.parse().unwrap();
    let value: Value = serde_json::to_value(table).unwrap();
    validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect()
}

#[test]
fn every_recipe_that_ships_is_valid_as_written_and_resolved() {
    let validator = validator();
    for (name, text) in PRESETS {
        assert_eq!(errors(&validator, text), [""; 0], "{name}");
        assert_eq!(errors(&validator, &Recipe::load(name).unwrap().to_toml()), [""; 0], "{name}, resolved");
        assert_eq!(errors(&validator, &format!("preset = {name:?}")), [""; 0], "{name}, by its name");
    }
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/recipes");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(errors(&validator, &std::fs::read_to_string(&path).unwrap()), [""; 0], "{}", path.display());
    }
}

#[test]
fn what_the_reader_takes_is_valid_and_what_it_refuses_is_not() {
    let validator = validator();
    let with = |section: &str, line: &str| format!("preset = \"lenet\"\n[{section}]\n{line}\n");
    for (section, line) in [
        ("train", "lr = 1"),
        ("train", "init = \"normal\"\ninit_std = 0.1\ninit_gain = 2"),
        ("train", "evaluate_every = 5"),
        ("train", "class_weights = \"balanced\""),
        ("data", "normalize = { mean = [0.1], std = [0.2] }"),
        ("augment", "erase = 0.5\nmixup = 0.2\nfill = \"noise\""),
        ("model", "layers = [{ type = \"flatten\" }, { type = \"dense\", units = \"classes\" }]"),
    ] {
        let text = with(section, line);
        Recipe::parse(&text, "r.toml").unwrap_or_else(|e| panic!("{line}: {e}"));
        assert_eq!(errors(&validator, &text), [""; 0], "{line}");
    }
    let wrong = [
        ("train", "epoch = 3"),
        ("train", "epochs = 0"),
        ("train", "epochs = \"three\""),
        ("train", "lr = -0.1"),
        ("train", "init = \"xavier\""),
        ("train", "init_gain = 0"),
        ("train", "init_std = 101"),
        ("train", "evaluate_every = 0"),
        ("train", "ema = 2"),
        ("train", "momentum = 1.0"),
        ("train", "optimizer = \"sdg\""),
        ("train", "val_fraction = 1.0"),
        ("train", "class_weights = []"),
        ("data", "source = \" \""),
        ("data", "normalize = { mean = [0.1] }"),
        ("data", "train_limit = 1.5"),
        ("augment", "rotate = 200"),
        ("augment", "mixup = 0.001"),
        ("augment", "erase = { probability = 2 }"),
        ("model", "input = [28, 28]"),
        ("model", "layers = []"),
        ("model", "layers = [{ channels = 3 }]"),
        ("model", "layers = [{ type = \"conv2d\", channels = 3 }]"),
        ("model", "layers = [{ type = \"flaten\" }]"),
        ("model", "layers = [{ type = \"relu\", window = 2 }]"),
        ("model", "layers = [{ type = \"dropout\", rate = 1.5 }]"),
        ("model", "layers = [{ type = \"max_pool\", window = [1, 2, 3] }]"),
        ("model", "layers = [{ type = \"residual\", body = [{ type = \"dense\" }] }]"),
        ("extra", "x = 1"),
    ];
    let whole = ["preset = \"lenett\"", "[data]\nsource = \"mnist\"\n", "[model]\nlayers = [{ type = \"flatten\" }]"];
    let wrong = wrong.map(|(section, line)| with(section, line)).into_iter().chain(whole.map(String::from));
    for text in wrong {
        assert!(Recipe::parse(&text, "r.toml").is_err(), "the reader takes {text}");
        assert!(!errors(&validator, &text).is_empty(), "the schema takes {text}");
    }
}
