//! Gradients of a trained network's outputs with respect to its inputs: the forward pass of a
//! prediction (running statistics, no dropout), and the backward pass without the gradients of the
//! parameters.

use super::batch::{Batch, BatchTargets};
use super::compile::Program;
use super::forward::forward;
use super::memory::Place;
use super::ops::{INPUTS, Outputs, Shape};
use super::peaks::Peaks;
use super::phase1::{Phase1, Training, Turn};
use super::state::{LayerState, Moments};
use super::views::RowBlock;
use crate::error::Result;
use crate::gemm::ActiveInputs;
use crate::network::Mlp;
use crate::storage::{
    MatMut, MatRef, Matrix, PanelMatrix, PanelsMut, gather, padded_rows, scatter,
};

/// What all workers share.
pub(crate) struct InputGradient {
    program: Program,
    /// Whether products alone read the inputs, which they can where these lie.
    reads_in_place: bool,
    places: Vec<Place>,
    /// With the transposed weights of each layer but the first.
    states: Vec<LayerState>,
    first_wt: PanelMatrix,
    /// The running statistics, and zeros for the sums that the backward pass of a batch takes.
    moments: Vec<Option<Moments>>,
}

/// One worker's buffers.
pub(crate) struct GradientScratch {
    matrices: Vec<PanelMatrix>,
    peaks: Vec<Peaks>,
    inputs: ActiveInputs,
}

/// What a predictor needs for gradients of its inputs.
pub(crate) struct Gradient {
    pub(crate) shared: InputGradient,
    /// One per thread.
    pub(crate) scratch: Vec<GradientScratch>,
    /// Rows of zeros, for unit vectors.
    pub(crate) units: Option<Matrix>,
}

/// The rows of inputs at which gradients are taken.
pub(crate) enum Inputs<'a> {
    Rows(MatRef<'a>),
    /// One row, as often as there are gradients of outputs.
    Repeated(&'a [f32]),
}

impl InputGradient {
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn new(net: &Mlp) -> Result<Self> {
        let program = Program::new(net, Outputs::OfLayer);
        let state = |i| LayerState::new(net, i, 0, None);
        let states = (0..net.layers.len()).map(state).collect::<Result<_>>()?;
        let first_wt = net.layers[0].transposed_zeros()?;
        let moments = (0..net.layers.len()).map(|i| Moments::new(net, &program, i)).collect();
        let places = Place::of_each(&program.shapes);
        // Dropout drops nothing here, and the identity's derivative does not read the inputs.
        let mut readers = program.ops.iter().filter(|op| op.is_in_predictions());
        let reads_in_place =
            readers.all(|op| op.product().is_some() || !op.reads().contains(&Some(INPUTS)));
        let mut gradient =
            InputGradient { program, places, states, first_wt, moments, reads_in_place };
        gradient.copy_parameters(net);
        Ok(gradient)
    }

    /// Takes over the parameters of a network of the same shape.
    pub(crate) fn copy_parameters(&mut self, net: &Mlp) {
        net.layers[0].transpose_weights(&mut self.first_wt);
        for ((layer, state), moments) in
            net.layers.iter().zip(&mut self.states).zip(&mut self.moments)
        {
            if let Some(wt) = &mut state.wt {
                layer.transpose_weights(wt);
            }
            if let Some(moments) = moments {
                let of_layer = moments.values.iter_mut().zip(layer.running());
                of_layer.for_each(|(values, running)| values.copy_from_slice(running));
            }
        }
    }

    /// Buffers for blocks of up to `rows` rows.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn scratch(&self, net: &Mlp, rows: usize) -> Result<GradientScratch> {
        let lines = padded_rows(rows);
        let matrix = |shape: &Shape| PanelMatrix::with_stride(lines, shape.cols(), lines);
        Ok(GradientScratch {
            matrices: self.program.shapes.iter().map(matrix).collect::<Result<_>>()?,
            peaks: net.layers.iter().map(|_| Peaks::default()).collect(),
            inputs: ActiveInputs::new(net.n_in()),
        })
    }

    /// dx = Jᵀ·dy for each row, with J the Jacobian of the outputs at the row of inputs.
    pub(crate) fn run(
        &self,
        net: &Mlp,
        scratch: &mut GradientScratch,
        at: Inputs,
        dy: MatRef,
        mut dx: MatMut,
    ) {
        let GradientScratch { matrices, peaks, inputs } = scratch;
        let phase = Phase1 {
            net,
            program: &self.program,
            states: &self.states,
            moments: &self.moments,
            peaks,
            batch: Batch::held(dy, BatchTargets::Classes(&[])),
            bytes: None,
            weights: None,
            scan: false,
            done: 0,
            lowest: 0,
            first_wt: Some(&self.first_wt),
            turn: Turn::Gradient(dy),
            dropout: None,
        };
        let mut rows = RowBlock::all(matrices, &self.places, dy.rows());
        let x = match at {
            Inputs::Rows(x) if self.reads_in_place => Some(x),
            Inputs::Rows(x) => {
                gather(net.level, x, 0, rows.write(INPUTS));
                None
            }
            Inputs::Repeated(row) => {
                repeat(net, row, rows.write(INPUTS));
                None
            }
        };
        let mut pass = Training { phase: &phase, x, inputs };
        for op in &self.program.ops {
            forward(net, op, &mut rows, &mut pass);
        }
        phase.output_gradient(dy, &mut rows);
        for op in self.program.ops.iter().rev() {
            phase.backward(op, &mut rows);
        }
        let gradient = rows.read(self.program.dx);
        (0..dy.rows()).for_each(|r| scatter(gradient, r, dx.row_mut(r)));
    }
}

/// Copies one row into all rows of a block.
fn repeat(net: &Mlp, row: &[f32], mut out: PanelsMut) {
    for r in 0..out.rows {
        gather(net.level, MatRef::sub(row, 1, row.len()), 0, out.reborrow().rows(r..r + 1));
    }
}
