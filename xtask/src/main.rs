//! The developer's chores, one verb each.
fn main() {}
