//! `lenet sweep`: many trainings, ranked by validation.

use crate::args::SweepArgs;
use crate::failure::{Failure, file_error};
use crate::{interrupt, terminal};
use lenet::sweep::{Found, Progress, Row, Status, Sweep, Sweeper};
use serde_json::{Value, json};
use std::path::Path;

pub fn run(args: SweepArgs) -> Result<(), Failure> {
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
    let loaded = crate::data::load(&recipe.data.source, &crate::plan::options(&recipe))?;
    let dir = args.out.clone().unwrap_or_else(|| Path::new("sweeps").join(crate::train::stem(&args.file)));
    let parallel = args.parallel.unwrap_or(sweep.parallel);
    let mut sweeper =
        Sweeper::new(&sweep, &text, &loaded, &dir, parallel).map_err(|e| Failure::Usage(e.to_string()))?;
    eprintln!("sweep    {} trials of {}, in {}", trials.len(), sweep.recipe, dir.display());
    interrupt::install()?;
    let mut done = 0;
    let found = sweeper.run(&interrupt::requested, &mut |progress| match progress {
        Progress::Rung { rung, of, epochs, trials } if *of > 1 => {
            done = 0;
            eprintln!("rung     {} of {of}: {trials} trials to epoch {epochs}", rung + 1);
        }
        Progress::Rung { .. } => {}
        Progress::Trial(row) => {
            done += 1;
            eprintln!("{done:4}     {}", line(row));
        }
    });
    let found = found.map_err(Failure::failed)?;
    if !found.finished {
        eprintln!("interrupted; the same command goes on from here");
        return Err(Failure::Interrupted);
    }
    report(&found, &dir, args.json)
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
    text += &format!("results: {}, {}\n", file("results.csv"), file("sweep.svg"));
    // The winner's test accuracy is the only one that is told: nothing was chosen by it.
    if let Some(test) = found.rows.first().and_then(|r| r.last.as_ref()).map(|m| m.test_accuracy) {
        text += &format!("winner:  trial {}, test accuracy {test:.4}\n", found.rows[0].trial.number);
    }
    text += &format!("next:    lenet train {}", file("best.toml"));
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

fn line(row: &Row) -> String {
    let sets = sets(&row.trial.sets);
    let trial = row.trial.number;
    match (&row.status, &row.last) {
        (Status::Failed(reason), _) => format!("trial {trial:<4} failed: {reason}  ({sets})"),
        (status, Some(m)) => {
            let accuracy = m.val_accuracy.unwrap_or(0.0);
            let stopped = if *status == Status::Stopped { ", stopped" } else { "" };
            format!(
                "trial {trial:<4} val acc {accuracy:.4}  {} epochs{stopped}, {:.1} sec  {sets}",
                m.epoch, row.seconds
            )
        }
        _ => format!("trial {trial:<4} {sets}"),
    }
}

fn sets(sets: &[(String, String)]) -> String {
    sets.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
}
