//! A bare product, for benches, tests and users who need only this.

use super::operand::{Along, Role, Split};
use super::precision::{Precision, SplitBy};
use super::product::{Forward, forward};
use crate::error::{Error, Result};
use crate::gemm::bare::check;
use crate::gemm::store::Identity;
use crate::simd::{Level, Line};
use crate::storage::PanelMatrix;
use std::fmt;

/// x·w with operands that were split beforehand, as a network's are.
pub struct SplitProduct {
    level: Level,
    by: SplitBy,
    x: Split,
    w: Split,
    bias: Vec<Line>,
}

/// The level, the operands' shapes and how they are split.
impl fmt::Debug for SplitProduct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let SplitProduct { level, by, x, w, bias: _ } = self;
        let mut text = f.debug_struct("SplitProduct");
        text.field("level", level).field("by", by);
        text.field("x", &x.shape()).field("w", &w.shape()).finish()
    }
}

impl SplitProduct {
    /// Splits x (m x k) and w (k x n) for a precision.
    ///
    /// # Errors
    /// [`Error::Shape`] when the shapes do not fit; [`Error::Config`] when products of this
    /// precision are f32 here (see [`Precision::hardware`]), or the memory cannot be had.
    pub fn new(
        level: Level,
        precision: Precision,
        x: &PanelMatrix,
        w: &PanelMatrix,
    ) -> Result<Self> {
        if x.cols() != w.rows() {
            let got = format!("{} and {}", x.cols(), w.rows());
            return Err(Error::shape("split product", "equal inner dimensions", got));
        }
        let Some(by) = precision.split(level) else {
            let reason = format!("products of {precision} are f32 here, and f32 is not split");
            return Err(Error::config("precision", reason));
        };
        let split = |m: &PanelMatrix, role, along| -> Result<Split> {
            let mut split = Split::new(role, (m.rows(), m.cols()), by, along)?;
            split.fill_all(level, m.view());
            Ok(split)
        };
        let bias = vec![Line::ZERO; w.view().n_panels()];
        let (x, w) =
            (split(x, Role::Inputs, Along::Columns)?, split(w, Role::Weights, Along::Rows)?);
        Ok(SplitProduct { level, by, x, w, bias })
    }

    /// out = x·w, m x n.
    ///
    /// # Errors
    /// [`Error::Shape`] when `out` has another shape.
    pub fn multiply(&self, out: &mut PanelMatrix) -> Result<()> {
        check("split product", self.x.shape(), self.w.shape(), out)?;
        let SplitProduct { level, by, x, w, bias } = self;
        let (out, activation) = (out.view_mut(), Identity);
        let (by, x, bytes, z, next) = (*by, x.view(), None, None, None);
        forward(*level, Forward { by, x, bytes, w, bias, out, z, activation, next });
        Ok(())
    }
}
