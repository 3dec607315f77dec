//! What all blocks of rows share in phase 1 of a training step, and the products of its forward pass.

use super::batch::Batch;
use super::compile::Program;
use super::forward::Pass;
use super::input::Bytes;
use super::ops::{INPUTS, Product};
use super::peaks::Peaks;
use super::state::{LayerState, Moments};
use super::step::{DropoutStep, Step};
use super::views::{RowBlock, Side};
use crate::gemm::bf16::{self, Split, SplitBy, SplitPart};
use crate::gemm::{self, ActiveInputs, Forward};
use crate::network::Mlp;
use crate::passes::{DropoutMask, largest};
use crate::simd::Line;
use crate::storage::{MatRef, PanelMatrix, Panels, RowsView};

/// What the tasks of phase 1 share.
pub(crate) struct Phase1<'a> {
    pub(crate) net: &'a Mlp,
    pub(crate) program: &'a Program,
    pub(crate) states: &'a [LayerState],
    pub(crate) moments: &'a [Option<Moments>],
    pub(crate) peaks: &'a [Peaks],
    pub(crate) batch: Batch<'a>,
    /// The batch, where the first layer takes bytes.
    pub(crate) bytes: Option<Bytes<'a>>,
    /// What each row counts; all the same where there is none.
    pub(crate) weights: Option<&'a [f32]>,
    /// Whether to scan which inputs are zero.
    pub(crate) scan: bool,
    /// Operations of the first stage that are done: those of parts of columns.
    pub(crate) done: usize,
    /// The layer at which the backward pass ends.
    pub(crate) lowest: usize,
    /// The transposed weights of the first layer (empty where it has none), if ∂L/∂inputs is wanted.
    pub(crate) first_wt: Option<&'a PanelMatrix>,
    /// What happens between the two directions.
    pub(crate) turn: Turn<'a>,
    /// What dropout drops; nothing where there is none.
    pub(crate) dropout: Option<DropoutStep>,
}

/// What happens between the forward and the backward pass.
#[derive(Clone, Copy)]
pub(crate) enum Turn<'a> {
    /// The loss of a step.
    Loss(&'a Step<'a>),
    /// There is no backward pass.
    End,
    /// There was a forward pass: this is ∂L/∂outputs, rows x n_out.
    Gradient(MatRef<'a>),
}

impl Phase1<'_> {
    /// The largest feature of some rows, and whether it is finite.
    pub(crate) fn note_features(&self, largest: f32) -> bool {
        self.peaks[0].note_batch(self.net, largest);
        largest.is_finite()
    }

    /// Notes the largest input of a layer after the first, unless it is known.
    pub(crate) fn note_inputs(&self, layer: usize, x: Panels) {
        let below = &self.net.layers[layer - 1];
        if !below.is_within_one() {
            let largest = largest(self.net.level, x, below.n_out());
            self.peaks[layer].note_input(largest);
        }
    }

    /// Notes the largest delta of layer `i`, whose deltas are complete.
    pub(crate) fn note_deltas(&self, i: usize, rows: &RowBlock) {
        let n_out = self.net.layers[i].n_out();
        for &of in &self.program.parameters[i].vectors {
            let largest = largest(self.net.level, rows.read(of), n_out);
            self.peaks[i].note_delta(largest);
        }
    }

    /// Scans which inputs are zero in all of these rows.
    pub(crate) fn scan(&self, inputs: &mut ActiveInputs, x: Panels) {
        match self.scan {
            true => _ = inputs.scan_zeros(self.net.level, x.into()),
            false => inputs.take_all(),
        }
    }

    /// The dropout of a layer's outputs; layer 0 is the inputs.
    pub(crate) fn mask(&self, layer: usize, rate: f32) -> Option<DropoutMask> {
        let DropoutStep { seed, number } = self.dropout?;
        Some(DropoutMask::new(rate, seed, number, layer))
    }
}

/// The forward pass of a training step.
pub(crate) struct Training<'a> {
    pub(crate) phase: &'a Phase1<'a>,
    /// The inputs, where they are read where they lie; else they were gathered.
    pub(crate) x: Option<MatRef<'a>>,
    pub(crate) inputs: &'a mut ActiveInputs,
}

