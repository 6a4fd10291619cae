//! `lenet train`: from arguments to a plan, from the plan to a run, and what is told on the way.

use super::report;
use crate::args::TrainArgs;
use crate::devices::cluster::Job;
use crate::devices::gpu;
use crate::failure::Failure;
use crate::terminal::interrupt;
use crate::terminal::start::Start;
use crate::terminal::train_progress::TrainProgress;
use crate::terminal::tui::{self, Tui};
use crate::text::stem;
use crate::{inputs, plan};
use lenet::data::Loaded;
use lenet::spec::Recipe;
use lenet::train::layout::RUNS;
use lenet::train::{Control, Event, Outcome, Run, Session, Trainer};
use serde_json::json;
use std::path::Path;

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
        Some(dir) => Run::recipe_path(dir)?.to_string_lossy().into_owned(),
        None => args.recipe.clone().unwrap_or_else(|| "lenet".into()),
    };
    let recipe = plan::recipe(&recipe_at, &overrides(&args))?;
    if args.dry_run {
        return dry_run(&recipe);
    }
    // The run is opened first, for it tells what a second process must not touch.
    let run = args.resume.as_deref().map(Run::open).transpose()?;
    job.tell(&recipe);
    let loaded = job.load(|| inputs::dataset_of(&recipe))?;
    let session = Session::new(&recipe, &loaded)?;
    let engine = match gpu::engine(&args.device, session.network(), [&loaded.train, &loaded.test])? {
        Some(engine) => engine,
        None => job.engine(session.network().clone(), session.recipe(), &loaded)?,
    };
    let session = session.engine(engine).threads(job.threads);
    let session = match run {
        Some(run) => session.resume(run),
        None => {
            let session = session.name(&stem(Path::new(&recipe_at)));
            match &args.out {
                Some(dir) => session.run_dir(dir),
                None => session.numbered_in(RUNS),
            }
        }
    };
    let mut trainer = session.open()?;
    let progress = TrainProgress::new(args.json);
    let start = start(&loaded, &trainer, job.threads);
    progress.start(&start)?;
    interrupt::install()?;
    let done = trainer.run_dir().map_or(&[][..], Run::metrics);
    let screen = args.tui.then(|| Tui::open(&start, done)).transpose()?;
    train(&mut trainer, progress, screen, loaded.train.classes.len())?;
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
        Outcome::Finished => {
            progress.done(run, trainer.last_metrics().and_then(|m| m.test_accuracy), trainer.recipe(), classes)
        }
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

fn start(loaded: &Loaded, trainer: &Trainer, threads: usize) -> Start {
    Start {
        data: loaded.name.clone(),
        provenance: loaded.provenance.clone(),
        images: trainer.images(),
        model: trainer.name().into(),
        network: trainer.network().clone(),
        device: trainer.device(),
        threads,
        recipe: trainer.recipe().clone(),
        run: trainer.run_dir().map(|r| r.dir().to_path_buf()).unwrap_or_default(),
    }
}
