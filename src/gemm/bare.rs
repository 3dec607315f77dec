//! The bare products, for benches, tests and users who need only these.

use super::rows::{Forward, forward};
use super::store::{Identity, StoreGradient};
use super::weights::{WeightBlock, update_weights};
use crate::error::{Error, Result};
use crate::simd::{Level, Line};
use crate::storage::PanelMatrix;

/// Checks the shapes of `out (m x n) = a (m x k) · b (k x n)`.
pub(super) fn check(
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
            activation: Identity,
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
    update_weights(level, block, StoreGradient);
    Ok(())
}
