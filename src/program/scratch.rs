//! One worker's predictions: the buffers of a plan, and its products in f32, in bf16, or shared out
//! among a team.

use super::forward::{Pass, forward};
use super::ops::{INPUTS, Product};
use super::plan::Plan;
use super::views::RowBlock;
use super::zeros::Zeros;
use crate::error::Result;
use crate::gemm::bf16::{self, Along, Role, Split, SplitBy};
use crate::gemm::{self, ActiveInputs, Forward};
use crate::network::{LayerParameters, Mlp};
use crate::passes::DropoutMask;
use crate::simd::{LINE, Line};
use crate::storage::{MatRef, PanelMatrix, Panels, PanelsMut, RowsView, gather, padded_rows};
use crate::threads::Team;

/// RowBlock of a block: 16 tiles of 6 rows, so that each panel of weights that comes from L2 or L3 is
/// used for 25,000 cycles, while the block's activations (96 KiB per 256 columns) stay in L2.
pub(crate) const BLOCK_ROWS: usize = 96;

/// The weights of a network as operands of bf16 products, none where a layer uses f32.
pub(crate) struct SplitWeights {
    by: SplitBy,
    layers: Vec<Option<Split>>,
}

impl SplitWeights {
    pub(crate) fn new(net: &Mlp, by: SplitBy) -> Result<SplitWeights> {
        let split = |l: &LayerParameters| {
            let (n_in, columns) = (l.w.rows(), l.columns());
            let Some(by) = by.of_layer(n_in, columns) else { return Ok(None) };
            let w = Split::new(Role::Weights, (n_in, columns), by, Along::Rows)?;
            Ok(Some(w.side_by_side(l.n_out())))
        };
        let layers = net.layers.iter().map(split).collect::<Result<_>>()?;
        let mut weights = SplitWeights { by, layers };
        weights.fill(net);
        Ok(weights)
    }

    /// Splits the weights of a network of the same shape.
    pub(crate) fn fill(&mut self, net: &Mlp) {
        for (w, layer) in self.layers.iter_mut().zip(&net.layers) {
            if let Some(w) = w {
                w.fill_all(net.level, layer.w.view());
            }
        }
    }

    /// Operands for the inputs of each of these layers, for blocks of up to `rows` rows.
    fn inputs(&self, net: &Mlp, rows: usize) -> Result<Vec<Option<Split>>> {
        let layers = self.layers.iter().zip(&net.layers);
        let inputs = |(w, l): (&Option<Split>, &LayerParameters)| {
            let inputs = || Split::new(Role::Inputs, (rows, l.n_in()), self.by, Along::Columns);
            w.is_some().then(inputs).transpose()
        };
        layers.map(inputs).collect()
    }
}

/// The inputs of a block of rows.
#[derive(Clone, Copy)]
pub(crate) enum Inputs<'a> {
    /// A caller's rows, read where they lie.
    RowMajor(MatRef<'a>),
    /// A number of rows, which [`Scratch::fill`] has put into the scratch.
    Gathered(usize),
}

/// One worker's buffers.
pub(crate) struct Scratch {
    pub(super) matrices: Vec<PanelMatrix>,
    pub(super) zeros: Zeros,
    /// The inputs of layers whose products multiply bf16.
    parts: Vec<Option<Split>>,
}

impl Scratch {
    /// Buffers for blocks of up to `rows` rows.
    pub(crate) fn new(
        net: &Mlp,
        plan: &Plan,
        rows: usize,
        weights: Option<&SplitWeights>,
    ) -> Result<Scratch> {
        // As many lines as the largest block needs; a smaller block has its own geometry.
        let lines = padded_rows(rows);
        let matrix = |&cols: &usize| PanelMatrix::with_stride(lines, cols, lines);
        Ok(Scratch {
            matrices: plan.widths.iter().map(matrix).collect::<Result<_>>()?,
            zeros: Zeros::new(net),
            parts: weights.map_or(Ok(Vec::new()), |weights| weights.inputs(net, rows))?,
        })
    }

