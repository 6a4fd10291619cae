//! `lenet recipe`: presets and files of recipes.

use crate::args::RecipeCommand;
use crate::failure::Failure;
use crate::{plan, terminal};
use lenet::spec::{Document, PRESETS, Recipe, differences, json_schema};
use serde_json::json;

pub fn run(command: RecipeCommand) -> Result<(), Failure> {
    match command {
        RecipeCommand::List { json } => list(json),
        RecipeCommand::Show { recipe, set } => terminal::print(&Recipe::load_with(&recipe, &set.set)?.to_toml()),
        RecipeCommand::Diff { a, b, json } => diff(&a, &b, json),
        RecipeCommand::Validate { recipes } => validate(&recipes),
        RecipeCommand::Schema => terminal::print(&format!("{:#}\n", json_schema())),
    }
}

fn list(as_json: bool) -> Result<(), Failure> {
    for (name, text) in PRESETS {
        // The comment at the head of a preset says what it is.
        let about: Vec<&str> = text.lines().map_while(|l| l.strip_prefix('#')).map(str::trim).collect();
        let about = about.join(" ");
        match as_json {
            true => terminal::print_json(&json!({ "name": name, "about": about }))?,
            false => terminal::print_line(&format!("{name:<16}{about}"))?,
        }
    }
    Ok(())
}

fn diff(a: &str, b: &str, as_json: bool) -> Result<(), Failure> {
    for d in differences(&Recipe::load(a)?, &Recipe::load(b)?) {
        if as_json {
            terminal::print_json(&json!({ "key": d.key, "a": d.a, "b": d.b }))?;
            continue;
        }
        let side = |value: Option<String>| value.unwrap_or_else(|| "(none)".into());
        terminal::print_line(&format!("{}: {} -> {}", d.key, side(d.a), side(d.b)))?;
    }
    Ok(())
}

fn validate(recipes: &[String]) -> Result<(), Failure> {
    let mut wrong = false;
    for name in recipes {
        let problems = match Document::load(name) {
            Ok(document) => plan::problems(&document),
            Err(error) => vec![error],
        };
        for problem in &problems {
            eprintln!("error: {problem}");
        }
        wrong |= !problems.is_empty();
        if problems.is_empty() {
            terminal::print_line(&format!("{name}: ok"))?;
        }
    }
    if wrong { Err(Failure::Told) } else { Ok(()) }
}
