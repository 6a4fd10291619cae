//! `lenet bench`.

use crate::args::BenchArgs;
use crate::failure::Failure;
use crate::plan;
use crate::terminal::{print_json, print_line};
use lenet::bench::{self, BenchOptions, BenchRow};
use lenet::engine::Path;
use lenet::engine::resolve_threads;
use lenet::spec::Recipe;

pub fn run(args: BenchArgs) -> Result<(), Failure> {
    let recipe = Recipe::load_with(&args.what, &args.set.set)?;
    let network = plan::network(&recipe)?;
    let path = Path::detect().map_err(|e| Failure::Usage(e.to_string()))?;
    let threads = resolve_threads(args.threads);
    let options = if args.quick {
        BenchOptions { repeats: 3, burst: 0.02, steps: 60, threads }
    } else {
        BenchOptions { repeats: 7, burst: 0.1, steps: 235, threads }
    };
    let mut written = Ok(());
    let augment = Some(&recipe.augment).filter(|a| a.is_active());
    bench::run(&network, augment, path, &options, &mut |row| {
        if written.is_ok() {
            written = print_row(&row, args.json);
        }
    })
    .map_err(Failure::failed)?;
    written
}

fn print_row(row: &BenchRow, json: bool) -> Result<(), Failure> {
    if json {
        return print_json(&serde_json::to_value(row).map_err(Failure::failed)?);
    }
    let (value, unit) = match row.seconds {
        s if s < 1e-3 => (s * 1e6, "µs"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s => (s, "s"),
    };
    let (group, name, share) = (row.group, &row.name, row.share_of_peak * 100.0);
    print_line(format!("{group:10} {name:44} {value:9.3} {unit:2} {share:6.1} %  {}", row.note).trim_end())
}
