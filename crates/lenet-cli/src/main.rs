//! The `lenet` command line: arguments, terminal and exit codes. What it does, the library does.
//!
//! Imports go one way: `commands`, then `plan`, `inputs`, `terminal`; `devices` beside them; `args`, `text` and `failure`
//! below all. `terminal` and `devices` know neither the commands nor each other.

mod args;
mod commands;
mod devices;
mod failure;
mod inputs;
mod plan;
mod terminal;
mod text;

use args::Cli;
use clap::Parser;
use devices::cluster;
use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::run(Cli::parse().command) {
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
