//! Files: models and checkpoints in the safetensors format, models as ONNX, and how they reach the
//! disk.
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

mod arrays;
mod atomic;
mod entry;
mod hash;
mod header;
mod json;
mod layer;
mod layer_names;
mod model;
mod onnx;
mod onnx_proto;
mod pieces;
mod pipeline;
mod protobuf;
mod safetensors;
mod writer;

pub use arrays::{read_safetensors, read_safetensors_file};
pub(crate) use atomic::{remove_unfinished, write_atomically};
pub(crate) use hash::Hasher;
pub(crate) use model::{CHECKPOINT, STATE, empty_model};
pub use pipeline::Pipeline;
pub(crate) use safetensors::{Contents, read_file, read_stream};
pub(crate) use writer::{Stored, Values, encode};
