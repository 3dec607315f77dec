//! Multilayer perceptrons on the CPU: fast, exact, a good guest.

pub mod data;
mod error;
mod matrix;
pub mod metrics;
mod random;

pub use error::{Error, Result};
pub use matrix::{MatMut, MatRef, Matrix};
