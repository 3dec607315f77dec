//! Multilayer perceptrons on the CPU: fast, exact, a good guest.

mod error;
mod matrix;
mod random;
mod simd;

pub use error::{Error, Result};
pub use matrix::{MatMut, MatRef, Matrix};
pub use simd::Level;
