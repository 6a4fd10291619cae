//! `lenet train`: from arguments to a plan, from the plan to a run, and what is told on the way.

use super::report;
use crate::args::TrainArgs;
use crate::devices::cluster::Job;
use crate::devices::{cpu, gpu};
use crate::failure::Failure;
use crate::terminal::interrupt;
use crate::terminal::start::Start;
use crate::terminal::train_progress::TrainProgress;
use crate::terminal::tui::{self, Tui};
use crate::text::stem;
use crate::{inputs, plan};
use lenet::data::Loaded;
use lenet::spec::{Network, Recipe};
use lenet::train::{Control, Event, Outcome, Run, RunError, Trainer};
use serde_json::{Value, json};
use std::path::Path;

/// Where runs go unless `--out` says otherwise.
const RUNS: &str = "runs";

pub fn run(args: TrainArgs) -> Result<(), Failure> {
    gpu::check(&args.device)?;
    let job = Job::join(args.threads)?;
    if !job.is_first() {
        interrupt::ignore()?;
        return job.serve(inputs::dataset_of);
    }
    if args.tui {
        tui::check()?;
    }
    let recipe_at = match &args.resume {
        Some(dir) if !dir.join("recipe.toml").is_file() => return Err(RunError::NotARun(dir.clone()).into()),
        Some(dir) => dir.join("recipe.toml").to_string_lossy().into_owned(),
        None => args.recipe.clone().unwrap_or_else(|| "lenet".into()),
    };
    let mut recipe = plan::recipe(&recipe_at, &overrides(&args))?;
    if args.dry_run {
        return dry_run(&recipe);
    }
    // The run is opened first, for it tells what a second process must not touch; it is created last, so that nothing
    // is left of a training that cannot start.
    let open = args.resume.as_deref().map(Run::open).transpose()?;
    let name = match &args.resume {
        Some(dir) => name_of_run(dir),
        None => stem(Path::new(&recipe_at)),
    };
    job.tell(&recipe);
    let loaded = job.load(|| inputs::dataset_of(&recipe))?;
    recipe.resolve_normalization(&loaded.train);
    let spec = recipe.spec(loaded.train.shape, loaded.train.classes.len())?;
    let network = spec.infer()?;
    let engine = match gpu::engine(&args.device, &network, [&loaded.train, &loaded.test])? {
        Some(engine) => engine,
        None => job.engine(network, &recipe, &loaded)?,
    };
    let environment = environment(&name, &loaded, &engine.device(), job.threads);
    let resumed = open.is_some();
    let run = match open {
        Some(run) => run,
        None => create(args.out.as_deref(), &name, &recipe, &environment)?,
    };
    let network = engine.network().clone();
    let mut trainer = Trainer::new(&recipe, &name, spec, &loaded.train, &loaded.test, engine, Some(run))?;
    if let (true, Some(run)) = (resumed, trainer.run_dir()) {
        run.write_recipe(&recipe)?;
        run.write_environment(&environment)?;
    }
    let progress = TrainProgress::new(args.json);
    let start = start(&recipe, &name, &loaded, &network, &trainer, job.threads);
    progress.start(&start)?;
    interrupt::install()?;
    let done = trainer.run_dir().map_or(&[][..], Run::metrics);
    let screen = args.tui.then(|| Tui::open(&start, done)).transpose()?;
    train(&mut trainer, progress, screen, &recipe, loaded.train.classes.len())?;
    // The model is there, and the training a success, whether its report can be written or not.
    if let Some(run) = trainer.run_dir()
        && let Err(Failure::Usage(reason) | Failure::Failed(reason)) =
            report::after_training(run.dir(), &loaded, args.threads)
    {
        eprintln!("report: {reason}");
    }
    Ok(())
}

