//! The web page: files that are part of the program, and what only the page asks for.

pub mod files;
pub mod look;
pub mod processes;
pub mod references;
pub mod runs;
pub mod training;
