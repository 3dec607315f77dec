#![doc = include_str!("../README.md")]
//!
//! # The modules, from the bottom up
//!
//! Each module imports only from those before it, which `tests/imports` checks:
//!
//! | module | has |
//! |---|---|
//! | `error` | the errors of the crate |
//! | `text` | the text form of options that have several numbers, and values in `Debug` texts |
//! | `simd` | the operations of each SIMD level, and their choice at run time |
//! | `storage` | matrices in rows and in panels of 16 columns |
//! | `math` | exp, ln, sin, erf, hashes, random numbers |
//! | `threads` | teams of threads, and whether one thread or the team is faster |
//! | [`gemm`] | matrix products, with traits for what happens in their stores |
//! | `activation` | σ and σ′ |
//! | `passes` | norms, dropout, maxout, on blocks of rows |
//! | `optim` | update rules, schedules, penalties |
//! | `loss` | losses and their gradients |
//! | `network` | layers and their parameters |
//! | `format` | file formats: safetensors, protobuf, JSON, atomic writes |
//! | [`data`] | data sets and their readers |
//! | [`metrics`] | what an evaluation counts |
//! | `program` | a network as a list of operations: predictions, evaluations, the training step |
//! | `io` | models and ONNX files |
//! | `run` | epochs, callbacks, checkpoints |
//! | [`reference`](mod@reference) | the same network in plain loops |
//! | [`gradient`] | the gradients of a batch, and their check |
//!
//! # Options as text
//!
//! [`Optimizer`], [`Schedule`], [`Loss`] (no function of one's own), [`Layer`], [`Activation`], [`Init`],
//! [`Threads`], [`Precision`] and [`Level`] are written by `Display` and read by `FromStr`, for command
//! lines and logs: `momentum:lr=0.1,momentum=0.9,nesterov=true`. The texts have all numbers, and numbers
//! keep their bits.
//!
//! # Conversions from and to other crates
//!
//! - Feature `ndarray`: a [`MatRef`] or [`MatMut`] is a view of an array (`MatRef::try_from(&array)?`), a
//!   [`Matrix`] becomes an array and back (`into`), and arrays become data sets
//!   (`Dataset::from_ndarray`); without a copy where the layouts agree.
//! - Feature `serde`: optimisers, [`Schedule`], [`Loss`] (no function of one's
//!   own), [`Layer`], [`Activation`], [`Init`], [`Threads`],
//!   [`Precision`] and [`EarlyStopping`], [`History`] and its parts, and the evaluations of [`metrics`]
//!   implement `Serialize` and `Deserialize`. A configuration has all its numbers, so that a default of
//!   a later version does not change it, and an unknown one is an error; its ranges are checked where it
//!   is used, as those of constructors. Numbers keep their bits; NaN and infinity are `"NaN"`, `"inf"`
//!   and `"-inf"` in text formats. (`serde_json` reads the last bit of a number right with its feature
//!   `float_roundtrip`.)

#![cfg_attr(docsrs, feature(doc_cfg))]
// Not among the lints of the workspace: what an example makes public is no interface.
#![deny(
    missing_debug_implementations,
    clippy::must_use_candidate,
    clippy::return_self_not_must_use
)]

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
mod text;
mod threads;

pub use activation::Activation;
pub use error::{Error, Result};
pub use gemm::{Hardware, Precision};
pub use gradient::check_gradients;
pub use io::Pipeline;
pub use loss::{CustomLoss, Loss};
pub use network::{
    Init, Layer, LayerKind, LayerShape, LayerSummary, Mlp, MlpBuilder, MlpMut, MlpRef, NormKind,
    NormParameters, Summary,
};
pub use optim::{Adagrad, Adam, AdamW, Lion, Momentum, Optimizer, RmsProp, Schedule, Sgd};
pub use program::{BatchTargets, Predictor};
pub use run::{
    Cancel, CheckpointInterval, EarlyStopping, Epoch, Epochs, History, Progress, RangeTest,
    StepRecord, StopReason, Trainer, Training,
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
