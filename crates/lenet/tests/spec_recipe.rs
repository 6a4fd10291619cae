//! Recipes: what they mean, and what is said about those that mean nothing.

use crate::kit::Normalization;
use lenet::spec::*;

fn error(text: &str) -> String {
    Recipe::parse(text, "r.toml").expect_err("the recipe is wrong").to_string()
}

/// What is said about this line as the first layer of a network; it is the seventh of the recipe.
fn error_in_layer(line: &str) -> String {
    error(&format!(
        "[data]\nsource = \"mnist\"\n[model]\ninput = [1, 28, 28]\nlayers = [\n\n{line},\n{{ type = \"flatten\" }}, \
         {{ type = \"dense\", units = 10 }}]"
    ))
}

#[test]
fn lenet_has_61706_parameters() {
    for name in ["lenet", "lenet-relu-max"] {
        let network = Recipe::load(name).unwrap().spec([1, 28, 28], 10).unwrap().infer().unwrap();
        assert_eq!((network.parameters(), network.outputs(), network.layers().len()), (61_706, 10, 12), "{name}");
    }
}

#[test]
fn presets_say_what_they_promise() {
    let lenet = Recipe::load("lenet").unwrap();
    assert_eq!(lenet.data.source, "fashion-mnist");
    assert_eq!(lenet.train, TrainRecipe { epochs: 5, batch: 256, lr: 0.9, ..TrainRecipe::default() });
    let kinds: Vec<_> = lenet.model.layers.iter().map(Layer::kind).collect();
    let (act, pool) = ("sigmoid", "avg_pool");
    let want = ["conv2d", act, pool, "conv2d", act, pool, "flatten", "dense", act, "dense", act, "dense"];
    assert_eq!(kinds, want);

    let mut modern = Recipe::load("lenet-relu-max").unwrap();
    assert_eq!(modern.train.lr, 0.1);
    modern.apply_overrides(&["activation=sigmoid", "pool=avg_pool", "lr=0.9"]).unwrap();
    assert_eq!(modern, lenet);
}

#[test]
fn both_forms_of_the_list_and_of_a_window_are_the_same() {
    let list = "[data]\nsource = \"mnist\"\n[model]\nlayers = [{ type = \"conv2d\", channels = 6, window = [5, 5] },\
                { type = \"max_pool\", window = [2, 3] }, { type = \"flatten\" }, { type = \"dense\", units = 3 }]";
    let tables = "[data]\nsource = \"mnist\"\n[[model.layers]]\ntype = \"conv2d\"\nchannels = 6\nwindow = 5\n\
                  [[model.layers]]\ntype = \"max_pool\"\nwindow = [2, 3]\n[[model.layers]]\ntype = \"flatten\"\n\
                  [[model.layers]]\ntype = \"dense\"\nunits = 3";
    let recipe = Recipe::parse(list, "a").unwrap();
    assert_eq!(recipe, Recipe::parse(tables, "b").unwrap());
    assert_eq!(recipe.model.layers[1], Layer::MaxPool(Pool { window: [2, 3], stride: [2, 3], padding: [0, 0] }));
    assert_eq!(recipe.train, TrainRecipe::default());
}

