//! Multilayer perceptrons on the CPU: fast, exact, a good guest.

mod activation;
pub mod data;
mod error;
pub mod gemm;
mod matrix;
mod optim;
pub mod metrics;
mod random;
pub mod reference;
mod simd;

pub use activation::Activation;
pub use error::{Error, Result};
pub use matrix::{MatMut, MatRef, Matrix};
pub use simd::Level;