    /// Forgets what it knows of the weights, which have changed.
    pub(crate) fn forget_weights(&mut self) {
        self.zeros.forget_weights();
    }

    /// A caller's rows, where they lie if only products read them.
    pub(crate) fn inputs<'a>(&mut self, net: &Mlp, plan: &Plan, x: MatRef<'a>) -> Inputs<'a> {
        match plan.gathers_inputs {
            false => Inputs::RowMajor(x),
            true => self.fill(net, x.rows(), |to| _ = gather(net.level, x, 0, to)),
        }
    }

    /// As many rows as `fill` writes.
    pub(crate) fn fill(
        &mut self,
        net: &Mlp,
        rows: usize,
        fill: impl FnOnce(PanelsMut),
    ) -> Inputs<'static> {
        let lines = self.matrices[INPUTS.0].lines_mut();
        fill(PanelsMut::new(lines, rows, net.n_in(), padded_rows(rows)));
        Inputs::Gathered(rows)
    }

    /// The outputs of a block of rows, and a buffer of the same shape, free to use.
    pub(crate) fn forward<'a>(
        &'a mut self,
        net: &Mlp,
        plan: &'a Plan,
        inputs: Inputs,
    ) -> (PanelsMut<'a>, PanelsMut<'a>) {
        self.forward_by(net, plan, inputs, Products::F32)
    }

    /// The same with products of bf16.
    pub(crate) fn forward_split<'a>(
        &'a mut self,
        net: &Mlp,
        plan: &'a Plan,
        x: MatRef,
        weights: &SplitWeights,
    ) -> PanelsMut<'a> {
        let inputs = self.fill(net, x.rows(), |to| _ = gather(net.level, x, 0, to));
        self.forward_by(net, plan, inputs, Products::Split { weights, filled: None }).0
    }

    /// The same, with each layer's outputs shared out among a team: each thread reads its own part
    /// of the weights, the same in every call, so that they stay in its cache.
    pub(crate) fn forward_by_columns<'a>(
        &'a mut self,
        net: &Mlp,
        plan: &'a Plan,
        inputs: Inputs,
        team: &mut Team,
    ) -> PanelsMut<'a> {
        self.forward_by(net, plan, inputs, Products::Columns(team)).0
    }

    fn forward_by<'a>(
        &'a mut self,
        net: &Mlp,
        plan: &'a Plan,
        inputs: Inputs,
        products: Products,
    ) -> (PanelsMut<'a>, PanelsMut<'a>) {
        let Scratch { matrices, zeros, parts } = self;
        let (x, rows) = match inputs {
            Inputs::RowMajor(x) => (Some(x), x.rows()),
            Inputs::Gathered(rows) => (None, rows),
        };
        let active = plan.product_reads_inputs.then(|| {
            let lines = matrices[INPUTS.0].lines();
            let gathered = || Panels::new(lines, rows, net.n_in(), padded_rows(rows)).into();
            zeros.scan(net, x.map_or_else(gathered, RowsView::RowMajor))
        });
        let mut pass = Prediction { net, x, active: active.flatten(), parts, products };
        let mut rows = RowBlock::all(matrices, &plan.places, rows);
        for op in &plan.ops {
            forward(net, op, &mut rows, &mut pass);
        }
        rows.into_pair(plan.output, plan.spare)
    }
}

/// How the products of a prediction are made.
enum Products<'a> {
    F32,
    Split {
        weights: &'a SplitWeights,
        /// The layer whose inputs the store of the last product has split.
        filled: Option<usize>,
    },
    /// By a team, each thread some of the columns.
    Columns(&'a mut Team),
}

struct Prediction<'a> {
    net: &'a Mlp,
    /// The inputs, if they are read where they lie.
    x: Option<MatRef<'a>>,
    active: Option<&'a ActiveInputs>,
    /// The inputs of layers whose products multiply bf16.
    parts: &'a mut [Option<Split>],
    products: Products<'a>,
}