#[test]
fn errors_in_layers() {
    let kinds = "(known: conv2d, dense, batch_norm, prelu, max_pool, avg_pool, global_avg_pool, flatten, dropout, residual, subsample, rbf, sigmoid, tanh, relu, relu6, leaky_relu, elu, gelu, silu, hard_swish, scaled_tanh, softplus)";
    let whole = "must be a whole number from";
    for (line, want) in [
        (
            "{ type = \"conv2d\", chanels = 6, window = 5 }",
            "20: unknown key \"chanels\" in a conv2d layer, did you mean \"channels\"? \
             (known: type, channels, window, stride, padding, dilation, groups, connections, bias)"
                .to_string(),
        ),
        (
            "{ type = \"conv\", channels = 6 }",
            format!("10: unknown layer type \"conv\", did you mean \"conv2d\"? {kinds}"),
        ),
        ("{ type = \"leaky_relu\", slope = 1 }", "32: slope must be a number from 0 to less than 1, not 1".into()),
        (
            "{ type = \"leaky_relu\", slope = -0.1 }",
            "32: slope must be a number from 0 to less than 1, not -0.1".into(),
        ),
        ("{ type = \"elu\", alpha = 0 }", "25: alpha must be a number above 0, not 0".into()),
        (
            "{ type = \"gelu\", approximate = \"erf\" }",
            "32: approximate must be \"none\" or \"tanh\", not \"erf\"".into(),
        ),
        ("{ type = \"elu\", slope = 0.1 }", "17: unknown key \"slope\" in a elu layer (known: type, alpha)".into()),
        ("{ window = 5 }", format!("1: missing key \"type\" in a layer {kinds}")),
        ("{ type = \"conv2d\", channels = 6 }", "1: missing key \"window\" in a conv2d layer".into()),
        (
            "{ type = \"conv2d\", channels = 1_000_000_000, window = 5 }",
            format!("31: channels {whole} 1 to 67108864, not 1000000000"),
        ),
        (
            "{ type = \"conv2d\", channels = \"six\", window = 5 }",
            format!("31: channels {whole} 1 to 67108864, not \"six\""),
        ),
        ("{ type = \"max_pool\", window = 2, stride = 0 }", format!("43: stride {whole} 1 to 4096, not 0")),
        ("{ type = \"max_pool\", window = [2, -1] }", format!("35: window {whole} 1 to 4096, not -1")),
        (
            "{ type = \"max_pool\", window = [2] }",
            "31: window must be one number or [rows, columns], not a list of 1".into(),
        ),
        (
            "{ type = \"conv2d\", channels = 1, window = 1, padding = 99999999999999999999 }",
            format!("56: padding {whole} 0 to 4096, not 99999999999999999999"),
        ),
        ("{ type = \"conv2d\", channels = 1, window = 1, bias = 0 }", "53: bias must be true or false, not 0".into()),
        ("7", "1: a layer must be a table with a \"type\", not 7".into()),
        (
            "{ type = \"flatten\" }, { type = \"dense\", units = \"classes\" }",
            "49: units can be \"classes\" in the last dense layer only".into(),
        ),
        (
            "{ type = \"flatten\" }, { type = \"dense\", units = \"many\" }",
            format!("49: units {whole} 1 to 67108864 or \"classes\", not \"many\""),
        ),
        // Layers that do not fit what reaches them.
        (
            "{ type = \"conv2d\", channels = 6, window = 29 }",
            "1: layer 0 (conv2d) does not fit its input [1, 28, 28]: \
             the window 29×29 is larger than the padded input 28×28"
                .into(),
        ),
        (
            "{ type = \"dense\", units = 6 }",
            "1: layer 0 (dense) does not fit its input [1, 28, 28]: it needs a flat input: put flatten before it"
                .into(),
        ),
        (
            "{ type = \"conv2d\", channels = 60000000, window = 1 }",
            "1: layer 0 (conv2d) is too large: output 60000000×28×28, at most 67108864 is possible".into(),
        ),
    ] {
        assert_eq!(error_in_layer(line), format!("r.toml:7:{want}"));
    }
}

const TRAIN_KEYS: &str = "epochs, batch, lr, seed, init, init_gain, init_std, init_from, checkpoint_seconds, histograms, optimizer, momentum, nesterov, \
    weight_decay, decay_norms_and_biases, beta1, beta2, eps, schedule, warmup_epochs, step_epochs, gamma, final_lr, \
    peak, clip_norm, ema, val_fraction, patience, evaluate_every, label_smoothing, class_weights";

