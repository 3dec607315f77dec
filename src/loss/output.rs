//! What a loss takes and gives: a block of rows of the output layer.

use crate::activation::Activation;
use crate::simd::LINE;
use crate::storage::{Panels, PanelsMut};

/// The targets of a block of rows.
#[derive(Clone, Copy)]
pub(crate) enum BlockTargets<'a> {
    /// The class of each row.
    Classes(&'a [u32]),
    /// rows x n_out values, in panels.
    Values(Panels<'a>),
}

impl BlockTargets<'_> {
    /// y of one of `n` outputs. A single output for two classes should be the class.
    pub(super) fn value(self, row: usize, col: usize, n: usize) -> f32 {
        match self {
            BlockTargets::Classes(labels) if n == 1 => labels[row] as f32,
            BlockTargets::Classes(labels) => f32::from(u8::from(labels[row] as usize == col)),
            BlockTargets::Values(y) => y.panel(col / LINE)[row].0[col % LINE],
        }
    }
}

/// How much rows and classes count.
#[derive(Clone, Copy, Default)]
pub(crate) struct Weighting<'a> {
    /// The weight of each row of the block in the mean of the batch.
    pub(crate) rows: Option<&'a [f32]>,
    /// ε of label smoothing.
    pub(crate) smoothing: f32,
    /// A weight per class, or for binary cross-entropy one for the positives of each output; empty
    /// for none.
    pub(crate) classes: &'a [f32],
}

impl Weighting<'_> {
    /// The weight of a row; `otherwise` where rows have none.
    pub(super) fn of_row(&self, row: usize, otherwise: f32) -> f32 {
        self.rows.map_or(otherwise, |rows| rows[row])
    }
}

/// A block of output rows for the backward pass.
pub(crate) struct Output<'a> {
    /// rows x n_out: the outputs; logits for a loss on logits, whose padding is overwritten.
    pub(crate) a: PanelsMut<'a>,
    /// rows x n_out: z of the output layer where σ′ is a function of z; none where it is one of a.
    pub(crate) z: Option<Panels<'a>>,
    pub(crate) targets: BlockTargets<'a>,
    /// rows x n_out: becomes ∂L/∂z.
    pub(crate) d: PanelsMut<'a>,
    /// Becomes the loss of each row.
    pub(crate) losses: &'a mut [f64],
    /// The weight of a row in the mean of the batch where rows have no weights: 1/batch.
    pub(crate) scale: f32,
    pub(crate) weighting: Weighting<'a>,
    pub(crate) activation: Activation,
}
