//! The `lenet` command line: arguments, terminal and exit codes. What it does, the library does.

mod args;
mod aside;
mod bench;
mod cluster;
mod data;
mod doctor;
mod eval;
mod export;
mod failure;
mod gpu;
mod import;
mod inspect;
mod interrupt;
mod lr_find;
mod plan;
mod predict;
mod recipe;
mod report;
mod report_command;
mod serve;
mod summary;
mod sweep;
mod terminal;
mod train;
mod tui;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use failure::Failure;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => {
            cluster::leave();
            ExitCode::SUCCESS
        }
        Err(failure) => {
            cluster::let_the_first_tell();
            let code = failure.report();
            cluster::abort(code);
            ExitCode::from(code)
        }
    }
}

fn run(command: Command) -> Result<(), Failure> {
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
        Command::Report(args) => report_command::run(args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "lenet", &mut script);
            terminal::print(&String::from_utf8_lossy(&script))
        }
    }
}