/// Trains, tells, and ends as the training does.
fn train(
    trainer: &mut Trainer,
    mut progress: TrainProgress,
    mut screen: Option<Tui>,
    recipe: &Recipe,
    classes: usize,
) -> Result<(), Failure> {
    let mut told = Ok(());
    let outcome = trainer.run(&mut |event| {
        if told.is_ok() {
            told = match &mut screen {
                Some(screen) => screen.on(event),
                None => progress.on(event),
            };
        }
        if told.is_err() || interrupt::requested() { Control::Stop } else { Control::Continue }
    });
    progress.clear();
    // The screen leaves nothing behind: its epochs are told after it.
    for metrics in screen.map_or(Vec::new(), Tui::close) {
        progress.on(&Event::Epoch(&metrics))?;
    }
    let outcome = outcome?;
    told?;
    let Some(run) = trainer.run_dir() else { return Ok(()) };
    match outcome {
        Outcome::Finished => progress.done(run, trainer.last_metrics().and_then(|m| m.test_accuracy), recipe, classes),
        Outcome::Interrupted => {
            progress.interrupted(run)?;
            Err(Failure::Interrupted)
        }
    }
}

/// All flags that change the recipe, as overrides; the particular ones win over `--set`.
fn overrides(args: &TrainArgs) -> Vec<String> {
    let mut all = args.set.set.clone();
    all.extend(args.data.as_deref().map(plan::source));
    all.extend(args.skip_bad.then(|| "data.skip_bad=true".to_string()));
    all.extend(args.epochs.map(|n| format!("train.epochs={n}")));
    all.extend(args.val_fraction.map(|share| format!("train.val_fraction={share}")));
    // A run goes on wherever it is called from: the path must not depend on that.
    let model = args.init_from.as_deref().map(|p| std::path::absolute(p).unwrap_or(p.to_path_buf()));
    all.extend(model.map(|path| format!("train.init_from={}", json!(path.to_string_lossy()))));
    all.extend(args.seed.map(|n| format!("train.seed={n}")));
    all
}

/// Prints the resolved recipe, which is a recipe itself.
fn dry_run(recipe: &Recipe) -> Result<(), Failure> {
    let network = plan::network(recipe)?;
    eprintln!("a dry run: the recipe fits, {} parameters", lenet::thousands(network.learnt() as u64));
    crate::terminal::print(&recipe.to_toml())
}

fn create(out: Option<&Path>, name: &str, recipe: &Recipe, environment: &Value) -> Result<Run, Failure> {
    if let Some(dir) = out {
        return Ok(Run::create(dir, recipe, environment)?);
    }
    loop {
        let dir = Run::free_name(Path::new(RUNS), name);
        match Run::create(&dir, recipe, environment) {
            // Another process has just taken the number.
            Err(RunError::InUse(_) | RunError::Exists(_)) => continue,
            run => return Ok(run?),
        }
    }
}

/// The name of the recipe that a run began with.
fn name_of_run(dir: &Path) -> String {
    let text = std::fs::read_to_string(dir.join("environment.json")).unwrap_or_default();
    let known: Option<Value> = serde_json::from_str(&text).ok();
    known.and_then(|e| Some(e.get("recipe")?.as_str()?.to_string())).unwrap_or_else(|| stem(dir))
}

/// What the run is done with.
fn environment(name: &str, loaded: &Loaded, device: &str, threads: usize) -> Value {
    let checksums: serde_json::Map<_, _> = loaded.checksums.iter().map(|(f, sha)| (f.clone(), json!(sha))).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "system": format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "cpu": cpu::name(),
        "features": cpu::features(),
        "device": device,
        "threads": threads,
        "recipe": name,
        "data": { "name": loaded.name, "provenance": loaded.provenance, "sha256": checksums, "skipped": loaded.skipped },
    })
}

fn start(recipe: &Recipe, name: &str, loaded: &Loaded, network: &Network, trainer: &Trainer, threads: usize) -> Start {
    Start {
        data: loaded.name.clone(),
        provenance: loaded.provenance.clone(),
        images: trainer.images(),
        model: name.into(),
        network: network.clone(),
        device: trainer.device(),
        threads,
        recipe: recipe.clone(),
        run: trainer.run_dir().map(|r| r.dir().to_path_buf()).unwrap_or_default(),
    }
}
