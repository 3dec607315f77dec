#![doc = include_str!("../README.md")]
//!
//! # The modules, from the bottom up
//!
//! `simd` knows nothing of `gemm`; [`gemm`], `activation` and `passes` (dropout, maxout, norms)
//! know nothing of layers; `nn` (networks and predicting) knows nothing of training; `train` runs
//! the two phases on the team of `threads`; [`gradient`] shows and checks what training descends
//! along. [`data`] and [`metrics`] stand beside them, and [`reference`](mod@reference) is the same
//! network in plain loops.

mod activation;
pub mod data;
mod error;
pub mod gemm;
pub mod gradient;
mod io;
mod loss;
#[cfg(feature = "mmap")]
mod map;
mod matrix;
pub mod metrics;
mod nn;
mod optim;
mod passes;
mod random;
pub mod reference;
mod simd;
mod threads;
mod train;

pub use activation::Activation;
pub use error::{Error, Result};
pub use gemm::{Hardware, Precision};
pub use gradient::check_gradients;
pub use io::Pipeline;
pub use loss::Loss;
pub use matrix::{MatMut, MatRef, Matrix};
pub use nn::{
    Builder, Init, LayerShape, LayerSummary, Mlp, NormKind, NormParameters, Predictor, Summary,
};
pub use optim::{Adagrad, Adam, AdamW, Lion, Momentum, Optimizer, RmsProp, Schedule, Sgd};
pub use simd::Level;
pub use threads::Threads;
pub use train::{
    BatchTargets, Cancel, Control, EarlyStopping, Ending, Epoch, Epochs, Every, History, Progress,
    RateRange, StepRecord, Trainer, Training,
};
