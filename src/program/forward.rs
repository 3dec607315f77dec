//! The forward pass of a block of rows through a whole network, in two buffers that take turns.

use super::zeros::Zeros;
use crate::activation::Activation;
use crate::error::Result;
use crate::gemm::bf16::{self, Along, Role, Split, SplitBy};
use crate::gemm::{Forward, forward};
use crate::network::{Dense, Mlp, NormKind};
use crate::passes::{add, copy, maxout};
use crate::simd::{LINE, Level, Line};
use crate::storage::{MatRef, PanelMatrix, Panels, PanelsMut, RowsView, gather, padded_rows};
use crate::threads::Team;

/// Rows of a block: 16 tiles of 6 rows, so that each panel of weights that comes from L2 or L3 is
/// used for 25,000 cycles, while the block's activations (96 KiB a 256 columns) stay in L2.
pub(crate) const BLOCK_ROWS: usize = 96;

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
            let w = Split::new(Role::Weights, (n_in, columns), by, Along::Rows)?;
            let mut w = w.side_by_side(l.n_out());
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

/// The inputs of a block of rows.
#[derive(Clone, Copy)]
pub(crate) enum Inputs<'a> {
    /// A caller's rows, read where they lie.
    RowMajor(MatRef<'a>),
    /// So many rows, which [`Scratch::fill`] has put into the scratch.
    Gathered(usize),
}

/// One worker's buffers.
pub(crate) struct Scratch {
    /// Inputs that cannot be read where they lie.
    x: PanelMatrix,
    pub(crate) ping: PanelMatrix,
    pub(crate) pong: PanelMatrix,
    /// Outputs of layers that a residual connection will add; empty for the others.
    saved: Vec<Option<PanelMatrix>>,
    /// A number a row that layer normalisation leaves; not read.
    scales: Vec<Line>,
    pub(crate) zeros: Zeros,
    /// The inputs of layers whose weights are split.
    split: Vec<Option<Split>>,
}

/// Panels of a part of a buffer.
fn part(buffer: &mut PanelMatrix, rows: usize, cols: usize) -> PanelsMut<'_> {
    PanelsMut::new(buffer.lines_mut(), rows, cols, padded_rows(rows))
}

impl Scratch {
    /// Buffers for blocks of up to `rows` rows.
    pub(crate) fn new(net: &Mlp, rows: usize, split: Option<&SplitWeights>) -> Result<Scratch> {
        let widest = net.layers.iter().map(Dense::columns).max().unwrap_or(0);
        let buffer = |cols: usize| {
            // As many lines as the largest block needs; a smaller block has its own geometry.
            let lines = padded_rows(rows).max(padded_rows(BLOCK_ROWS.min(rows)));
            PanelMatrix::with_stride(lines, cols, lines)
        };
        let save =
            |(i, l): (usize, &Dense)| net.is_source(i).then(|| buffer(l.n_out())).transpose();
        Ok(Scratch {
            x: buffer(net.n_in())?,
            ping: buffer(widest)?,
            pong: buffer(widest)?,
            saved: net.layers.iter().enumerate().map(save).collect::<Result<_>>()?,
            scales: vec![Line::ZERO; rows],
            zeros: Zeros::new(net),
            split: split.map_or(Ok(Vec::new()), |split| split.inputs(net, rows))?,
        })
    }

