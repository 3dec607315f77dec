//! The three products of backpropagation on panel matrices, each with an epilogue that finishes
//! the result while it is in registers: forward X·W, backward D·Wᵀ, and the gradient Xᵀ·D.
//!
//! The numeric contract: every element is summed over blocks of 256 k, each block one chain of
//! fused multiply-adds from zero in increasing k, the block sums added in order. Tile shapes, row
//! splits and threads cannot change a bit, and AVX2 and AVX-512 agree.
//!
//! The functions here are the bare products, for benches, tests and users who need only these.

mod active;
pub(crate) mod bf16;
mod bias;
mod blocking;
mod epilogue;
mod microkernel;
mod portable;
mod row;
mod rows;
mod weights;

pub use crate::storage::PanelMatrix;
pub(crate) use active::{ActiveInputs, LOOK_FROM};
pub use bf16::{Hardware, Precision, SplitProduct};
pub(crate) use bias::{BiasBlock, update_bias};
pub(crate) use blocking::K_BLOCK;
pub(crate) use row::RowProduct;
pub(crate) use rows::{BackwardInput, Forward, backward_input, forward};
pub(crate) use weights::{Transposed, WeightBlock, transpose, update_weights};

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::optim::Keep;
use crate::simd::{Level, Line};

/// Checks the shapes of `out (m x n) = a (m x k) · b (k x n)`.
fn check(
    what: &str,
    (m, ka): (usize, usize),
    (kb, n): (usize, usize),
    out: &PanelMatrix,
) -> Result<()> {
    if ka != kb {
        let got = format!("{ka} and {kb}");
        return Err(Error::shape(what, "equal inner dimensions", got));
    }
    if (out.rows(), out.cols()) != (m, n) {
        let got = format!("{} x {}", out.rows(), out.cols());
        return Err(Error::shape(what, format!("a result of {m} x {n}"), got));
    }
    Ok(())
}

/// out = x·w: x is m x k, w is k x n, out is m x n.
///
/// # Errors
/// [`Error::Shape`] when the shapes do not fit.
pub fn xw(level: Level, x: &PanelMatrix, w: &PanelMatrix, out: &mut PanelMatrix) -> Result<()> {
    check("xw", (x.rows(), x.cols()), (w.rows(), w.cols()), out)?;
    let bias = vec![Line::ZERO; w.view().n_panels()];
    forward(
        level,
        Forward {
            inputs: None,
            x: x.view().into(),
            w: w.view(),
            bias: &bias,
            out: out.view_mut(),
            z: None,
            activation: Activation::Identity,
        },
    );
    Ok(())
}

/// out = xᵀ·d: x is b x m, d is b x n, out is m x n.
///
/// # Errors
/// [`Error::Shape`] when the shapes do not fit.
pub fn xtd(level: Level, x: &PanelMatrix, d: &PanelMatrix, out: &mut PanelMatrix) -> Result<()> {
    check("xtd", (x.cols(), x.rows()), (d.rows(), d.cols()), out)?;
    let block = WeightBlock {
        x: x.view(),
        d: d.view(),
        active: &[],
        w: out.view_mut(),
        slots: [None, None],
        wt: None,
    };
    update_weights(level, block, Keep);
    Ok(())
}