#[test]
fn all_that_is_wrong_in_training_is_told_at_once() {
    let text = "preset = \"lenet\"\n[train]\nepochs = 5\nmomentum = 1.5\nema = 2\nwarmup_epochs = 9\npatience = 3\n\
                clip_norm = 0\nschedule = \"cosin\"";
    let error = Recipe::parse(text, "r.toml").unwrap_err().to_string();
    let mut lines: Vec<&str> = error.lines().collect();
    lines.sort_unstable();
    let want = [
        "r.toml:4:12: momentum must be from 0 to below 1, not 1.5",
        "r.toml:5:7: ema must be above 0 and below 1, for example 0.999, not 2",
        "r.toml:6:17: warmup_epochs is 9, epochs is 5: warm up for no more",
        "r.toml:7:12: patience needs validation images: set val_fraction, for example 0.1",
        "r.toml:8:13: clip_norm must be a number above 0, not 0",
        "r.toml:9:12: schedule must be one of constant, step, cosine, one_cycle, not \"cosin\", did you mean \"cosine\"?",
    ];
    assert_eq!(lines, want);
    for set in [
        "nesterov=true",
        "init_std=0.1",
        "init_gain=0",
        "init=normal init_std=101",
        "evaluate_every=0",
        "schedule=step step_epochs=5",
        "schedule=one_cycle warmup_epochs=1",
    ] {
        let sets: Vec<&str> = set.split(' ').collect();
        assert!(Recipe::load_with("lenet", &sets).is_err(), "{set}");
    }
    // One epoch of a recipe that warms up for one is a way to try it.
    assert!(Recipe::load_with("lenet-modern", &["epochs=1"]).is_ok());
    let sets = ["optimizer=adamw", "ema=0.99", "clip_norm=1", "val_fraction=0.1", "patience=3", "schedule=one_cycle"];
    let sets = [&sets[..], &["init=normal", "init_std=0.1", "init_gain=2", "evaluate_every=3"]].concat();
    let recipe = Recipe::load_with("lenet", &sets).unwrap();
    assert_eq!(Recipe::parse(&recipe.to_toml(), "again").unwrap(), recipe);
}

#[test]
fn errors_in_training() {
    let known = format!("(known: {TRAIN_KEYS})");
    for (line, want) in [
        ("epoch = 3", format!("unknown key \"epoch\" in [train], did you mean \"epochs\"? {known}")),
        ("zzz = 3", format!("unknown key \"zzz\" in [train] {known}")),
        ("epochs = 0", "epochs must be a whole number from 1 to 1000000, not 0".into()),
        ("epochs = 1.5", "epochs must be a whole number from 1 to 1000000, not 1.5".into()),
        ("batch = 0", "batch must be a whole number from 1 to 1000000, not 0".into()),
        ("batch = [1]", "batch must be a whole number from 1 to 1000000, not a list".into()),
        ("lr = 0", "lr must be a number above 0, for example 0.1, not 0".into()),
        ("lr = -0.1", "lr must be a number above 0, for example 0.1, not -0.1".into()),
        ("lr = inf", "lr must be a number above 0, for example 0.1, not inf".into()),
        ("lr = nan", "lr must be a number above 0, for example 0.1, not nan".into()),
        ("lr = 1e50", "lr must be a number above 0, for example 0.1, not 1e50".into()),
        ("seed = -1", "seed must be a whole number from 0 to 18446744073709551615, not -1".into()),
        (
            "init = \"xavier_unifrm\"",
            "unknown initialiser \"xavier_unifrm\", did you mean \"xavier_uniform\"? (known: xavier_uniform, \
             xavier_normal, kaiming_uniform, kaiming_normal, lecun_normal, normal, lecun_uniform, uniform, zero)"
                .into(),
        ),
    ] {
        let column = if want.starts_with("unknown key") { 1 } else { line.find("= ").unwrap() + 3 };
        let text = format!("preset = \"lenet\"\n[train]\n{line}");
        assert_eq!(error(&text), format!("r.toml:3:{column}: {want}"));
    }
}

