//! Different ways to the same result, as properties over random data, networks and options.

mod data;
mod runs;
#[path = "../support/mod.rs"]
mod support;
mod training;
