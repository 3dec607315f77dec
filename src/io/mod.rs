//! Files of networks: models, their parameters alone, pipelines, ONNX.
//!
//! The rules of `format` hold here too: every file is treated as hostile.

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects
    )
)]

mod layer_names;
mod metadata;
mod model;
mod onnx;
mod onnx_graph;
mod pipeline;

pub(crate) use metadata::{CHECKPOINT, STATE};
pub(crate) use model::empty_model;
pub use pipeline::Pipeline;
