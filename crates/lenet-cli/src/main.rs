//! The `lenet` command line: arguments, terminal and exit codes. What it does, the library does.

mod args;
mod commands;
mod devices;
mod failure;
mod inputs;
mod plan;
mod terminal;
mod text;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use devices::cluster;
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
        Command::Train(args) => commands::train::run(args),
        Command::Eval(args) => commands::eval::run(args),
        Command::Predict(args) => commands::predict::run(args),
        Command::Summary(args) => commands::summary::run(args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Data(command) => commands::data::run(command),
        Command::Recipe(command) => commands::recipe::run(command),
        Command::Doctor { json } => commands::doctor::run(json),
        Command::Bench(args) => commands::bench::run(args),
        Command::LrFind(args) => commands::lr_find::run(args),
        Command::Export(args) => commands::export::run(args),
        Command::Import(args) => commands::import::run(args),
        Command::Sweep(args) => commands::sweep::run(args),
        Command::Serve(args) => commands::serve::run(args),
        Command::Report(args) => commands::report::run(args),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "lenet", &mut script);
            terminal::print(&String::from_utf8_lossy(&script))
        }
    }
}
