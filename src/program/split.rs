//! A layer whose products multiply bf16 parts: its operands besides their f32 originals.

use super::batch::Batch;
use super::evaluate::Ordered;
use super::step::Phase;
use super::workspace::{Tile, Workspace};
use crate::error::Result;
use crate::gemm::bf16::{Along, Gradient, Role, Scaling, Split, SplitBy};
use crate::network::Mlp;
use crate::simd::LINE;
use crate::storage::PanelsMut;

/// The operands of a layer's three products.
pub(crate) struct SplitLayer {
    pub(crate) by: SplitBy,
    /// batch x n_in
    pub(crate) x: Split,
    /// batch x columns: ∂L/∂z
    pub(crate) d: Split,
    /// n_in x columns
    pub(crate) w: Split,
}

impl SplitLayer {
    /// The operands of layer `i` for batches of up to `rows` rows; none where the layer uses f32.
    pub(crate) fn new(
        net: &Mlp,
        i: usize,
        rows: usize,
        by: Option<SplitBy>,
    ) -> Result<Option<Box<Self>>> {
        let (n_in, columns, n_out) =
            (net.layers[i].n_in(), net.layers[i].columns(), net.layers[i].n_out());
        let Some(by) = by.and_then(|by| by.of_layer(n_in, columns)) else { return Ok(None) };
        // Nobody asks for the deltas of the inputs.
        let along = if i == 0 { Along::Rows } else { Along::Both };
        Ok(Some(Box::new(SplitLayer {
            by,
            x: Split::new(Role::Inputs, (rows, n_in), by, Along::Both)?,
            d: Split::new(Role::Deltas, (rows, columns), by, along)?,
            w: Split::new(Role::Weights, (n_in, columns), by, along)?.side_by_side(n_out),
        })))
    }
}

/// A batch of bytes that the first layer's products take as they are.
#[derive(Clone, Copy)]
pub(crate) struct Bytes<'a> {
    pub(crate) rows: Ordered<'a, u8>,
    pub(crate) scaling: Scaling,
}

impl<'a> Bytes<'a> {
    /// The bytes of a batch, where it has them and nobody needs their values in f32: no f32 product,
    /// no dropout of inputs, no residual connection from them.
    pub(crate) fn new(net: &Mlp, ws: &Workspace, batch: Batch<'a>) -> Option<Self> {
        let from_inputs = |(i, layer): (usize, &crate::network::Dense)| layer.residual > i;
        let alone = ws.buffers.layers[0].split.is_some()
            && net.input_dropout == 0.0
            && !net.layers.iter().enumerate().any(from_inputs);
        let (rows, scale, shift) = batch.bytes().filter(|_| alone)?;
        Some(Bytes { rows, scaling: Scaling::new(scale, shift) })
    }
}

impl Workspace {
    /// The first layer's operands keep the sums of their columns from now on, which a shift of bytes
    /// is multiplied by. Runs without a shift do without.
    ///
    /// # Errors
    /// As [`Split::keep_sums`].
    pub(crate) fn keep_sums(&mut self, net: &Mlp) -> Result<()> {
        if let Some(split) = &mut self.buffers.layers[0].split
            && split.w.keep_sums()?
        {
            split.d.keep_sums()?;
            split.w.fill_all(net.level, net.layers[0].w.view());
        }
        Ok(())
    }
}

impl Phase<'_> {
    /// The gradient of a tile of a split layer, and what it updates.
    pub(crate) fn split_gradient<'b>(
        &self,
        layer: &'b SplitLayer,
        tile: &Tile,
        w: PanelsMut<'b>,
        slots: [Option<PanelsMut<'b>>; 2],
        split: Option<&'b Split>,
    ) -> Gradient<'b> {
        let at = (tile.inputs.start * LINE, tile.outputs.start);
        let SplitLayer { by, x, d, .. } = layer;
        let bytes = self.scaling(tile.layer);
        Gradient { by: *by, x, bytes, d, rows: self.rows, at, w, slots, split }
    }

    /// What the bytes stand for that a layer's operand holds, where it holds bytes.
    pub(crate) fn scaling(&self, layer: usize) -> Option<Scaling> {
        self.bytes.filter(|_| layer == 0).map(|bytes| bytes.scaling)
    }
}
