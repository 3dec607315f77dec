//! What a training run has for each layer besides its parameters.

use super::compile::Program;
use super::ops::Op;
use crate::error::Result;
use crate::gemm::bf16::{Along, Role, Split, SplitBy};
use crate::network::Mlp;
use crate::simd::{LINE, Line};
use crate::storage::PanelMatrix;

/// Values shaped like the parameters of a layer.
pub(crate) struct Slot {
    pub(crate) w: PanelMatrix,
    pub(crate) b: PanelMatrix,
}

/// What an update changes of a layer besides its parameters.
pub(crate) struct LayerState {
    /// columns x n_in: the transposed weights, where the backward pass multiplies them in f32; 0
    /// between the units of maxout
    pub(crate) wt: Option<PanelMatrix>,
    /// n_in x columns: the weights as operands, where the layer's products multiply bf16
    pub(crate) parts: Option<Split>,
    /// the optimiser's state
    pub(crate) slots: Vec<Slot>,
}

/// The operands of a layer whose products multiply bf16, besides its weights.
pub(crate) struct PartRows {
    pub(crate) by: SplitBy,
    /// batch x n_in
    pub(crate) x: Split,
    /// batch x columns: ∂L/∂z
    pub(crate) d: Split,
}

/// The sums over the batch that batch normalisation needs, one line per panel each: mean and variance
/// of z, and the means of g and g ⊙ ẑ.
pub(crate) struct Moments {
    pub(crate) values: [Vec<Line>; 2],
    pub(crate) gradients: [Vec<Line>; 2],
}

impl LayerState {
    pub(crate) fn new(net: &Mlp, i: usize, slots: usize, by: Option<SplitBy>) -> Result<Self> {
        let layer = &net.layers[i];
        let (n_in, columns) = (layer.n_in(), layer.columns());
        let slot = || Ok(Slot { w: layer.w.zeros_like()?, b: layer.b.zeros_like()? });
        let by = by.and_then(|by| by.of_layer(layer.w.rows(), columns));
        let parts = by.map(|by| -> Result<Split> {
            let w = Split::new(Role::Weights, (n_in, columns), by, along(i))?;
            Ok(w.side_by_side(layer.n_out()))
        });
        let wt = match by {
            Some(_) => None,
            None if i == 0 || layer.w.is_empty() => None,
            None => Some(layer.transposed_zeros()?),
        };
        let slots = (0..slots).map(|_| slot()).collect::<Result<_>>()?;
        Ok(LayerState { wt, parts: parts.transpose()?, slots })
    }
}

/// The tiles of a layer's deltas and weights. Nobody asks for the gradient of the network's inputs.
fn along(layer: usize) -> Along {
    if layer == 0 { Along::Rows } else { Along::Both }
}

impl PartRows {
    pub(crate) fn new(
        net: &Mlp,
        i: usize,
        rows: usize,
        by: Option<SplitBy>,
    ) -> Result<Option<Self>> {
        let (n_in, columns) = (net.layers[i].w.rows(), net.layers[i].columns());
        let Some(by) = by.and_then(|by| by.of_layer(n_in, columns)) else { return Ok(None) };
        let x = Split::new(Role::Inputs, (rows, n_in), by, Along::Both)?;
        Ok(Some(PartRows { by, x, d: Split::new(Role::Deltas, (rows, columns), by, along(i))? }))
    }
}

impl Moments {
    /// Those of a layer of a program; none without batch normalisation.
    pub(crate) fn new(net: &Mlp, program: &Program, layer: usize) -> Option<Moments> {
        let is_here = |op: &Op| op.batch_norm().is_some_and(|norm| norm.layer == layer);
        let panels = net.layers[layer].n_out().div_ceil(LINE);
        let lines = || [vec![Line::ZERO; panels], vec![Line::ZERO; panels]];
        let moments = || Moments { values: lines(), gradients: lines() };
        program.ops.iter().any(is_here).then(moments)
    }
}
