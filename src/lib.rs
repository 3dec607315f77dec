//! Multilayer perceptrons on the CPU: fast, exact, a good guest.

mod activation;
pub mod data;
mod error;
pub mod gemm;
mod io;
mod loss;
mod matrix;
pub mod metrics;
mod nn;
mod optim;
mod random;
pub mod reference;
mod simd;
mod threads;
mod train;

pub use activation::Activation;
pub use error::{Error, Result};
pub use loss::Loss;
pub use matrix::{MatMut, MatRef, Matrix};
pub use nn::{Builder, Init, LayerShape, Mlp, Predictor};
pub use optim::{Adam, Momentum, Optimizer, Sgd};
pub use simd::Level;
pub use threads::Threads;
pub use train::{BatchTargets, Control, Epoch, History, Progress, Trainer, Training};
