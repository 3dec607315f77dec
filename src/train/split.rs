//! A layer whose products multiply bf16 parts: its operands besides their f32 originals.

use crate::Result;
use crate::gemm::bf16::{Along, Role, Split, SplitBy};
use crate::nn::Mlp;

/// The operands of a layer's three products.
pub(super) struct SplitLayer {
    pub(super) by: SplitBy,
    /// batch x n_in
    pub(super) x: Split,
    /// batch x columns: ∂L/∂z
    pub(super) d: Split,
    /// n_in x columns
    pub(super) w: Split,
}

impl SplitLayer {
    /// The operands of layer `i` for batches of up to `rows` rows; none where the layer uses f32.
    pub(super) fn new(
        net: &Mlp,
        i: usize,
        rows: usize,
        by: Option<SplitBy>,
    ) -> Result<Option<Box<Self>>> {
        let (n_in, columns) = (net.layers[i].n_in(), net.layers[i].columns());
        let Some(by) = by.and_then(|by| by.of_layer(n_in, columns)) else { return Ok(None) };
        // Nobody asks for the deltas of the inputs.
        let along = if i == 0 { Along::Rows } else { Along::Both };
        Ok(Some(Box::new(SplitLayer {
            by,
            x: Split::new(Role::Inputs, (rows, n_in), by, Along::Both)?,
            d: Split::new(Role::Deltas, (rows, columns), by, along)?,
            w: Split::new(Role::Weights, (n_in, columns), by, along)?,
        })))
    }
}
