//! What has to be the same whichever way it is said.

#[path = "../support/mod.rs"]
mod support;
mod training;
