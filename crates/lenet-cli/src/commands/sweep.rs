//! `lenet sweep`: many trainings, ranked by validation.

use crate::args::SweepArgs;
use crate::devices::cluster::Job;
use crate::failure::{Failure, file_error};
use crate::inputs;
use crate::terminal::sweep_progress::{Board, line, sets};
use crate::terminal::{self, interrupt};
use crate::text::stem;
use lenet::sweep::layout::{BEST, PICTURE, RESULTS, SWEEPS};
use lenet::sweep::{Found, Progress, Row, Sweep, Sweeper};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

pub fn run(args: SweepArgs) -> Result<(), Failure> {
    let job = Job::join(0)?;
    let text = std::fs::read_to_string(&args.file).map_err(file_error("read", &args.file))?;
    let mut sweep = Sweep::parse(&text, &args.file).map_err(|e| Failure::Usage(e.to_string()))?;
    let text = match &args.data {
        Some(data) => {
            sweep.set.insert("data.source".into(), data.clone().into());
            // Part of what the directory's sweep is.
            format!("# --data {}\n{text}", json!(data))
        }
        None => text,
    };
    let trials = sweep.trials();
    if args.dry_run {
        if !job.is_first() {
            return Ok(());
        }
        let lines: Vec<String> =
            trials.iter().map(|t| format!("{:4}  seed {}  {}", t.number, t.seed, sets(&t.sets))).collect();
        eprintln!("a dry run: {} trials", trials.len());
        return terminal::print_line(&lines.join("\n"));
    }
    let first = trials.iter().find_map(|t| sweep.recipe(t).ok());
    let recipe = match first {
        Some(recipe) => recipe,
        None => sweep.recipe(&trials[0]).map_err(|e| Failure::Usage(e.to_string()))?,
    };
    let loaded = job.load(|| inputs::dataset_of(&recipe))?;
    let dir = args.out.clone().unwrap_or_else(|| Path::new(SWEEPS).join(stem(&args.file)));
    let parallel = match args.parallel.unwrap_or(sweep.parallel) {
        0 => job.threads,
        parallel => parallel,
    };
    let sweeper = job.first_before_others(|| Sweeper::new(&sweep, &text, &loaded, &dir, parallel));
    let sweeper = sweeper.map_err(|e| Failure::Usage(e.to_string()))?;
    let mut sweeper = job.share(sweeper);
    if job.is_first() {
        eprintln!("sweep    {} trials of {}, in {}", trials.len(), sweep.recipe, dir.display());
    }
    interrupt::install()?;
    let (mut board, bar, began) = (Board::default(), terminal::bar("{msg}"), Instant::now());
    let found = sweeper.run(&interrupt::requested, &mut |progress| {
        board.take(progress);
        match progress {
            Progress::Rung { rung, of, epochs, trials, .. } if *of > 1 && job.is_first() => {
                bar.suspend(|| eprintln!("rung     {} of {of}: {trials} trials to epoch {epochs}", rung + 1));
            }
            Progress::Trial(row) => bar.suspend(|| eprintln!("{:4}     {}", board.done, line(row))),
            _ => {}
        }
        bar.set_message(board.text(began.elapsed(), terminal::columns()));
    });
    bar.finish_and_clear();
    let found = found.map_err(Failure::failed)?;
    if !found.finished {
        eprintln!("interrupted; the same command goes on from here");
        return Err(Failure::Interrupted);
    }
    if job.is_first() { report(&found, &dir, args.json) } else { Ok(()) }
}

fn report(found: &Found, dir: &Path, as_json: bool) -> Result<(), Failure> {
    if as_json {
        let rows: Vec<Value> = found.rows.iter().map(object).collect();
        return terminal::print_json(&json!({ "dir": dir, "rows": rows }));
    }
    let mut text = String::from("the best by validation:\n");
    for (rank, row) in found.rows.iter().take(10).enumerate() {
        text += &format!("{:3}.  {}\n", rank + 1, line(row));
    }
    let file = |name: &str| dir.join(name).display().to_string();
    text += &format!("results: {}, {}\n", file(RESULTS), file(PICTURE));
    // The winner's test accuracy is the only one that is told: nothing was chosen by it.
    if let Some(test) = found.rows.first().and_then(|r| r.last.as_ref()).and_then(|m| m.test_accuracy) {
        text += &format!("winner:  trial {}, test accuracy {test:.4}\n", found.rows[0].trial.number);
    }
    text += &format!("next:    lenet train {}", file(BEST));
    terminal::print_line(&text)
}

fn object(row: &Row) -> Value {
    let m = row.last.as_ref();
    let sets: serde_json::Map<String, Value> = row.trial.sets.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    json!({
        "trial": row.trial.number, "seed": row.trial.seed, "status": row.status.word(), "sets": sets,
        "epochs": m.map(|m| m.epoch), "val_accuracy": m.and_then(|m| m.val_accuracy), "parameters": row.parameters,
        "seconds": row.seconds,
    })
}
