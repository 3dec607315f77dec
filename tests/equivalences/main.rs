//! Different ways to the same result, as properties over random data, networks and options.

#[path = "../support/mod.rs"]
mod support;

mod data;
mod training;
