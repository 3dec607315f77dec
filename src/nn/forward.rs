//! The forward pass of a block of rows through a whole network, in two buffers that take turns.

use super::Mlp;
use crate::Result;
use crate::activation::Activation;
use crate::gemm::{Forward, Panels, PanelsMut, Tensor, forward, padded_rows};
use crate::simd::LINE;
use crate::threads::Team;

/// Rows of a block: 16 tiles of 6 rows, so that each panel of weights that comes from L2 or L3 is
/// used for 25,000 cycles, while the block's activations (96 KiB a 256 columns) stay in L2.
pub(crate) const BLOCK_ROWS: usize = 96;

/// What a forward pass leaves of the output layer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outputs {
    /// Its activation's values; logits for softmax, which is the caller's.
    OfLayer,
    /// Logits, whatever the activation.
    Logits,
}

/// One worker's buffers.
pub(crate) struct Scratch {
    x: Tensor,
    ping: Tensor,
    pong: Tensor,
}

/// Panels of a part of a buffer.
fn part(buffer: &mut Tensor, rows: usize, cols: usize) -> PanelsMut<'_> {
    PanelsMut::new(buffer.lines_mut(), rows, cols, padded_rows(rows))
}

impl Scratch {
    /// Buffers for blocks of up to `rows` rows.
    pub(crate) fn new(net: &Mlp, rows: usize) -> Result<Scratch> {
        let widest = net.layers().map(|l| l.n_out).max().unwrap_or(0);
        let buffer = |cols: usize| {
            // As many lines as the largest block needs; a smaller block has its own geometry.
            let lines = padded_rows(rows).max(padded_rows(BLOCK_ROWS.min(rows)));
            Tensor::zeros(lines, cols, lines)
        };
        Ok(Scratch { x: buffer(net.n_in())?, ping: buffer(widest)?, pong: buffer(widest)? })
    }

    /// The outputs of a block of rows that `fill` writes. The second answer is a buffer of the same
    /// shape, free to use.
    pub(crate) fn forward(
        &mut self,
        net: &Mlp,
        rows: usize,
        outputs: Outputs,
        fill: impl FnOnce(PanelsMut),
    ) -> (PanelsMut<'_>, PanelsMut<'_>) {
        self.forward_by(net, rows, outputs, fill, |f| forward(net.level, f))
    }

    /// The same, with each layer's outputs shared out among a team: each thread reads its own part
    /// of the weights, the same in every call, so that they stay in its cache.
    ///
    /// # Errors
    /// As [`Team::run`].
    pub(crate) fn forward_by_columns(
        &mut self,
        net: &Mlp,
        rows: usize,
        fill: impl FnOnce(PanelsMut),
        team: &mut Team,
    ) -> Result<PanelsMut<'_>> {
        let mut all = Ok(());
        let (out, _) = self.forward_by(net, rows, Outputs::OfLayer, fill, |f| {
            let Forward { x, w, bias, mut out, activation, .. } = f;
            let layer = team.run_panels(&mut out, |range, out| {
                let (w, bias) = (w.panels(range.clone()), &bias[range]);
                forward(net.level, Forward { x, w, bias, out, z: None, activation });
            });
            if layer.is_err() {
                all = layer;
            }
        });
        all.map(|()| out)
    }

    fn forward_by(
        &mut self,
        net: &Mlp,
        rows: usize,
        outputs: Outputs,
        fill: impl FnOnce(PanelsMut),
        mut layer_forward: impl FnMut(Forward),
    ) -> (PanelsMut<'_>, PanelsMut<'_>) {
        fill(part(&mut self.x, rows, net.n_in()));
        let (mut from, mut to) = (&mut self.ping, &mut self.pong);
        for (i, layer) in net.layers.iter().enumerate() {
            let x: Panels = if i == 0 {
                Panels::new(self.x.lines(), rows, layer.n_in(), padded_rows(rows))
            } else {
                Panels::new(from.lines(), rows, layer.n_in(), padded_rows(rows))
            };
            let out = part(to, rows, layer.n_out());
            let activation = match layer.activation {
                Activation::Softmax => Activation::Identity,
                _ if outputs == Outputs::Logits && i + 1 == net.layers.len() => {
                    Activation::Identity
                }
                other => other,
            };
            let (w, bias) = (layer.w.view(), layer.bias());
            layer_forward(Forward { x, w, bias, out, z: None, activation });
            (from, to) = (to, from);
        }
        let n_out = net.n_out();
        (part(from, rows, n_out), part(to, rows, n_out))
    }
}

/// Splits `rows` rows into blocks of equal size for a team: as few as [`BLOCK_ROWS`] allows, but a
/// whole number a thread. Answers the rows of a block.
pub(crate) fn block_rows(rows: usize, threads: usize) -> usize {
    let rounds = rows.div_ceil(threads * BLOCK_ROWS).max(1);
    rows.div_ceil(threads * rounds).max(1)
}

/// The class of a row of outputs: the first of the largest values.
pub(crate) fn argmax(m: Panels, row: usize) -> u32 {
    let value = |c: usize| m.panel(c / LINE)[row].0[c % LINE];
    (1..m.cols).fold(0, |best, c| if value(c) > value(best) { c } else { best }) as u32
}
