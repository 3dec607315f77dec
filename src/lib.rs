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
mod format;
pub mod gemm;
pub mod gradient;
mod io;
mod loss;
mod math;
pub mod metrics;
mod network;
mod optim;
mod passes;
mod program;
pub mod reference;
mod run;
mod simd;
mod storage;
mod threads;

pub use activation::Activation;
pub use error::{Error, Result};
pub use gemm::{Hardware, Precision};
pub use gradient::check_gradients;
pub use io::Pipeline;
pub use loss::Loss;
pub use network::{
    Init, Layer, LayerKind, LayerShape, LayerSummary, Mlp, MlpBuilder, NormKind, NormParameters,
    Summary,
};
pub use optim::{Adagrad, Adam, AdamW, Lion, Momentum, Optimizer, RmsProp, Schedule, Sgd};
pub use program::{BatchTargets, Predictor};
pub use run::{
    Cancel, Control, EarlyStopping, Ending, Epoch, Epochs, Every, History, Progress, RateRange,
    StepRecord, Trainer, Training,
};
pub use simd::Level;
pub use storage::{MatMut, MatRef, Matrix};
pub use threads::Threads;

/// The frozen digests once more, in the unit tests: their levels include the one in software.
#[cfg(test)]
#[path = "../tests/contract.rs"]
mod contract;
#[cfg(test)]
extern crate self as deltarule;
