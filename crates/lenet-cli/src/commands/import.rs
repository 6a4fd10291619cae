//! `lenet import`.

use crate::args::ImportArgs;
use crate::failure::{Failure, file_error};
use crate::terminal::print_line;
use crate::text::stem;
use crate::{inputs, plan};
use lenet::model::{Model, Training, onnx::ImportOptions};
use lenet::spec::{Augment, DataRecipe, ModelRecipe, Normalization, Normalize, Optimizer, Recipe, TrainRecipe};
use lenet::thousands;

/// The recipe beside an imported model, for training it further.
const RECIPE: &str = "finetune.toml";

pub fn run(args: ImportArgs) -> Result<(), Failure> {
    // A model is never written over: it may be somebody's only copy.
    if args.output.join("config.json").exists() {
        let output = args.output.display();
        return Err(Failure::Usage(format!("{output} holds a model already: choose another --output")));
    }
    let extension = args.file.extension().and_then(|e| e.to_str()).unwrap_or_default();
    let mut model = match (extension.to_ascii_lowercase().as_str(), &args.model) {
        ("onnx", None) => onnx(&args)?,
        ("onnx", Some(_)) => return Err(Failure::Usage("an ONNX file has its own network: leave --model out".into())),
        ("safetensors", Some(recipe)) => state_dict(&args, recipe)?,
        ("safetensors", None) => {
            return Err(Failure::Usage(
                "a state dict holds no layers: give the recipe of its network by --model".into(),
            ));
        }
        _ => {
            let file = args.file.display();
            return Err(Failure::Usage(format!("{file}: a file named .onnx or .safetensors can be imported")));
        }
    };
    if let Some(data) = &args.data {
        model.training.dataset = data.clone();
    }
    model.save(&args.output)?;
    let path = args.output.join(RECIPE);
    lenet::write_atomic(&path, recipe(&model).to_toml().as_bytes()).map_err(file_error("write", &path))?;
    let (layers, parameters) = (model.spec.layers.len(), thousands(model.network.learnt() as u64));
    let output = args.output.display();
    print_line(&format!("{output}: {layers} layers, {parameters} parameters, {} classes", model.classes.len()))?;
    eprintln!("train it further with: lenet train {} --init-from {output} --data DATA", path.display());
    Ok(())
}

fn onnx(args: &ImportArgs) -> Result<Model, Failure> {
    if !args.set.set.is_empty() {
        return Err(Failure::Usage("--set changes the recipe of --model, an ONNX file is as it is".into()));
    }
    let normalization = args.mean.clone().zip(args.std.clone()).map(|(mean, std)| Normalization { mean, std });
    let options = ImportOptions { classes: args.classes.clone(), normalization, name: stem(&args.file) };
    Ok(Model::load_onnx(&args.file, &options)?)
}

fn state_dict(args: &ImportArgs, recipe: &str) -> Result<Model, Failure> {
    if args.mean.is_some() {
        return Err(Failure::Usage("--mean and --std are for ONNX files: a recipe has data.normalize".into()));
    }
    let mut overrides = args.set.set.clone();
    overrides.extend(args.data.as_deref().map(plan::source));
    let mut recipe = Recipe::load_with(recipe, &overrides)?;
    if recipe.data.normalization == Normalize::Dataset {
        recipe.resolve_normalization(&inputs::dataset_of(&recipe)?.train);
    }
    let (shape, names) = match (recipe.model.input, &args.classes) {
        (Some(shape), Some(names)) => (shape, names.clone()),
        (_, names) => {
            let (shape, known) = plan::shape_and_classes(&recipe)?;
            (shape, names.clone().unwrap_or(known))
        }
    };
    let spec = recipe.spec(shape, names.len())?;
    let normalization = recipe.data.normalization.given().cloned().unwrap_or_else(|| Normalization::unit(shape[0]));
    let training = Training {
        recipe: stem(&args.file),
        dataset: recipe.data.source.clone(),
        seed: recipe.train.seed,
        ..Training::default()
    };
    let mut model = Model::from_state_dict(&args.file, spec, normalization, names, training)?;
    model.flip_test = recipe.augment.flip_test;
    Ok(model)
}

/// The model's network as a recipe, with a learning rate that changes it gently.
fn recipe(model: &Model) -> Recipe {
    let source = match &model.training.dataset[..] {
        "" => "fashion-mnist",
        dataset => dataset,
    };
    let optimizer = Optimizer { momentum: 0.9, ..Default::default() };
    let train = TrainRecipe { lr: 0.01, optimizer, ..Default::default() };
    Recipe {
        data: DataRecipe {
            source: source.to_string(),
            normalization: Normalize::Given(model.normalization.clone()),
            train_limit: None,
            test_limit: None,
            skip_bad: false,
        },
        model: ModelRecipe {
            input: Some(model.spec.input),
            layers: model.spec.layers.clone(),
            units_from_classes: false,
        },
        train,
        targets: Default::default(),
        augment: Augment { flip_test: model.flip_test, ..Default::default() },
    }
}