    /// A caller's rows, where they lie unless a residual connection adds them to outputs in panels.
    pub(crate) fn inputs<'a>(&mut self, net: &Mlp, x: MatRef<'a>) -> Inputs<'a> {
        match net.layers.iter().enumerate().any(|(i, layer)| layer.residual == i + 1) {
            false => Inputs::RowMajor(x),
            true => self.fill(net, x.rows(), |to| _ = gather(net.level, x, 0, to)),
        }
    }

    /// So many rows that `fill` writes.
    pub(crate) fn fill(
        &mut self,
        net: &Mlp,
        rows: usize,
        fill: impl FnOnce(PanelsMut),
    ) -> Inputs<'static> {
        fill(part(&mut self.x, rows, net.n_in()));
        Inputs::Gathered(rows)
    }

    /// The outputs of a block of rows. The second answer is a buffer of the same shape, free to use.
    pub(crate) fn forward(
        &mut self,
        net: &Mlp,
        inputs: Inputs,
        outputs: Outputs,
    ) -> (PanelsMut<'_>, PanelsMut<'_>) {
        self.forward_by(net, inputs, outputs, |_, f, _| forward(net.level, f))
    }

    /// [`Scratch::forward`] with the products of split weights.
    pub(crate) fn forward_split(
        &mut self,
        net: &Mlp,
        x: MatRef,
        weights: &SplitWeights,
    ) -> PanelsMut<'_> {
        let rows = self.fill(net, x.rows(), |to| _ = gather(net.level, x, 0, to));
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
                let RowsView::InPanels(inputs) = f.x else { unreachable!("gathered above") };
                x.fill_all(net.level, inputs);
            }
            let next = next.filter(|_| !net.layers[i].has_passes() && net.layers[i].residual == 0);
            is_split = next.is_some();
            let Forward { bias, out, z, activation, .. } = f;
            let (by, bytes, first) = (weights.by, None, 0);
            let f = bf16::Forward { by, x, bytes, first, w, bias, out, z, activation, next: None };
            bf16::forward_alone(net.level, f, next);
        };
        self.forward_by(net, rows, Outputs::OfLayer, product).0
    }

    /// The same, with each layer's outputs shared out among a team: each thread reads its own part
    /// of the weights, the same in every call, so that they stay in its cache.
    pub(crate) fn forward_by_columns(
        &mut self,
        net: &Mlp,
        inputs: Inputs,
        team: &mut Team,
    ) -> PanelsMut<'_> {
        let product = |_, f: Forward, _: &mut [Option<Split>]| {
            let Forward { x, inputs, w, bias, mut out, activation, .. } = f;
            team.run_panels(&mut out, |range, out| {
                let (w, bias) = (w.panels(range.clone()), &bias[range]);
                forward(net.level, Forward { x, inputs, w, bias, out, z: None, activation });
            });
        };
        self.forward_by(net, inputs, Outputs::OfLayer, product).0
    }

    fn forward_by(
        &mut self,
        net: &Mlp,
        inputs: Inputs,
        outputs: Outputs,
        mut layer_forward: impl FnMut(usize, Forward, &mut [Option<Split>]),
    ) -> (PanelsMut<'_>, PanelsMut<'_>) {
        let gathered = |rows| Panels::new(self.x.lines(), rows, net.n_in(), padded_rows(rows));
        let x = match inputs {
            Inputs::RowMajor(x) => RowsView::RowMajor(x),
            Inputs::Gathered(rows) => gathered(rows).into(),
        };
        let rows = x.rows();
        let active = self.zeros.look(net, x);
        let (mut from, mut to) = (&mut self.ping, &mut self.pong);
        for (i, layer) in net.layers.iter().enumerate() {
            let (x, inputs) = match i {
                0 => (x, active),
                _ => {
                    (Panels::new(from.lines(), rows, layer.n_in(), padded_rows(rows)).into(), None)
                }
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
                    None => gathered(rows),
                    Some(i) => match &self.saved[i] {
                        Some(saved) => {
                            Panels::new(saved.lines(), rows, layer.n_out(), padded_rows(rows))
                        }
                        None => unreachable!("every source is saved"),
                    },
                };
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
    pub(crate) fn has_passes(&self) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::{Purpose, Stream};

    #[test]
    fn rows_are_read_where_they_lie_to_the_same_bits() {
        for level in Level::available() {
            for (rows, n_in, gap) in [(1, 1, 0), (2, 3, 2), (7, 18, 0), (13, 300, 5), (96, 784, 0)]
            {
                let builder = Mlp::builder(n_in).level(level).dense(19, Activation::Tanh);
                let net = builder.dense(3, Activation::Softmax).build().unwrap();
                let mut stream = Stream::new(1, Purpose::Init, 0, 0);
                // Half of the columns are zero, in groups that are left out; gaps are read by nobody.
                let value = |i: usize, x: f32| match i % (n_in + gap) {
                    column if column >= n_in => f32::NAN,
                    column if column % 16 >= 8 => 0.0,
                    _ => x,
                };
                let values: Vec<f32> = (0..rows * (n_in + gap) - gap)
                    .map(|i| value(i, stream.normal() as f32))
                    .collect();
                let x = MatRef::with_stride(&values, rows, n_in, n_in + gap).unwrap();
                let mut scratch = Scratch::new(&net, rows, None).unwrap();
                let gathered = scratch.fill(&net, rows, |to| _ = gather(level, x, 0, to));
                let [want, got] = [gathered, Inputs::RowMajor(x)].map(|inputs| {
                    let (out, _) = scratch.forward(&net, inputs, Outputs::OfLayer);
                    let out = out.view();
                    (0..rows).flat_map(|r| out.panel(0)[r].0).map(f32::to_bits).collect::<Vec<_>>()
                });
                assert_eq!(got, want, "{} {rows} {n_in} {gap}", level.name());
            }
        }
    }
}
