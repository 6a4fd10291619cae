//! What a person or a program at the terminal sees, and how they stop a command.

mod aside;
pub mod data_progress;
pub mod interrupt;
mod output;
mod screen;
pub mod start;
pub mod sweep_progress;
pub mod train_progress;
pub mod tui;

pub use output::{bar, colour, columns, print, print_json, print_line};
