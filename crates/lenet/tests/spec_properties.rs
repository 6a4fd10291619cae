//! Recipes at random: what is written reads back, and no text brings the reader down.
//!
//! They are drawn from the JSON Schema, which follows from the tables of layers, keys and names: what is new there is drawn
//! here at once.

use jsonschema::Validator;
use lenet::data::Dataset;
use lenet::spec::*;
use lenet::train::Checkpoint;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

static SCHEMA: LazyLock<Value> = LazyLock::new(json_schema);
static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| jsonschema::validator_for(&SCHEMA).unwrap());

/// Any value that a schema allows; layers within layers up to a depth.
fn value(schema: &Value, depth: usize) -> BoxedStrategy<Value> {
    if let Some(values) = schema["enum"].as_array() {
        return prop::sample::select(values.clone()).boxed();
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let choices: Vec<_> = choices.iter().map(|schema| value(schema, depth)).collect();
        return prop::strategy::Union::new(choices).boxed();
    }
    if let Some(only) = schema.get("const") {
        return Just(only.clone()).boxed();
    }
    if schema.get("$ref").is_some() {
        let kinds = SCHEMA["$defs"]["layer"]["oneOf"].as_array().unwrap().iter();
        let shallow = kinds.filter(|kind| depth > 0 || !kind.to_string().contains("$ref"));
        let layers: Vec<_> = shallow.map(|kind| value(kind, depth.saturating_sub(1))).collect();
        return prop::strategy::Union::new(layers).boxed();
    }
    match schema["type"].as_str().unwrap() {
        "boolean" => any::<bool>().prop_map(Value::from).boxed(),
        "string" => "[a-z\t\n\"'\\\\ é]{0,12}".prop_map(|text| (text + "x").into()).boxed(),
        "integer" => {
            let (least, most) = (schema["minimum"].as_u64().unwrap(), schema["maximum"].as_u64().unwrap_or(u64::MAX));
            (least..=most).prop_map(Value::from).boxed()
        }
        "number" => number(schema),
        "array" => {
            let items = value(&schema["items"], depth);
            let [least, most] = ["minItems", "maxItems"].map(|key| schema[key].as_u64().map(|n| n as usize));
            let least = least.unwrap_or(0);
            prop::collection::vec(items, least..=most.unwrap_or(least + 4)).prop_map(Value::from).boxed()
        }
        "object" => object(schema, depth),
        other => panic!("the schema has a type that this test does not draw: {other}"),
    }
}

fn number(schema: &Value) -> BoxedStrategy<Value> {
    let bound = |key: &str| schema[key].as_f64().map(|x| x as f32);
    let (least, above) = (bound("minimum"), bound("exclusiveMinimum"));
    let (most, below) = (bound("maximum"), bound("exclusiveMaximum"));
    let holds = move |x: &f32| {
        least.is_none_or(|l| *x >= l)
            && above.is_none_or(|l| *x > l)
            && most.is_none_or(|m| *x <= m)
            && below != Some(*x)
    };
    let from = least.or(above);
    let numbers = match most.or(below) {
        Some(to) => (from.unwrap()..=to).boxed(),
        None if from.is_some() => any::<f32>().prop_map(f32::abs).boxed(),
        None => any::<f32>().boxed(),
    };
    numbers.prop_filter("within the range", move |x| x.is_finite() && holds(x)).prop_map(Value::from).boxed()
}

fn object(schema: &Value, depth: usize) -> BoxedStrategy<Value> {
    let needed = |key: &str| schema["required"].as_array().is_some_and(|keys| keys.iter().any(|k| k == key));
    let properties = schema["properties"].as_object().unwrap().iter().map(|(key, schema)| {
        let (key, value) = (key.clone(), value(schema, depth));
        let value = if needed(&key) { value.prop_map(Some).boxed() } else { prop::option::of(value).boxed() };
        value.prop_map(move |value| value.map(|value| (key.clone(), value)))
    });
    let all: Vec<_> = properties.collect();
    all.prop_map(|pairs| Value::Object(pairs.into_iter().flatten().collect())).boxed()
}

/// Recipes as tables. Without `model.input`: with it, the layers would have to fit.
fn tables() -> impl Strategy<Value = Value> {
    let section = |name: &str, needed: &[&str]| {
        let mut schema = SCHEMA["properties"][name].clone();
        schema["required"] = json!(needed);
        value(&schema, 2)
    };
    let all =
        (section("data", &["source"]), section("model", &["layers"]), section("train", &[]), section("augment", &[]));
    all.prop_map(|(data, model, train, augment)| {
        let mut recipe = json!({ "data": data, "model": model, "train": train, "augment": augment });
        settle(&mut recipe);
        recipe
    })
}

