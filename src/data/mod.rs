//! Data: in-memory sets of samples, their order, and strict readers of the files they come in.
//!
//! Every reader treats its file as hostile: nothing is allocated because a header says so, every
//! product of sizes is checked, and what does not fit the format exactly is an [`Error`] that
//! names the file, what was expected and what came.
//!
//! [`Error`]: crate::Error

#![deny(unsafe_code)]
// A module that reads no foreign bytes may allow what it needs, with its reason.
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
mod arrays;
mod augment;
mod batches;
mod buffer;
mod chunked_vec;
#[cfg(feature = "csv")]
mod csv;
mod dataset;
#[cfg(feature = "digits")]
mod digits;
#[cfg(feature = "gzip")]
mod gunzip;
mod idx;
#[cfg(feature = "mmap")]
#[allow(unsafe_code, reason = "the caller promises that nobody changes a mapped file")]
mod map;
pub mod mnist;
#[cfg(feature = "ndarray")]
mod ndarray;
mod npy;
#[cfg(feature = "npz")]
mod npz;
mod one_hot;
mod source;
mod split;
mod standardize;
mod stream;
pub mod synthetic;
mod targets;
#[cfg(feature = "npz")]
mod zip;

pub use crate::format::{Array, ArrayData};
pub use arrays::{read_safetensors, read_safetensors_file};
pub use augment::{Augment, Augmenter};
pub(crate) use batches::in_order;
pub use batches::shuffled;
#[cfg(feature = "csv")]
pub use csv::{Column, Csv, CsvData, Missing};
pub use dataset::{Dataset, Features};
#[cfg(feature = "digits")]
pub use digits::digits;
pub use idx::{read_idx, read_idx_file};
pub use npy::{read_npy, read_npy_file};
#[cfg(feature = "npz")]
pub use npz::Npz;
pub use one_hot::one_hot;
pub use split::Folds;
pub use standardize::Standardizer;
pub use stream::{Chunks, Stream};
pub use targets::Targets;