impl Pass for Prediction<'_> {
    #[inline]
    fn product(&mut self, product: &Product, rows: &mut RowBlock) {
        let Product { layer: i, activation, .. } = *product;
        let (net, layer) = (self.net, &self.net.layers[i]);
        let ([x], [mut out]) = rows.get([product.x], [product.out]);
        let (w, bias, z) = (layer.w.view(), layer.bias(), None);
        let (view, inputs) = match (product.x, self.x) {
            (INPUTS, Some(x)) => (RowsView::RowMajor(x), self.active),
            (INPUTS, None) => (x.into(), self.active),
            _ => (x.into(), None),
        };
        match &mut self.products {
            Products::Columns(team) => team.run_panels(&mut out, |range, out| {
                let (x, w, bias) = (view, w.panels(range.clone()), &bias[range]);
                gemm::forward(net.level, Forward { x, inputs, w, bias, out, z: None, activation });
            }),
            Products::Split { weights, filled } => {
                let above = product.above;
                let (own, next) =
                    self.parts[i..].split_first_mut().map_or((None, None), |(own, next)| {
                        (own.as_mut(), next.first_mut().and_then(Option::as_mut))
                    });
                let (Some(own), Some(w)) = (own, &weights.layers[i]) else {
                    *filled = None;
                    let f = Forward { x: view, inputs, w, bias, out, z, activation };
                    return gemm::forward(net.level, f);
                };
                if *filled != Some(i) {
                    own.fill_all(net.level, x);
                }
                let mut next = next.filter(|_| above == Some(i + 1));
                *filled = next.as_ref().map(|_| i + 1);
                let (by, x, bytes) = (weights.by, own.view(), None);
                let next = next.as_mut().map(|next| next.view_mut());
                let f = bf16::Forward { by, x, bytes, w, bias, out, z, activation, next };
                bf16::forward(net.level, f);
            }
            Products::F32 => {
                let f = Forward { x: view, inputs, w, bias, out, z, activation };
                gemm::forward(net.level, f);
            }
        }
    }

    fn moments<'a>(&'a self, net: &'a Mlp, layer: usize) -> [&'a [Line]; 2] {
        net.layers[layer].running()
    }

    fn mask(&self, _: usize, _: f32) -> Option<DropoutMask> {
        None
    }
}

/// The class of a row of outputs: the first of the largest values.
pub(crate) fn argmax(m: Panels, row: usize) -> u32 {
    let value = |c: usize| m.panel(c / LINE)[row].0[c % LINE];
    (1..m.cols).fold(0, |best, c| if value(c) > value(best) { c } else { best }) as u32
}

#[cfg(test)]
mod tests {
    use super::super::ops::Outputs;
    use super::*;
    use crate::activation::Activation;
    use crate::math::{Purpose, RandomStream};
    use crate::simd::Level;

    #[test]
    fn rows_are_read_where_they_lie_to_the_same_bits() {
        for level in Level::available() {
            for (rows, n_in, gap) in [(1, 1, 0), (2, 3, 2), (7, 18, 0), (13, 300, 5), (96, 784, 0)]
            {
                let builder = Mlp::builder(n_in).level(level).dense(19, Activation::Tanh);
                let net = builder.dense(3, Activation::Softmax).build().unwrap();
                let mut stream = RandomStream::new(1, Purpose::Init, 0, 0);
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
                let plan = Plan::new(&net, Outputs::OfLayer);
                let mut scratch = Scratch::new(&net, &plan, rows, None).unwrap();
                let gathered = scratch.fill(&net, rows, |to| _ = gather(level, x, 0, to));
                let [want, got] = [gathered, Inputs::RowMajor(x)].map(|inputs| {
                    let (out, _) = scratch.forward(&net, &plan, inputs);
                    let out = out.view();
                    (0..rows).flat_map(|r| out.panel(0)[r].0).map(f32::to_bits).collect::<Vec<_>>()
                });
                assert_eq!(got, want, "{} {rows} {n_in} {gap}", level.name());
            }
        }
    }
}