#[test]
fn errors_of_the_whole() {
    for (text, want) in [
        ("", "1:1: the recipe has no section [data]"),
        ("[data]\nsource = \"x\"", "1:1: the recipe has no section [model]"),
        ("[data]\n[model]\nlayers = []", "1:1: missing key \"source\" in [data]"),
        ("[data]\nsource = 3", "2:10: source must be the name of a dataset or \"idx:DIR\", not 3"),
        (
            "[data]\nsource = \"x\"\n[model]\nlayers = []",
            "4:10: layers must be a list of at least one layer, not an empty list",
        ),
        (
            "[data]\nsource = \"x\"\n[model]\ninput = [1, 2, 2]\nlayers = [{ type = \"relu\" }]",
            "5:11: the network ends with [1, 2, 2] where one score a class is needed: end with flatten and a dense layer",
        ),
        (
            "preset = \"lenet\"\n[model]\ninput = [28, 28]",
            "3:9: input must be [channels, rows, columns], not a list of 2",
        ),
        (
            "preset = \"lenet\"\n[model]\ninput = [60000, 60000, 1]",
            "3:9: the input shape [60000, 60000, 1] is too large: at most 67108864 values are possible",
        ),
        (
            "preset = \"lenett\"",
            "1:10: no preset \"lenett\", did you mean \"lenet\"? (presets: lenet, lenet-d2l-v1, lenet-relu-max, lenet-modern, lenet5-1998, softmax, mlp, small, medium, fast)",
        ),
        (
            "preset = \"lenet\"\n[trian]\n",
            "2:2: unknown key \"trian\" in the recipe, did you mean \"train\"? (known: data, model, train, augment, preset)",
        ),
        ("preset = \"lenet\"\ntrain = 3", "2:9: [train] must be a table, not 3"),
        (
            "preset = \"lenet\"\n[data]\nnormalize = { mean = [0.5], std = [0] }",
            "3:36: std must be numbers above 0, not 0",
        ),
        (
            "preset = \"lenet\"\n[data]\nnormalize = { mean = [0.5], std = [1, 2] }",
            "3:13: normalize needs as many means as deviations, it has 1 and 2",
        ),
        (
            "preset = \"lenet\"\n[data]\nnormalize = { mean = [0, 0], std = [1, 2] }",
            "3:13: data.normalize is for 2 channels, the images have 1: give one mean and std a channel",
        ),
        ("[train\nlr = 1", "1:7: unclosed table, expected `]`"),
        ("[train]\nlr = 1\nlr = 2", "3:1: duplicate key"),
    ] {
        assert_eq!(error(text), format!("r.toml:{want}"), "{text}");
    }
}

#[test]
fn a_preset_is_overridden_key_by_key_and_layers_as_a_whole() {
    let text = "preset = \"lenet\"\n[train]\nepochs = 2\n[model]\nlayers = [{ type = \"flatten\" },\n\
                { type = \"dense\", units = \"classes\" }]";
    let recipe = Recipe::parse(text, "r.toml").unwrap();
    assert_eq!((recipe.train.epochs, recipe.train.batch, recipe.model.layers.len()), (2, 256, 2));
    assert_eq!(recipe.spec([1, 28, 28], 7).unwrap().infer().unwrap().parameters(), 784 * 7 + 7);
}

#[test]
fn data_that_does_not_fit_the_recipe() {
    let mut recipe = Recipe::load("lenet").unwrap();
    let message = |recipe: &Recipe, input, classes| recipe.spec(input, classes).unwrap_err().to_string();
    assert_eq!(
        message(&recipe, [3, 32, 32], 10),
        "the data's images are [3, 32, 32] (channels, rows, columns), the recipe's model.input is [1, 28, 28]: \
         change model.input or leave it out"
    );
    assert_eq!(recipe.spec([1, 28, 28], 26).unwrap().infer().unwrap().outputs(), 26);
    recipe.set("model.layers.11.units=10").unwrap();
    assert_eq!(
        message(&recipe, [1, 28, 28], 26),
        "the network ends with 10 scores, the data has 26 classes: write units = \"classes\" in the last dense layer"
    );
    recipe.model.input = None;
    assert_eq!(
        message(&recipe, [1, 8, 8], 10),
        "layer 3 (conv2d) does not fit its input [6, 4, 4]: the window 5×5 is larger than the padded input 4×4"
    );
    recipe.data.normalization = Normalize::Given(Normalization::unit(3));
    assert_eq!(
        message(&recipe, [1, 28, 28], 10),
        "data.normalize is for 3 channels, the images have 1: give one mean and std a channel"
    );

    let text = "[data]\nsource = \"idx:x\"\n[[model.layers]]\ntype = \"flatten\"\n[[model.layers]]\ntype = \"max_pool\"\n\
                window = 2";
    assert_eq!(
        Document::parse(text, "r.toml").unwrap().spec([1, 4, 4], 2).unwrap_err().to_string(),
        "r.toml:5:1: layer 1 (max_pool) does not fit its input [16]: it needs channels, rows and columns: \
         put it before flatten"
    );
}

