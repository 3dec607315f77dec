//! Predictions with a network that changes between them, by the calling thread.

use super::check::check_shape;
use super::ops::Outputs;
use super::plan::Plan;
use super::predictor::predict_block;
use super::row::RowProducts;
use super::scratch::{BLOCK_ROWS, Scratch};
use crate::error::{Error, Result};
use crate::network::Mlp;
use crate::simd::check_float_environment;
use crate::storage::{MatMut, MatRef};

/// What predictions with one network need besides it. It holds nothing of the weights but whether they are
/// finite, which steps keep; it is made anew where others replace them.
pub(crate) struct Inference {
    plan: Plan,
    scratch: Scratch,
    /// Rows that the scratch has room for.
    block: usize,
    /// The short way of a single row, where there is one.
    row: Option<RowProducts>,
}

impl Inference {
    /// For calls of about this many rows; more take several blocks.
    pub(crate) fn new(net: &Mlp, rows: usize) -> Result<Inference> {
        let (plan, block) = (Plan::new(net, Outputs::OfLayer), rows.clamp(1, BLOCK_ROWS));
        let scratch = Scratch::new(net, &plan, block, None)?;
        let row = RowProducts::new(&plan, net.level);
        Ok(Inference { plan, scratch, block, row })
    }

    /// Writes the outputs of each row of `x` (rows x n_in) to `out` (rows x n_out).
    pub(crate) fn predict(&mut self, net: &Mlp, x: MatRef, mut out: MatMut) -> Result<()> {
        let rows = x.rows();
        if rows == 0 || x.cols() != net.n_in() {
            let expected = format!("at least one row of {}", net.n_in());
            return Err(Error::shape("inputs", expected, format!("{rows} rows of {}", x.cols())));
        }
        check_shape("outputs", (rows, net.n_out()), (out.rows(), out.cols()))?;
        check_float_environment()?;
        if let (1, Some(row)) = (rows, &self.row) {
            row.forward(net, &mut self.scratch, x, out.row_mut(0));
            return Ok(());
        }
        for first in (0..rows).step_by(self.block) {
            let last = rows.min(first + self.block);
            let (x, out) = (x.row_range(first, last), out.row_range_mut(first, last));
            predict_block((net, &self.plan, None), &mut self.scratch, x, out);
        }
        Ok(())
    }
}
