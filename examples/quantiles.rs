//! Quantiles.
fn main() {}
