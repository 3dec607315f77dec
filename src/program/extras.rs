//! What layers with more than a product and an activation need beside the buffers of every layer:
//! dropout, maxout, norms, residual connections.

use crate::activation::{Activation, Keeps};
use crate::error::Result;
use crate::network::{Mlp, NormKind};
use crate::storage::{PanelMatrix, padded_rows};

/// The extra buffers of a layer.
pub(crate) struct Extras {
    /// batch x columns: z of maxout; z, then ẑ, then g ⊙ ẑ of a norm
    pub(crate) z: Option<PanelMatrix>,
    /// batch x n_out: σ(z), where backward needs it and the outputs are something else
    pub(crate) kept: Option<PanelMatrix>,
    /// batch x n_out: ∂L/∂outputs, where it is more than a step to ∂L/∂z
    pub(crate) delta: Option<PanelMatrix>,
    /// batch x n_out: the delta behind dropout and activation, where it cannot be in `delta`
    pub(crate) inner: Option<PanelMatrix>,
    /// batch x 1: what layer normalisation multiplied each row by
    pub(crate) scales: Option<PanelMatrix>,
    /// One value a neuron each, in panels of its own: mean and variance of z over the batch, and
    /// means of g and g ⊙ ẑ; for batch normalisation
    pub(crate) moments: Option<PanelMatrix>,
}

impl Extras {
    /// The extras of layer `i`, if it needs any.
    pub(crate) fn new(net: &Mlp, i: usize, rows: usize) -> Result<Option<Box<Self>>> {
        let layer = &net.layers[i];
        let maxout = layer.activation.pieces() > 1;
        let kind = layer.norm.as_ref().map(|norm| norm.kind);
        let (dropout, residual) = (layer.dropout > 0.0, layer.residual > 0);
        let joins = residual || net.is_source(i);
        if !(maxout || kind.is_some() || dropout || joins) {
            return Ok(None);
        }
        let matrices = |needed: bool, width: usize, n: usize| {
            let zeros = || PanelMatrix::side_by_side(rows, width, n, padded_rows(rows));
            needed.then(zeros).transpose()
        };
        let batch = |needed, width| matrices(needed, width, 1);
        // Of what survives dropout the sign is left, and the rest has no delta.
        let by_sign = matches!(layer.activation, Activation::Relu | Activation::LeakyRelu { .. });
        let by_output = layer.activation.keeps() == Keeps::Output
            && layer.activation != Activation::Identity
            && !maxout;
        let (n_out, has_z) = (layer.n_out(), maxout || kind.is_some());
        let moments = (kind == Some(NormKind::Batch))
            .then(|| PanelMatrix::side_by_side(1, n_out, 4, 1))
            .transpose()?;
        Ok(Some(Box::new(Extras {
            z: matrices(has_z, n_out, layer.activation.pieces())?,
            kept: batch(by_output && (residual || dropout && !by_sign), n_out)?,
            delta: batch(has_z || joins, n_out)?,
            inner: batch(has_z && residual, n_out)?,
            scales: batch(kind == Some(NormKind::Layer), 1)?,
            moments,
        })))
    }

    /// Where the delta behind dropout and activation goes: for plain layers, `d` is ∂L/∂z.
    pub(crate) fn inner<'a>(&'a self, d: &'a PanelMatrix) -> &'a PanelMatrix {
        match &self.delta {
            Some(delta) if self.z.is_some() => self.inner.as_ref().unwrap_or(delta),
            _ => d,
        }
    }
}
