//! The three products of backpropagation on panel matrices, each with an epilogue that finishes
//! the result while it is in registers: forward X·W, backward D·Wᵀ, and the gradient Xᵀ·D.
//!
//! The numeric contract: every element is summed over blocks of 256 k, each block one chain of
//! fused multiply-adds from zero in increasing k, the block sums added in order. Tile shapes, row
//! splits and threads cannot change a bit, and AVX2 and AVX-512 agree.

mod active;
mod bare;
pub(crate) mod bf16;
mod bias;
mod blocking;
mod epilogue;
mod microkernel;
mod portable;
mod row;
mod rows;
mod store;
mod weights;

pub use crate::storage::PanelMatrix;
pub(crate) use active::{ActiveInputs, MIN_SCAN_INPUTS};
pub use bare::{xtd, xw};
pub use bf16::{Hardware, Precision, SplitProduct};
pub(crate) use bias::{BiasBlock, update_bias};
pub(crate) use blocking::K_BLOCK;
pub(crate) use row::RowProduct;
pub(crate) use rows::{BackwardInput, Forward, backward_input, forward};
pub(crate) use store::{ElementwiseOp, FusedOp, StoreGradient, UpdateRule};
pub(crate) use weights::{Transposed, WeightBlock, transpose, update_weights};
