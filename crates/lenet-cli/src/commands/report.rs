//! `lenet report`, and the report that a training leaves.

use crate::args::{ReportArgs, ReportSplit};
use crate::failure::{Failure, file_error};
use crate::inputs;
use crate::terminal::{print_json, print_line};
use lenet::data::Loaded;
use lenet::report::{Part, ReportError, RunReport, html};
use lenet::thousands;
use lenet::train::layout::REPORT;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

pub fn run(args: ReportArgs) -> Result<(), Failure> {
    let mut runs = args.runs.iter().map(|dir| RunReport::read(dir)).collect::<Result<Vec<_>, _>>()?;
    let part = match args.split {
        ReportSplit::Test => Part::Test,
        ReportSplit::Val => Part::Validation,
    };
    // Several runs on the same data share it.
    let mut datasets: BTreeMap<(String, String), Loaded> = BTreeMap::new();
    for run in &mut runs {
        let source = args.data.clone().unwrap_or_else(|| run.recipe.data.source.clone());
        let mut options = inputs::options(&run.recipe);
        options.shape = run.model.as_ref().map(|m| m.spec.input).or(options.shape);
        let key = (source.clone(), format!("{options:?}"));
        if !datasets.contains_key(&key) {
            datasets.insert(key.clone(), inputs::dataset(&source, &options)?);
        }
        if let Some(loaded) = datasets.get(&key) {
            run.examine(loaded, part, args.threads)?;
        }
    }
    let page = html(&runs)?;
    let path = args.output.unwrap_or_else(|| args.runs[0].join(REPORT));
    write(&path, &page)?;
    if args.json {
        return print_json(&json!({ "report": path, "runs": args.runs, "bytes": page.len() }));
    }
    print_line(&format!("{}, {} kB", path.display(), thousands(page.len().div_ceil(1000) as u64)))
}

/// The report of a run that has just ended, into its directory; the images are still at hand.
pub fn after_training(dir: &Path, loaded: &Loaded, threads: usize) -> Result<(), Failure> {
    let mut run = RunReport::read(dir)?;
    run.examine(loaded, Part::Test, threads)?;
    write(&dir.join(REPORT), &html(&[run])?)
}

fn write(path: &Path, page: &str) -> Result<(), Failure> {
    lenet::write_atomic(path, page.as_bytes()).map_err(file_error("write", path))
}

impl From<ReportError> for Failure {
    fn from(e: ReportError) -> Self {
        match e {
            ReportError::Run(e) => e.into(),
            ReportError::Recipe(e) => e.into(),
            ReportError::Data(_) | ReportError::Runs(_) => Failure::Usage(e.to_string()),
            e => Failure::Failed(e.to_string()),
        }
    }
}
