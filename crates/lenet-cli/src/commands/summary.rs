//! `lenet summary`.

use crate::args::SummaryArgs;
use crate::failure::Failure;
use crate::plan;
use crate::terminal::{print, print_json};
use lenet::spec::Summary;

pub fn run(args: SummaryArgs) -> Result<(), Failure> {
    let network = plan::network_of(&args.what, &args.set)?;
    let summary = Summary::new(&network);
    if args.json {
        return print_json(&serde_json::to_value(&summary).map_err(Failure::failed)?);
    }
    print(&format!("{}\n", summary.to_string().trim_end()))
}
