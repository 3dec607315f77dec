//! Multilayer perceptrons on the CPU: fast, exact, a good guest.

mod activation;
mod error;
mod matrix;
mod random;
mod simd;

pub use activation::Activation;
pub use error::{Error, Result};
pub use matrix::{MatMut, MatRef, Matrix};
pub use simd::Level;
