//! `lenet predict`.

use crate::args::PredictArgs;
use crate::devices::cpu;
use crate::failure::{Failure, file_error};
use crate::inputs;
use crate::terminal::{print_json, print_line};
use lenet::data::picture::{self, Invert, Prepared};
use lenet::engine::CpuEngine;
use lenet::model::Model;
use serde_json::json;
use std::path::{Path, PathBuf};

/// Endings of the files that are taken from a folder.
const ENDINGS: [&str; 5] = ["png", "jpg", "jpeg", "webp", "bmp"];

pub fn run(args: PredictArgs) -> Result<(), Failure> {
    let model = Model::load(&args.model)?;
    let mut pictures = Vec::new();
    for path in &args.pictures {
        if path.is_dir() { pictures.extend(folder(path)?) } else { pictures.push(path.clone()) }
    }
    let mut engine = cpu::engine_of(&model, 1)?;
    let invert = match (args.invert, args.no_invert) {
        (true, _) => Invert::Always,
        (_, true) => Invert::Never,
        _ => Invert::Auto,
    };
    let mut bad = 0;
    for path in &pictures {
        match predict(path, &model, &mut engine, invert) {
            Ok((prepared, ranking)) => tell(&args, path, &model, &prepared, &ranking)?,
            // One bad picture of many does not stop the others.
            Err(Failure::Failed(message)) => {
                eprintln!("error: {message}");
                bad += 1;
            }
            Err(other) => return Err(other),
        }
    }
    if bad > 0 { Err(Failure::Told) } else { Ok(()) }
}

/// The pictures of a folder by name.
fn folder(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(file_error("list", dir))? {
        let path = entry.map_err(file_error("list", dir))?.path();
        let ending = path.extension().map(|e| e.to_string_lossy().to_lowercase());
        if ending.is_some_and(|e| ENDINGS.contains(&e.as_str())) {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(Failure::Failed(format!(
            "{}: no picture here (known endings: {})",
            dir.display(),
            ENDINGS.join(", ")
        )));
    }
    found.sort();
    Ok(found)
}

fn predict(
    path: &Path,
    model: &Model,
    engine: &mut CpuEngine,
    invert: Invert,
) -> Result<(Prepared, Vec<(usize, f64)>), Failure> {
    let bytes = inputs::picture(path)?;
    let named = |e: picture::PictureError| Failure::Failed(format!("{}: {e}", path.display()));
    let prepared = picture::prepare(&bytes, model.spec.input, invert).map_err(named)?;
    let logits = model.logits_of(engine, &prepared.pixels, &[0]).map_err(Failure::failed)?;
    let mut ranking: Vec<_> = lenet::softmax(&logits).enumerate().collect();
    ranking.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok((prepared, ranking))
}

fn tell(
    args: &PredictArgs,
    path: &Path,
    model: &Model,
    prepared: &Prepared,
    ranking: &[(usize, f64)],
) -> Result<(), Failure> {
    let class = |index: usize| model.classes.get(index).map_or("?", String::as_str);
    let top = ranking.iter().take(args.top);
    if args.json {
        let entry = |&(i, p): &(usize, f64)| json!({"class": class(i), "index": i, "probability": p});
        return print_json(&json!({
            "file": path, "inverted": prepared.inverted, "width": prepared.original.0, "height": prepared.original.1,
            "top": top.map(entry).collect::<Vec<_>>(),
        }));
    }
    if prepared.inverted && !args.invert {
        eprintln!("{}: dark on light, taken as its negative (--no-invert takes it as it is)", path.display());
    }
    let words: Vec<_> = top.map(|&(i, p)| format!("{} {p:.3}", class(i))).collect();
    print_line(&format!("{}: {}", path.display(), words.join(", ")))
}
