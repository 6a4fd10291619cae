//! `lenet lr-find`: which learning rates a recipe can bear.

use crate::args::LrFindArgs;
use crate::devices::cpu;
use crate::failure::{Failure, file_error};
use crate::text::quoted;
use crate::{inputs, plan, terminal};
use lenet::engine::Engine;
use lenet::spec::Recipe;
use lenet::train::{LrRange, Session, lr_find};
use serde_json::json;
use std::path::Path;

pub fn run(args: LrFindArgs) -> Result<(), Failure> {
    let mut sets = args.set.set.clone();
    sets.extend(args.data.as_deref().map(plan::source));
    let recipe = Recipe::load_with(&args.recipe, &sets)?;
    let loaded = inputs::dataset_of(&recipe)?;
    let session = Session::new(&recipe, &loaded)?;
    let mut engine = cpu::engine(session.network().clone(), args.threads)?;
    let range = LrRange { from: args.from, to: args.to, steps: args.steps };
    eprintln!("lr-find  {} steps from {} to {}, {}", range.steps, range.from, range.to, engine.device());
    let curve = lr_find(session.recipe(), &loaded.train, &mut engine, range, &mut |_| {})
        .map_err(|e| Failure::Usage(e.to_string()))?;
    std::fs::create_dir_all(&args.out).map_err(file_error("create", &args.out))?;
    let write = |name: &str, text: String| {
        let path = args.out.join(name);
        let written = lenet::write_atomic(&path, text.as_bytes());
        written.map_err(file_error("write", &path)).map(|()| path)
    };
    let (csv, svg) = (write("lr-find.csv", curve.to_csv())?, write("lr-find.svg", curve.to_svg())?);
    if args.json {
        let points = curve.points.len();
        let object = json!({ "suggestion": curve.suggestion, "diverged": curve.diverged, "steps": points, "csv": csv, "svg": svg });
        return terminal::print_json(&object);
    }
    let end = if curve.diverged { "the loss left" } else { "the loss never left: try a higher --to" };
    let last = curve.points.last().map_or(0.0, |p| p.lr);
    let text = match curve.suggestion {
        Some(lr) => format!(
            "suggestion: {lr:.2e} (steepest fall); {end} at {last:.2e}\ncurve: {} and {}\nnext:  lenet train {} --set train.lr={lr:.2e}",
            csv.display(),
            svg.display(),
            quoted(Path::new(&args.recipe)),
        ),
        None => format!(
            "no suggestion: the loss never fell; {end} at {last:.2e}\ncurve: {} and {}",
            csv.display(),
            svg.display()
        ),
    };
    terminal::print_line(&text)
}
