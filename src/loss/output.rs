//! The inputs and outputs of a loss for a block of rows.

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
    /// y of one of `n` outputs. With a single output, y is the class itself.
    pub(super) fn value(self, row: usize, col: usize, n: usize) -> f32 {
        match self {
            BlockTargets::Classes(labels) if n == 1 => labels[row] as f32,
            BlockTargets::Classes(labels) => f32::from(u8::from(labels[row] as usize == col)),
            BlockTargets::Values(y) => y.panel(col / LINE)[row].0[col % LINE],
        }
    }
}

/// The weights of rows and classes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Weighting<'a> {
    /// The weight of each row of the block in the mean of the batch.
    pub(crate) rows: Option<&'a [f32]>,
    /// ε of label smoothing.
    pub(crate) smoothing: f32,
    /// One weight per class, or for binary cross-entropy one per output for y = 1; empty for none.
    pub(crate) classes: &'a [f32],
}

impl Weighting<'_> {
    /// The weight of a row; `default` if rows have none.
    pub(super) fn of_row(&self, row: usize, default: f32) -> f32 {
        self.rows.map_or(default, |rows| rows[row])
    }
}

/// A block of rows of the output layer.
pub(crate) struct Output<'a> {
    /// rows x n_out: the outputs; logits for a loss on logits, whose padding is overwritten.
    pub(crate) a: PanelsMut<'a>,
    /// rows x n_out: z of the output layer if σ′ is a function of z; none if it is a function of a.
    pub(crate) z: Option<Panels<'a>>,
    pub(crate) targets: BlockTargets<'a>,
    /// rows x n_out: ∂L/∂z, to be computed.
    pub(crate) d: PanelsMut<'a>,
    /// The loss of each row, to be computed.
    pub(crate) losses: &'a mut [f64],
    /// The weight of a row in the mean of the batch if rows have no weights: 1/batch.
    pub(crate) scale: f32,
    pub(crate) weighting: Weighting<'a>,
    pub(crate) activation: Activation,
}
