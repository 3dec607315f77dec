//! Matrices in memory: row-major matrices, panel matrices, their views, and conversions between them.

mod convert;
mod finite;
mod gather;
#[cfg(feature = "mmap")]
mod mapped;
mod matrix;
mod panel_matrix;
mod panels;

pub(crate) use convert::{bytes_of, fill_from_bytes};
pub(crate) use finite::is_finite;
pub(crate) use gather::{InputValue, RowSource, gather, magnitude, scatter};
#[cfg(feature = "mmap")]
pub(crate) use mapped::Mapped;
#[cfg(feature = "ndarray")]
pub(crate) use matrix::into_vec;
pub use matrix::{MatMut, MatRef, Matrix};
pub use panel_matrix::PanelMatrix;
pub(crate) use panel_matrix::{lanes, padded_rows};
pub(crate) use panels::{Panels, PanelsMut, RowsView, SharedPanels, SharedSlice};
