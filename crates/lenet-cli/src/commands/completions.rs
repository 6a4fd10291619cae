//! `lenet completions`.

use crate::args::Cli;
use crate::failure::Failure;
use crate::terminal;
use clap::CommandFactory;
use clap_complete::Shell;

pub fn run(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "lenet", &mut script);
    terminal::print(&String::from_utf8_lossy(&script))
}