#[test]
fn loading_by_name_and_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mine.toml");
    let load = || Recipe::load(path.to_str().unwrap());
    std::fs::write(&path, "preset = \"lenet\"\n[train]\nseed = 7\n").unwrap();
    assert_eq!(load().unwrap().train.seed, 7);
    assert_eq!(
        Recipe::load("lenet-relu-mx").unwrap_err().to_string(),
        "no recipe \"lenet-relu-mx\": it is neither a file nor a preset, did you mean \"lenet-relu-max\"? \
         (presets: lenet, lenet-d2l-v1, lenet-relu-max, lenet-modern, lenet5-1998, softmax, mlp, small, medium, fast)"
    );
    std::fs::write(&path, b"\xff\xfe").unwrap();
    assert!(load().unwrap_err().to_string().contains("invalid utf-8"));
    std::fs::write(&path, vec![b'#'; (1 << 20) + 1]).unwrap();
    assert!(load().unwrap_err().to_string().contains("larger than 1048576 bytes"));
    assert!(Recipe::load(dir.path().to_str().unwrap()).unwrap_err().to_string().starts_with("cannot read the recipe"));
}

#[test]
fn overrides() {
    let sets = [
        "lr = 0.25",
        "train.epochs=3",
        "source=idx:/data/with=sign",
        "model.layers.0.channels=12",
        "layers.2.window=[2, 2]",
        "layers.5.type=max_pool",
        "normalize.mean=[0.5]",
        "normalize.std=[0.25]",
        "init=kaiming_normal",
        "activation=tanh",
    ];
    let recipe = Recipe::load_with("lenet", &sets).unwrap();
    assert_eq!((recipe.train.lr, recipe.train.epochs, recipe.train.init), (0.25, 3, Init::KaimingNormal));
    assert_eq!(recipe.data.source, "idx:/data/with=sign");
    assert_eq!(recipe.data.normalization, Normalize::Given(Normalization { mean: vec![0.5], std: vec![0.25] }));
    let kinds: Vec<_> = recipe.model.layers.iter().map(Layer::kind).collect();
    let act = "tanh";
    let want = ["conv2d", act, "avg_pool", "conv2d", act, "max_pool", "flatten", "dense", act, "dense", act, "dense"];
    assert_eq!(kinds, want);

    let mut same = Recipe::load("lenet").unwrap();
    same.apply_overrides(&sets).unwrap();
    assert_eq!(same, recipe);
    same.apply_overrides(&["lr=0.5", "epochs=0"]).unwrap_err();
    assert_eq!(same, recipe, "one wrong override leaves all as it was");
}

#[test]
fn errors_of_overrides() {
    let known = format!(
        "(known: source, normalize, train_limit, test_limit, skip_bad, input, layers, {TRAIN_KEYS}, shift, border, flip, rotate, \
         scale, shear, brightness, contrast, erase, cutout, fill, mixup, flip_test, activation, pool)"
    );
    for (set, want) in [
        ("lr", "it has no \"=\": write key=value, for example train.lr=0.1".to_string()),
        ("lr=", "there is no value after \"=\"".into()),
        ("lr=fast", "lr must be a number above 0, for example 0.1, not \"fast\"".into()),
        ("train..lr=1", "the key has an empty part: write for example train.lr=0.1".into()),
        ("qqq=1", format!("unknown key \"qqq\" {known}")),
        ("epoch=1", format!("unknown key \"epoch\", did you mean \"epochs\"? {known}")),
        ("train.sed=1", format!("unknown key \"sed\" in [train], did you mean \"seed\"? (known: {TRAIN_KEYS})")),
        ("layers.12.units=1", "model.layers is a list of 12: give a position from 0 to 11, not \"12\"".into()),
        ("layers.x=1", "model.layers is a list of 12: give a position from 0 to 11, not \"x\"".into()),
        ("layers.0.window.0=1", "model.layers.0.window is 5, it has no key \"0\"".into()),
        ("train.a.b.c.d.e=1", "the key has 6 parts, no key has more than 5".into()),
        ("lr.x=1", "train.lr is 0.9, it has no key \"x\"".into()),
        ("pool=relu", "pool must be one of avg_pool, max_pool, not \"relu\"".into()),
        ("input=[1, 28", "unclosed array, expected `]`".into()),
        ("preset=lenet", "a preset cannot be set on top of a recipe: name it in the recipe's place".into()),
    ] {
        let error = Recipe::load_with("lenet", &[set]).unwrap_err().to_string();
        assert_eq!(error, format!("--set {set}: {want}"));
    }
    let deep = format!("train{}=1", ".a".repeat(60_000));
    assert!(Recipe::load_with("lenet", &[deep]).unwrap_err().to_string().ends_with("no key has more than 5"));
    let bare = "[data]\nsource = \"x\"\n[model]\nlayers = [{ type = \"flatten\" }, { type = \"dense\", units = 2 }]";
    assert_eq!(
        Recipe::parse(bare, "r.toml").unwrap().set("activation=relu").unwrap_err().to_string(),
        "--set activation=relu: the recipe has no layer of that sort (sigmoid, tanh, relu, relu6, leaky_relu, elu, gelu, silu, hard_swish, scaled_tanh, softplus)"
    );
}

