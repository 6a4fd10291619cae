//! A file for each command: what it does with what was asked.

mod bench;
mod completions;
mod data;
mod doctor;
mod eval;
mod export;
mod import;
mod inspect;
mod lr_find;
mod predict;
mod recipe;
mod report;
mod serve;
mod summary;
mod sweep;
mod train;

use crate::args::Command;
use crate::devices::cluster;
use crate::failure::Failure;

/// Does what was asked.
pub fn run(command: Command) -> Result<(), Failure> {
    if !matches!(command, Command::Train(_) | Command::Sweep(_) | Command::Doctor { .. }) {
        cluster::check_alone("only train and sweep are work for several: start this without mpirun")?;
    }
    match command {
        Command::Train(args) => train::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Summary(args) => summary::run(args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Data(command) => data::run(command),
        Command::Recipe(command) => recipe::run(command),
        Command::Doctor { json } => doctor::run(json),
        Command::Bench(args) => bench::run(args),
        Command::LrFind(args) => lr_find::run(args),
        Command::Export(args) => export::run(args),
        Command::Import(args) => import::run(args),
        Command::Sweep(args) => sweep::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Report(args) => report::run(args),
        Command::Completions { shell } => completions::run(shell),
    }
}
