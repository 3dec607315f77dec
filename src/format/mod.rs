//! File formats: safetensors, JSON, protobuf, and how a file reaches the disk.
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

mod array;
mod atomic;
mod chunked_bytes;
mod element_type;
mod entry;
#[cfg(feature = "serde")]
pub(crate) mod float;
mod half;
mod header;
mod json;
mod protobuf;
mod reserve;
mod safetensors;
#[cfg(test)]
#[path = "../../tests/support/folder.rs"]
pub(crate) mod test_folder;
mod writer;

pub(crate) use array::read_array_data;
pub use array::{Array, ArrayData};
pub(crate) use atomic::{remove_unfinished, write_atomically};
pub(crate) use chunked_bytes::STREAM;
pub(crate) use element_type::ElementType;
pub(crate) use half::{from_bf16, from_f16};
pub(crate) use protobuf::Message;
pub(crate) use reserve::with_room;
pub(crate) use safetensors::{Contents, Target, read_file, read_stream};
pub(crate) use writer::{Stored, Values, encode, write, write_file};