#[test]
fn settings_of_activations_are_written_where_they_are_not_as_usual() {
    let text = "[data]\nsource = \"x\"\n[model]\ninput = [1, 4, 4]\nlayers = [\n\
        { type = \"leaky_relu\" }, { type = \"leaky_relu\", slope = 0.01 }, { type = \"leaky_relu\", slope = 0.2 },\n\
        { type = \"elu\" }, { type = \"elu\", alpha = 0.5 },\n\
        { type = \"gelu\", approximate = \"none\" }, { type = \"gelu\", approximate = \"tanh\" },\n\
        { type = \"flatten\" }, { type = \"dense\", units = 2 } ]\n";
    let recipe = Recipe::parse(text, "r.toml").unwrap();
    let written = recipe.to_toml();
    assert_eq!(Recipe::parse(&written, "again.toml").unwrap(), recipe);
    let settings: Vec<&str> =
        written.lines().filter(|l| ["slope", "alpha", "approximate"].iter().any(|key| l.starts_with(key))).collect();
    assert_eq!(settings, ["slope = 0.2", "alpha = 0.5", "approximate = \"tanh\""]);

    let spec = recipe.spec([1, 4, 4], 2).unwrap();
    let json = spec.to_json();
    assert!(
        json.contains(
            r#"{"type":"leaky_relu"},{"type":"leaky_relu"},{"type":"leaky_relu","slope":0.2},{"type":"elu"}"#
        ),
        "{json}"
    );
    assert_eq!(Spec::from_json(&json).unwrap(), spec);
    let rows = Summary::new(&spec.infer().unwrap()).layers;
    let words: Vec<&str> = rows.iter().map(|row| row.settings.as_str()).filter(|s| !s.is_empty()).collect();
    assert_eq!(words, ["slope 0.2", "alpha 0.5", "approximate tanh"]);

    // A model's file is checked where its shapes are.
    let wrong = Spec::from_json(&json.replace("0.2", "1.5")).unwrap().infer().unwrap_err();
    let want = "layer 2 (leaky_relu) does not fit its input [1, 4, 4]: slope must be a number from 0 to less than 1";
    assert_eq!(wrong.to_string(), want);

    // Another type by an override leaves the settings of the old one behind, and takes those that both have.
    let mut other = recipe.clone();
    other.apply_overrides(&["activation=relu"]).unwrap();
    assert!(other.model.layers[..7].iter().all(|layer| *layer == Layer::Activation(Activation::Relu)));
    let mut leaky = recipe;
    leaky.apply_overrides(&["activation=leaky_relu"]).unwrap();
    let slopes = [0.01, 0.01, 0.2, 0.01, 0.01, 0.01, 0.01].map(|slope| Layer::from(Activation::LeakyRelu { slope }));
    assert_eq!(leaky.model.layers[..7], slopes);
}
