//! The forward pass of a block of rows through a whole network, in two buffers that take turns.

use super::Mlp;
use crate::Result;
use crate::activation::Activation;
use crate::gemm::bf16::{self, Along, Role, Split, SplitBy};
use crate::gemm::{
    ActiveInputs, Forward, LOOK_FROM, Panels, PanelsMut, Tensor, forward, padded_rows,
};
use crate::nn::{Dense, NormKind};
use crate::passes::{add, copy, maxout};
use crate::simd::{LINE, Level, Line};
use crate::threads::Team;

/// Rows of a block: 16 tiles of 6 rows, so that each panel of weights that comes from L2 or L3 is
/// used for 25,000 cycles, while the block's activations (96 KiB a 256 columns) stay in L2.
pub(crate) const BLOCK_ROWS: usize = 96;

/// Blocks of rows without many zeros after which the next one is looked at: what a look costs, a
/// 20th of a product with one row, is then half a percent.
const LOOK_AGAIN: usize = 10;

/// The weights of a network as operands of bf16 products, none where a layer uses f32.
pub(crate) struct SplitWeights {
    by: SplitBy,
    layers: Vec<Option<Split>>,
}

impl SplitWeights {
    pub(crate) fn new(net: &Mlp, by: SplitBy) -> Result<SplitWeights> {
        let split = |l: &Dense| {
            let (n_in, columns) = (l.n_in(), l.columns());
            let Some(by) = by.of_layer(n_in, columns) else { return Ok(None) };
            let mut w = Split::new(Role::Weights, (n_in, columns), by, Along::Rows)?;
            w.fill_all(net.level, l.w.view());
            Ok(Some(w))
        };
        Ok(SplitWeights { by, layers: net.layers.iter().map(split).collect::<Result<_>>()? })
    }

    /// Operands for the inputs of each layer that is split, for blocks of up to `rows` rows.
    fn inputs(&self, net: &Mlp, rows: usize) -> Result<Vec<Option<Split>>> {
        let layers = self.layers.iter().zip(&net.layers);
        let inputs = |(w, l): (&Option<Split>, &Dense)| {
            let inputs = || Split::new(Role::Inputs, (rows, l.n_in()), self.by, Along::Columns);
            w.is_some().then(inputs).transpose()
        };
        layers.map(inputs).collect()
    }
}

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
    pub(super) x: Tensor,
    pub(super) ping: Tensor,
    pub(super) pong: Tensor,
    /// Outputs of layers that a residual connection will add; empty for the others.
    saved: Vec<Option<Tensor>>,
    /// A number a row that layer normalisation leaves; not read.
    scales: Vec<Line>,
    pub(super) inputs: ActiveInputs,
    /// Blocks until the next look for inputs that are zero.
    look_in: usize,
    /// Whether the first layer's weights are finite, so that such inputs may be left out; looked at
    /// when it first matters.
    finite: Option<bool>,
    /// The inputs of layers whose weights are split.
    split: Vec<Option<Split>>,
}

/// Panels of a part of a buffer.
fn part(buffer: &mut Tensor, rows: usize, cols: usize) -> PanelsMut<'_> {
    PanelsMut::new(buffer.lines_mut(), rows, cols, padded_rows(rows))
}

impl Scratch {
    /// Buffers for blocks of up to `rows` rows.
    pub(crate) fn new(net: &Mlp, rows: usize, split: Option<&SplitWeights>) -> Result<Scratch> {
        let widest = net.layers.iter().map(Dense::columns).max().unwrap_or(0);
        let buffer = |cols: usize| {
            // As many lines as the largest block needs; a smaller block has its own geometry.
            let lines = padded_rows(rows).max(padded_rows(BLOCK_ROWS.min(rows)));
            Tensor::zeros(lines, cols, lines)
        };
        let save =
            |(i, l): (usize, &Dense)| net.is_source(i).then(|| buffer(l.n_out())).transpose();
        Ok(Scratch {
            x: buffer(net.n_in())?,
            ping: buffer(widest)?,
            pong: buffer(widest)?,
            saved: net.layers.iter().enumerate().map(save).collect::<Result<_>>()?,
            scales: vec![Line::ZERO; rows],
            inputs: ActiveInputs::new(net.n_in()),
            look_in: if net.n_in() < LOOK_FROM { usize::MAX } else { 0 },
            finite: None,
            split: split.map_or(Ok(Vec::new()), |split| split.inputs(net, rows))?,
        })
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
        self.forward_by(net, rows, outputs, fill, |_, f, _| forward(net.level, f))
    }

