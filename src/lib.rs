//! Multilayer perceptrons on the CPU: fast, exact, a good guest.

mod error;
mod matrix;
mod random;
pub mod reference;

pub use error::{Error, Result};
pub use matrix::{MatMut, MatRef, Matrix};
