//! `lenet summary`.

use crate::args::SummaryArgs;
use crate::failure::Failure;
use crate::plan;
use crate::terminal::{print, print_json};
use lenet::inspect::Summary;
use lenet::spec::Recipe;
use std::path::Path;

pub fn run(args: SummaryArgs) -> Result<(), Failure> {
    let path = Path::new(&args.what);
    let network = if path.is_dir() {
        if !args.set.set.is_empty() {
            return Err(Failure::Usage(format!("{}: --set changes recipes, a model is as it is", args.what)));
        }
        crate::eval::load(path)?.network
    } else {
        plan::network(&Recipe::load_with(&args.what, &args.set.set)?)?
    };
    let summary = Summary::new(&network);
    if args.json {
        return print_json(&serde_json::to_value(&summary).map_err(Failure::failed)?);
    }
    print(&format!("{}\n", summary.to_string().trim_end()))
}