    /// [`Scratch::forward`] with the products of split weights.
    pub(crate) fn forward_split(
        &mut self,
        net: &Mlp,
        rows: usize,
        weights: &SplitWeights,
        fill: impl FnOnce(PanelsMut),
    ) -> PanelsMut<'_> {
        // Whether the inputs of the next layer are split already, by the store of the last one.
        let mut is_split = false;
        let product = |i: usize, f: Forward, inputs: &mut [Option<Split>]| {
            let (own, next) = inputs[i..].split_first_mut().map_or((None, None), |(own, next)| {
                (own.as_mut(), next.first_mut().and_then(Option::as_mut))
            });
            let (Some(x), Some(w)) = (own, &weights.layers[i]) else {
                is_split = false;
                return forward(net.level, f);
            };
            if !is_split {
                x.fill_all(net.level, f.x);
            }
            let next = next.filter(|_| !net.layers[i].has_passes() && net.layers[i].residual == 0);
            is_split = next.is_some();
            let Forward { bias, out, z, activation, .. } = f;
            let (by, bytes, first) = (weights.by, None, 0);
            let f = bf16::Forward { by, x, bytes, first, w, bias, out, z, activation, next: None };
            bf16::forward_alone(net.level, f, next);
        };
        self.forward_by(net, rows, Outputs::OfLayer, fill, product).0
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
        let (out, _) = self.forward_by(net, rows, Outputs::OfLayer, fill, |_, f, _| {
            let Forward { x, inputs, w, bias, mut out, activation, .. } = f;
            let layer = team.run_panels(&mut out, |range, out| {
                let (w, bias) = (w.panels(range.clone()), &bias[range]);
                forward(net.level, Forward { x, inputs, w, bias, out, z: None, activation });
            });
            if layer.is_err() {
                all = layer;
            }
        });
        all.map(|()| out)
    }

    /// Looks which inputs are zero in all rows, at once after rows where many were, else now and
    /// then.
    pub(super) fn look(&mut self, net: &Mlp, rows: usize) {
        if self.look_in > 0 {
            self.look_in -= 1;
            return;
        }
        let x = Panels::new(self.x.lines(), rows, net.n_in(), padded_rows(rows));
        if !self.inputs.look(net.level, x) {
            self.look_in = LOOK_AGAIN;
        } else if !*self.finite.get_or_insert_with(|| net.layers[0].w.is_finite()) {
            self.inputs.take_all();
            self.look_in = usize::MAX;
        }
    }

    fn forward_by(
        &mut self,
        net: &Mlp,
        rows: usize,
        outputs: Outputs,
        fill: impl FnOnce(PanelsMut),
        mut layer_forward: impl FnMut(usize, Forward, &mut [Option<Split>]),
    ) -> (PanelsMut<'_>, PanelsMut<'_>) {
        fill(part(&mut self.x, rows, net.n_in()));
        self.look(net, rows);
        let (mut from, mut to) = (&mut self.ping, &mut self.pong);
        for (i, layer) in net.layers.iter().enumerate() {
            let x: Panels = if i == 0 {
                Panels::new(self.x.lines(), rows, layer.n_in(), padded_rows(rows))
            } else {
                Panels::new(from.lines(), rows, layer.n_in(), padded_rows(rows))
            };
            let out = part(to, rows, layer.columns());
            let activation = match layer.activation {
                Activation::Softmax => Activation::Identity,
                _ if outputs == Outputs::Logits && i + 1 == net.layers.len() => {
                    Activation::Identity
                }
                _ if layer.norm.is_some() => Activation::Identity,
                other => other,
            };
            let (w, bias) = (layer.w.view(), layer.bias());
            let inputs = (i == 0 && self.inputs.is_sparse()).then_some(&self.inputs);
            let f = Forward { x, inputs, w, bias, out, z: None, activation };
            layer_forward(i, f, &mut self.split);
            if layer.has_passes() {
                // The layer's input is read no more; what the passes need of it is saved.
                let (z, y) = (part(to, rows, layer.columns()), part(from, rows, layer.n_out()));
                finish(net.level, layer, z, y, &mut self.scales[..rows]);
            } else {
                (from, to) = (to, from);
            }
            if layer.residual > 0 {
                let source = match i.checked_sub(layer.residual) {
                    None => &self.x,
                    Some(i) => match &self.saved[i] {
                        Some(saved) => saved,
                        None => unreachable!("every source is saved"),
                    },
                };
                let source = Panels::new(source.lines(), rows, layer.n_out(), padded_rows(rows));
                add(net.level, source, part(from, rows, layer.n_out()));
            }
            if let Some(saved) = &mut self.saved[i] {
                let now = part(from, rows, layer.n_out());
                copy(now.view(), part(saved, rows, layer.n_out()));
            }
        }
        let n_out = net.n_out();
        (part(from, rows, n_out), part(to, rows, n_out))
    }
}

/// From a layer's z to what comes out of its norm and activation.
fn finish(level: Level, layer: &Dense, z: PanelsMut, mut y: PanelsMut, scales: &mut [Line]) {
    let Some(norm) = &layer.norm else { return maxout(level, z.view(), y) };
    let out = y.reborrow();
    match norm.kind {
        NormKind::Layer => layer.layer_norm().forward(level, z, out, scales),
        NormKind::Batch => {
            layer.batch_norm(norm.running(0), norm.running(1)).forward(level, z, out);
        }
    }
    (0..y.n_panels()).for_each(|p| layer.activation.forward_lines(level, y.panel_mut(p)));
}

impl Dense {
    /// Whether more than a product and an element-wise activation lie between input and output.
    pub(super) fn has_passes(&self) -> bool {
        self.norm.is_some() || self.activation.pieces() > 1
    }
}

impl Mlp {
    /// Whether a residual connection adds the outputs of layer `i` to those of a later one.
    pub(crate) fn is_source(&self, i: usize) -> bool {
        self.layers.iter().enumerate().any(|(to, l)| l.residual > 0 && i + l.residual == to)
    }
}

/// The class of a row of outputs: the first of the largest values.
pub(crate) fn argmax(m: Panels, row: usize) -> u32 {
    let value = |c: usize| m.panel(c / LINE)[row].0[c % LINE];
    (1..m.cols).fold(0, |best, c| if value(c) > value(best) { c } else { best }) as u32
}
