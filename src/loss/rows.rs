//! Losses that are computed row by row, in f64: one chain per row, so the bits do not depend on the level
//! or on how a batch is split.

use super::output::{BlockTargets, Output};
use crate::gemm::ElementwiseOp;
use crate::simd::{LINE, Level};
use crate::storage::{Panels, PanelsMut};

/// A row of the output layer.
pub(super) struct Row<'a, 'b> {
    row: usize,
    a: Panels<'a>,
    targets: BlockTargets<'a>,
    d: &'b mut PanelsMut<'a>,
    /// The weight of the row in the mean of the batch.
    scale: f64,
}

impl Row<'_, '_> {
    pub(super) fn n_out(&self) -> usize {
        self.a.cols
    }

    pub(super) fn output(&self, col: usize) -> f64 {
        f64::from(self.a.panel(col / LINE)[self.row].0[col % LINE])
    }

    /// A target value, or the element of the one-hot row of a label.
    pub(super) fn target(&self, col: usize) -> f64 {
        f64::from(self.targets.value(self.row, col, self.a.cols))
    }

    /// Sets ∂ℓ/∂ŷ of the row's loss ℓ.
    pub(super) fn set_gradient(&mut self, col: usize, gradient: f64) {
        let value = (gradient * self.scale) as f32;
        self.d.panel_mut(col / LINE)[self.row].0[col % LINE] = value;
    }
}

/// Computes the losses of a block with `loss`, which sets the gradient of every output of its row and
/// returns its loss; and the deltas from them.
pub(super) fn each_row(level: Level, o: Output, mut loss: impl FnMut(&mut Row) -> f64) {
    let Output { a, z, targets, mut d, losses, scale, weighting, activation } = o;
    let a: Panels = a.view();
    for (row, of_row) in losses.iter_mut().enumerate() {
        let scale = f64::from(weighting.of_row(row, scale));
        *of_row = loss(&mut Row { row, a, targets, d: &mut d, scale });
    }
    deltas(level, activation, z.unwrap_or(a), d);
}

/// Multiplies ∂L/∂ŷ by σ′, with zeros in the padding.
pub(super) fn deltas(
    level: Level,
    activation: crate::activation::Activation,
    kept: Panels,
    mut d: PanelsMut,
) {
    for p in 0..d.n_panels() {
        let cols = LINE.min(d.cols - p * LINE);
        let lines = d.panel_mut(p);
        lines.iter_mut().for_each(|line| line.0[cols..].fill(0.0));
        activation.backward_lines(level, kept.panel(p), lines);
    }
}
