//! Files of networks: models, their parameters alone, pipelines, ONNX.
//!
//! Every file is treated as hostile: nothing is allocated because a header says so, every product
//! of sizes is checked, and what does not fit the format exactly is an [`Error`](crate::Error).
//! `docs/reliability.md` specifies the formats for a second reader.

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