impl Training<'_> {
    /// The product of a layer whose products multiply f32.
    fn product_in_f32(&mut self, product: &Product, rows: &mut RowBlock) {
        let Product { layer: i, x, out, z, activation, .. } = *product;
        let net = self.phase.net;
        let (w, bias) = (net.layers[i].w.view(), net.layers[i].bias());
        let inputs = match x {
            INPUTS if self.x.is_none() => {
                self.phase.scan(self.inputs, rows.read(x));
                self.inputs.without_zeros(net.level, w, net.layers[i].n_out())
            }
            _ => None,
        };
        let in_place = self.x.filter(|_| x == INPUTS);
        let run = |x: Panels, out, z| {
            let x = in_place.map_or_else(|| x.into(), RowsView::RowMajor);
            let f = Forward { x, inputs, w, bias, out, z, activation };
            gemm::forward(net.level, f);
        };
        match z {
            None => {
                let ([x], [out]) = rows.get([x], [out]);
                run(x, out, None);
            }
            Some(z) => {
                let ([x], [out, z]) = rows.get([x], [out, z]);
                run(x, out, Some(z));
            }
        }
    }

    /// The product of a layer whose products multiply bf16, with its weights as operands.
    fn product_in_parts(&mut self, product: &Product, w: &Split, by: SplitBy, rows: &mut RowBlock) {
        let Product { layer: i, x, out, z, activation, below, above, .. } = *product;
        let Phase1 { net, states, bytes, .. } = *self.phase;
        let bias = net.layers[i].bias();
        // Bytes are in the operand; values are, where the store of the product below has split them.
        let bytes = bytes.filter(|_| x == INPUTS).map(|bytes| bytes.scaling);
        let is_filled = bytes.is_some() || below.is_some_and(|i| states[i].parts.is_some());
        if x == INPUTS {
            self.inputs.take_all();
        }
        let next = above.filter(|above| states[*above].parts.is_some());
        let sides = [Some(Side::Inputs(i)), next.map(Side::Inputs)];
        let run = |x: Panels, out, z, [own, next]: [Option<SplitPart>; 2]| {
            let Some(mut own) = own else { unreachable!("such a layer has operands") };
            if !is_filled {
                own.fill(net.level, x, (0, 0));
            }
            let x = own.view();
            let f = bf16::Forward { by, x, bytes, w, bias, out, z, activation, next };
            bf16::forward(net.level, f);
        };
        match z {
            None => {
                let ([x], [out], parts) = rows.with_parts([x], [out], sides);
                run(x, out, None, parts);
            }
            Some(z) => {
                let ([x], [out, z], parts) = rows.with_parts([x], [out, z], sides);
                run(x, out, Some(z), parts);
            }
        }
    }
}

impl Pass for Training<'_> {
    fn product(&mut self, product: &Product, rows: &mut RowBlock) {
        let Product { layer, x, .. } = *product;
        if x != INPUTS {
            self.phase.note_inputs(layer, rows.read(x));
        }
        match self.phase.states[layer].parts.as_ref().zip(rows.split_by(layer)) {
            None => self.product_in_f32(product, rows),
            Some((w, by)) => self.product_in_parts(product, w, by, rows),
        }
    }

    fn moments<'a>(&'a self, _: &'a Mlp, layer: usize) -> [&'a [Line]; 2] {
        let moments = self.phase.moments[layer].as_ref();
        moments.map_or([&[], &[]], |moments| moments.values.each_ref().map(|lines| &lines[..]))
    }

    fn mask(&self, layer: usize, rate: f32) -> Option<DropoutMask> {
        self.phase.mask(layer, rate)
    }
}

/// The first layer whose outputs are not finite.
pub(crate) fn first_non_finite(
    net: &Mlp,
    program: &Program,
    matrices: &[PanelMatrix],
    rows: usize,
) -> usize {
    let finite = |t: &PanelMatrix| (0..rows).all(|r| (0..t.cols()).all(|c| t.at(r, c).is_finite()));
    let layer = program.outputs.iter().position(|a| !finite(&matrices[a.0]));
    layer.unwrap_or(net.layers.len())
}
