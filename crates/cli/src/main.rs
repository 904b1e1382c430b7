//! The disksmith program.
fn main() {}
