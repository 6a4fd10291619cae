//! The `lenet` command line.
fn main() {}