/// Makes values agree that a schema looks at one by one.
fn settle(recipe: &mut Value) {
    let layers = recipe["model"]["layers"].as_array_mut().unwrap();
    let last = layers.iter().rposition(|layer| layer.get("units").is_some());
    layers.iter_mut().enumerate().for_each(|(i, layer)| count_units(layer, last == Some(i)));
    recipe["model"].as_object_mut().unwrap().remove("input");
    if let Some(Value::Object(given)) = recipe["data"].get_mut("normalize") {
        let means = given["mean"].as_array().unwrap().len();
        let deviations = given["std"].as_array_mut().unwrap();
        deviations.resize(means, json!(0.5));
    }
    if let Some(area) = recipe["augment"].pointer_mut("/erase/area").and_then(Value::as_array_mut) {
        area.sort_by(|a, b| a.as_f64().partial_cmp(&b.as_f64()).unwrap());
    }
    settle_train(recipe["train"].as_object_mut().unwrap());
}

fn count_units(layer: &mut Value, may_be_classes: bool) {
    if !may_be_classes && layer.get("units").is_some_and(Value::is_string) {
        layer["units"] = json!(1);
    }
    for inner in layer.as_object_mut().unwrap().values_mut().filter_map(Value::as_array_mut).flatten() {
        if inner.is_object() {
            count_units(inner, false);
        }
    }
}

fn settle_train(train: &mut Map<String, Value>) {
    let is = |train: &Map<String, Value>, key: &str, value: &str| train.get(key).is_some_and(|v| v == value);
    if !is(train, "init", "normal") {
        train.remove("init_std");
    }
    if ["momentum", "optimizer"].iter().any(|key| !train.contains_key(*key)) {
        train.remove("nesterov");
    }
    if train.get("momentum").and_then(Value::as_f64) == Some(0.0) {
        train.insert("nesterov".into(), false.into());
    }
    if is(train, "schedule", "one_cycle") {
        train.remove("warmup_epochs");
    }
    // Both end before the last epoch.
    let [warmup, step] = ["warmup_epochs", "step_epochs"].map(|key| {
        let epochs = train.get(key).and_then(Value::as_u64).unwrap_or(1).min(999_999);
        train.entry(key).and_modify(|drawn| *drawn = epochs.into());
        epochs
    });
    let drawn = train.get("epochs").and_then(Value::as_u64).unwrap_or(1);
    train.insert("epochs".into(), drawn.max(warmup.max(step) + 1).into());
    if train.get("val_fraction").and_then(Value::as_f64).is_none_or(|share| share == 0.0) {
        train.remove("patience");
    }
    if let Some(Value::Array(weights)) = train.get_mut("class_weights") {
        weights[0] = json!(1);
    }
}

/// A value as TOML in one line. Texts are written alike in JSON.
fn toml(value: &Value) -> String {
    match value {
        Value::Null => unreachable!("the schema allows no null"),
        Value::Bool(_) | Value::String(_) => value.to_string(),
        Value::Number(n) if n.is_f64() => format!("{:?}", n.as_f64().unwrap() as f32),
        Value::Number(n) => n.to_string(),
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(table) => {
            let pairs: Vec<_> = table.iter().map(|(key, value)| format!("{key} = {}", toml(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
    }
}

fn text(recipe: &Value) -> String {
    let sections = recipe.as_object().unwrap().iter();
    let line = |(key, value): (&String, &Value)| format!("{key} = {}\n", toml(value));
    let section = |(name, keys): (&String, &Value)| {
        format!("[{name}]\n{}", keys.as_object().unwrap().iter().map(line).collect::<String>())
    };
    sections.map(section).collect()
}

fn recipes() -> impl Strategy<Value = Recipe> {
    tables().prop_map(|table| Recipe::parse(&text(&table), "drawn").unwrap_or_else(|e| panic!("{e}\n{}", text(&table))))
}

fn layers() -> impl Strategy<Value = Vec<Layer>> {
    recipes().prop_map(|recipe| recipe.model.layers)
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
    fn a_recipe_is_valid_as_drawn_and_resolved(mut table in tables()) {
        // The validator's numbers end earlier.
        table["train"].as_object_mut().unwrap().remove("seed");
        let drawn = text(&table);
        let resolved = Recipe::parse(&drawn, "r.toml").map_err(|e| TestCaseError::fail(format!("{e}\n{drawn}")))?.to_toml();
        for text in [drawn, resolved] {
            let table: toml::Table = text.parse().unwrap();
            let value = serde_json::to_value(table).unwrap();
            let errors: Vec<String> = VALIDATOR.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
            prop_assert!(errors.is_empty(), "{errors:?}\n{text}");
        }
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
            prop_assert_eq!(network.tensors().map(|t| t.range.len()).sum::<usize>(), network.parameters());
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
