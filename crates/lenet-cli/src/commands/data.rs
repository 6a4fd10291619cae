//! `lenet data`: list, fetch, check and show.

use crate::args::{DataCommand, Split};
use crate::failure::{Failure, file_error};
use crate::inputs;
use crate::terminal::{self, print, print_json, print_line};
use crate::text::bytes;
use lenet::data::{self, CacheOptions, Loaded, Options};
use lenet::engine::Path;
use lenet::spec::Recipe;
use lenet::thousands;
use serde_json::json;

pub fn run(command: DataCommand) -> Result<(), Failure> {
    match command {
        DataCommand::List { json } => list(json),
        DataCommand::Fetch { name } => fetch(&name),
        DataCommand::Check { name } => check(&name),
        DataCommand::Show { name, output, split, per_class, augment, set } => {
            let recipe = match augment {
                Some(recipe) => Some(Recipe::load_with(&recipe, &set.set)?),
                None if set.set.is_empty() => None,
                None => return Err(Failure::Usage("--set changes a recipe: name it by --augment".into())),
            };
            show(&name, output.as_deref(), split, usize::from(per_class), recipe)
        }
    }
}

fn list(json: bool) -> Result<(), Failure> {
    let options = CacheOptions::from_env();
    let listed = data::list(&options);
    for data::Listed { entry, cached } in &listed {
        if json {
            print_json(&json!({
                "name": entry.name, "title": entry.title, "classes": entry.classes, "shape": entry.shape,
                "train": entry.train, "test": entry.test, "bytes": entry.bytes(), "cached": cached,
                "licence": entry.licence, "citation": entry.citation,
            }))?;
        } else {
            let counts = format!("{} + {}", thousands(entry.train as u64), thousands(entry.test as u64));
            let size = bytes(entry.bytes());
            let state = if *cached { "cached" } else { "-" };
            print_line(&format!(
                "{:16} {counts:>17} images {:>3} classes {size:>10}  {state:6}",
                entry.name,
                entry.classes.len()
            ))?;
        }
    }
    if let (false, Some(dir)) = (json, &options.dir) {
        eprintln!("the cache is {}", dir.display());
    }
    Ok(())
}

fn fetch(name: &str) -> Result<(), Failure> {
    let Loaded { train, test, name, provenance, checksums, .. } = inputs::dataset(name, &Options::default())?;
    let counts = [train.len(), test.len()].map(|n| thousands(n as u64));
    print_line(&format!("{name}: {} training and {} test images, from {provenance}", counts[0], counts[1]))?;
    checksums.iter().try_for_each(|(file, sha256)| print_line(&format!("{sha256}  {file}")))
}

fn check(name: &str) -> Result<(), Failure> {
    if data::catalog::find(name).is_none() && (name.contains(':') || std::path::Path::new(name).is_dir()) {
        return check_folder(name);
    }
    let files = data::check(name, &CacheOptions::from_env())?;
    for file in &files {
        let verdict = match (&file.fault, &file.expected) {
            (Some(fault), _) => fault.clone(),
            (None, Some(sha256)) => format!("good, SHA-256 {sha256}"),
            (None, None) => "its size is right; no checksum is known".into(),
        };
        print_line(&format!("{}: {verdict}", file.path.display()))?;
    }
    match files.iter().filter(|f| f.fault.is_some()).count() {
        0 => Ok(()),
        n => Err(Failure::Failed(format!("{n} of {} files are not good: lenet data fetch {name}", files.len()))),
    }
}

/// Reads all of a folder's pictures, and names every bad one.
fn check_folder(name: &str) -> Result<(), Failure> {
    let loaded = inputs::dataset(name, &Options { shape: None, skip_bad: true })?;
    let (train, test) = (loaded.train, loaded.test);
    for (index, class) in train.classes.iter().enumerate() {
        let count = |labels: &[u16]| labels.iter().filter(|l| usize::from(**l) == index).count();
        print_line(&format!("{class}: {} training and {} test images", count(&train.labels), count(&test.labels)))?;
    }
    loaded.skipped.iter().try_for_each(|bad| print_line(bad))?;
    match loaded.skipped.len() {
        0 => Ok(()),
        n => {
            Err(Failure::Failed(format!("{n} pictures cannot be read: mend or remove them, or train with --skip-bad")))
        }
    }
}

fn show(
    name: &str,
    output: Option<&std::path::Path>,
    split: Split,
    per_class: usize,
    recipe: Option<Recipe>,
) -> Result<(), Failure> {
    let Loaded { train, test, .. } = inputs::dataset(name, &Options { shape: None, skip_bad: true })?;
    let mut dataset = if split == Split::Train { train } else { test };
    if let Some(recipe) = recipe {
        let path = Path::detect().map_err(|e| Failure::Usage(e.to_string()))?;
        dataset = recipe.augment.examples(path, recipe.train.seed, &dataset, per_class);
    }
    let Some(output) = output else {
        return print(&data::contact::terminal(&dataset, per_class, terminal::columns(), terminal::colour()));
    };
    let bytes = data::contact::png(&data::contact::sheet(&dataset, per_class)).map_err(Failure::failed)?;
    lenet::write_atomic(output, &bytes).map_err(file_error("write", output))?;
    print_line(&format!("{}: {} images a class", output.display(), per_class))
}
