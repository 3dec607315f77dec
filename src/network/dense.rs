//! One dense layer's parameters: a = σ(x·W + b), and what may stand around it.

use super::norm::{Norm, NormKind};
use crate::activation::Activation;
use crate::error::Result;
use crate::simd::{LINE, Line};
use crate::storage::{Matrix, PanelMatrix};

/// A dense layer: z = x·W + b, normalised if it has a norm, a = σ(z), dropout in training, and the
/// outputs of an earlier layer added if it is the end of a residual block.
#[derive(Clone)]
pub(crate) struct Dense {
    /// n_in x columns, in panels; the memory has whole groups of 16 rows, so that 16 x 16 blocks
    /// can be transposed. A column a neuron; for maxout, piece after piece, each n_out columns
    /// padded to a whole panel.
    pub(crate) w: PanelMatrix,
    /// One value a column, 16 a line: a matrix of one row. With a norm γ and β follow, each like
    /// the bias: the optimiser treats the three alike.
    pub(crate) b: PanelMatrix,
    pub(crate) activation: Activation,
    n_out: usize,
    pub(crate) norm: Option<Norm>,
    /// Probability that an output is dropped in training.
    pub(crate) dropout: f32,
    /// The outputs of the layer so many layers before are added to the outputs; 0 for none.
    pub(crate) residual: usize,
}

impl Dense {
    pub(crate) fn zeros(
        n_in: usize,
        n_out: usize,
        activation: Activation,
        norm: Option<NormKind>,
    ) -> Result<Self> {
        // Where there is no such multiple or product, no memory holds the rest either.
        let padded = |n: usize| n.checked_next_multiple_of(LINE).unwrap_or(usize::MAX);
        let w = PanelMatrix::side_by_side(n_in, n_out, activation.pieces(), padded(n_in))?;
        // A layer with a norm has one piece.
        let vectors = if norm.is_some() { 3 } else { activation.pieces() };
        let mut b = PanelMatrix::side_by_side(1, n_out, vectors, 1)?;
        let norm = norm.map(|kind| Norm::new(kind, n_out)).transpose()?;
        if norm.is_some() {
            (0..n_out).for_each(|c| *b.at_mut(0, n_out.next_multiple_of(LINE) + c) = 1.0);
        }
        Ok(Dense { w, b, activation, n_out, norm, dropout: 0.0, residual: 0 })
    }

    /// Whether every output is in −1..=1, in training too.
    pub(crate) fn is_within_one(&self) -> bool {
        self.activation.is_within_one() && self.dropout == 0.0 && self.residual == 0
    }

    /// The layer in words, for files: neurons, activation, what stands around them.
    pub(crate) fn words(&self) -> String {
        // Every field by name: what is neither here nor in `tensors` is lost in a file, and a run
        // that is resumed would not notice that it differs.
        let Dense { w: _, b: _, activation, n_out, norm, dropout, residual } = self;
        let mut words = format!("{n_out} {activation}");
        match norm.as_ref().map(|norm| norm.kind) {
            None => {}
            Some(NormKind::Layer) => words += " layer-norm",
            Some(NormKind::Batch) => words += " batch-norm",
        }
        if *dropout > 0.0 {
            words += &format!(" dropout:{dropout}");
        }
        if *residual > 0 {
            words += &format!(" residual:{residual}");
        }
        words
    }

    /// What a file holds of the layer, with names: weights, biases (with γ and β), and the running
    /// statistics of batch normalisation.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&'static str, &PanelMatrix)> {
        let running = self.norm.as_ref().map(|norm| ("running", &norm.running));
        let running = running.filter(|(_, tensor)| tensor.cols() > 0);
        [("weight", &self.w), ("bias", &self.b)].into_iter().chain(running)
    }

    /// As [`Dense::tensors`].
    pub(crate) fn tensors_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut PanelMatrix)> {
        let running = self.norm.as_mut().map(|norm| ("running", &mut norm.running));
        let running = running.filter(|(_, tensor)| tensor.cols() > 0);
        [("weight", &mut self.w), ("bias", &mut self.b)].into_iter().chain(running)
    }

    pub(crate) fn n_in(&self) -> usize {
        self.w.rows()
    }

    /// Neurons.
    pub(crate) fn n_out(&self) -> usize {
        self.n_out
    }

    /// Columns of the weights in memory: n_out, more for maxout.
    pub(crate) fn columns(&self) -> usize {
        self.w.cols()
    }

    /// Columns of the weights as users see them: n_out times the pieces.
    pub(crate) fn n_columns(&self) -> usize {
        self.n_out * self.activation.pieces()
    }

    /// Where a column lies in memory. Users see the pieces of a maxout neuron side by side.
    fn place(&self, column: usize) -> usize {
        match self.activation.pieces() {
            1 => column,
            pieces => column % pieces * self.n_out.next_multiple_of(LINE) + column / pieces,
        }
    }

    /// The most vectors that a layer has: bias, γ and β.
    pub(crate) const MAX_VECTORS: usize = 3;

    /// Vectors in `b`: the bias, and with a norm γ and β.
    pub(crate) fn n_vectors(&self) -> usize {
        if self.norm.is_some() { 3 } else { 1 }
    }

    /// One of the vectors of `b`, one line a panel of columns: 0 the bias, 1 γ, 2 β.
    pub(crate) fn vector(&self, vector: usize) -> &[Line] {
        let panels = self.columns().div_ceil(LINE);
        &self.b.lines()[vector * panels..][..panels]
    }

    /// The bias, one line a panel.
    pub(crate) fn bias(&self) -> &[Line] {
        self.vector(0)
    }

    /// Weight (row, column as users see it).
    pub(crate) fn weight_mut(&mut self, row: usize, column: usize) -> &mut f32 {
        let place = self.place(column);
        self.w.at_mut(row, place)
    }

    /// Bias of a column as users see it.
    pub(crate) fn bias_mut(&mut self, column: usize) -> &mut f32 {
        let place = self.place(column);
        self.b.at_mut(0, place)
    }

    /// Value `column` of vector `vector` of `b`, γ or β.
    pub(crate) fn vector_mut(&mut self, vector: usize, column: usize) -> &mut f32 {
        let place = vector * self.columns().next_multiple_of(LINE) + column;
        self.b.at_mut(0, place)
    }

    /// Row-major weights, n_in x (n_out · pieces).
    pub(crate) fn weights(&self) -> Matrix {
        let mut out = Matrix::zeros(self.n_in(), self.n_columns());
        for r in 0..self.n_in() {
            for c in 0..self.n_columns() {
                out.as_mut_slice()[r * self.n_columns() + c] = self.w.at(r, self.place(c));
            }
        }
        out
    }

    /// The n_out · pieces biases.
    pub(crate) fn biases(&self) -> Vec<f32> {
        (0..self.n_columns()).map(|c| self.b.at(0, self.place(c))).collect()
    }

    /// γ or β.
    pub(crate) fn norm_vector(&self, vector: usize) -> Vec<f32> {
        let values = self.vector(vector).iter().flat_map(|line| line.0);
        values.take(self.n_out).collect()
    }

    /// Every parameter, weights row-major and then biases, γ and β.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = f32> + '_ {
        let (rows, cols) = (self.n_in(), self.n_columns());
        let weights = (0..rows * cols).map(move |i| self.w.at(i / cols, self.place(i % cols)));
        let norm = (1..self.n_vectors()).flat_map(|v| self.norm_vector(v));
        weights.chain((0..cols).map(|c| self.b.at(0, self.place(c)))).chain(norm)
    }

    /// Number of parameters.
    pub(crate) fn n_parameters(&self) -> usize {
        let norm = if self.norm.is_some() { 2 * self.n_out } else { 0 };
        (self.n_in() + 1) * self.n_columns() + norm
    }
}
