//! The parameters of a layer in memory.

use super::layer::{Layer, LayerKind, LayerShape, NormKind};
use crate::error::Result;
use crate::passes::{Affine, BatchNorm, LayerNorm};
use crate::simd::{LINE, Line};
use crate::storage::{Matrix, PanelMatrix, lanes};

/// A layer with its parameters.
#[derive(Clone)]
pub(crate) struct LayerParameters {
    pub(crate) spec: Layer,
    n_in: usize,
    n_out: usize,
    /// n_in x columns, in panels; the memory has whole groups of 16 rows, so that 16 x 16 blocks
    /// can be transposed. One column per neuron. For maxout the linear functions of all neurons follow
    /// each other: n_out columns of the first, padded to a whole panel, then those of the second.
    pub(crate) w: PanelMatrix,
    /// Vectors of one value per column, 16 per line: a matrix of one row. Dense layers have the bias, and
    /// γ and β of a norm; affine layers have no weights (0 rows), and γ and β here. The optimiser treats
    /// all alike.
    pub(crate) b: PanelMatrix,
    /// Mean and variance of batch normalisation, each one value per neuron in whole panels; empty
    /// without it. The lanes beyond the last neuron are no padding: files and digests include them,
    /// as the statistics of neurons whose z is always 0.
    running: PanelMatrix,
}

/// The weight of a batch in the running statistics.
const MOMENTUM: f32 = 0.1;

/// The geometry of one tensor of a layer: `n` matrices of `width` columns side by side.
pub(crate) struct TensorShape {
    pub(crate) name: &'static str,
    pub(crate) rows: usize,
    width: usize,
    n: usize,
    /// Rows in memory.
    ld: usize,
}

impl TensorShape {
    /// Number of columns. Saturates where no memory holds them.
    pub(crate) fn cols(&self) -> usize {
        if self.n == 1 { self.width } else { padded(self.width).saturating_mul(self.n) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows == 0 || self.width == 0
    }

    fn zeros(&self) -> Result<PanelMatrix> {
        PanelMatrix::side_by_side(self.rows, self.width, self.n, self.ld)
    }
}

/// `n` rounded up to whole panels. Saturates where no memory holds them.
fn padded(n: usize) -> usize {
    n.checked_next_multiple_of(LINE).unwrap_or(usize::MAX)
}

impl LayerShape {
    /// Columns of the weights as users see them: n_out times the units of a neuron.
    pub(crate) fn n_columns(&self) -> usize {
        match self.layer.kind {
            LayerKind::Dense { n_out, activation } => n_out * activation.units(),
            LayerKind::Affine => 0,
        }
    }

    pub(super) fn n_parameters(&self) -> usize {
        let scales = if self.layer.scale().is_some() { 2 * self.n_out } else { 0 };
        (self.n_in + 1) * self.n_columns() + scales
    }

    /// The tensors of the layer: weights, vectors, running statistics. A tensor without values is left
    /// out of files.
    pub(crate) fn tensors(&self) -> [TensorShape; 3] {
        let LayerShape { n_in, n_out, layer } = *self;
        // Inputs of the weights, matrices of weights side by side, vectors.
        let (rows, units, vectors) = match layer.kind {
            LayerKind::Dense { activation, .. } => {
                let units = activation.units();
                // A layer with a norm has one unit per neuron.
                (n_in, units, if layer.norm.is_some() { 3 } else { units })
            }
            LayerKind::Affine => (0, 1, 2),
        };
        let running = match layer.norm {
            Some(NormKind::Batch) => padded(n_out).saturating_mul(2),
            Some(NormKind::Layer) | None => 0,
        };
        let row = |name, width, n| TensorShape { name, rows: 1, width, n, ld: 1 };
        [
            TensorShape { name: "weight", rows, width: n_out, n: units, ld: padded(rows) },
            row("bias", n_out, vectors),
            row("running", running, 1),
        ]
    }
}

impl Layer {
    /// The number of the vector γ among the vectors of a layer that has one; β follows it.
    fn scale(&self) -> Option<usize> {
        match self.kind {
            LayerKind::Dense { .. } => self.norm.map(|_| 1),
            LayerKind::Affine => Some(0),
        }
    }
}

impl LayerParameters {
    /// All zero, but the scales γ and the running variances 1.
    pub(crate) fn zeros(shape: LayerShape) -> Result<Self> {
        let LayerShape { n_in, n_out, layer: spec } = shape;
        let [w, b, running] = shape.tensors();
        let (w, b, running) = (w.zeros()?, b.zeros()?, running.zeros()?);
        let mut new = LayerParameters { spec, n_in, n_out, w, b, running };
        if let Some(gamma) = spec.scale() {
            (0..n_out).for_each(|c| *new.vector_mut(gamma, c) = 1.0);
        }
        let lines = new.running.lines_mut();
        let half = lines.len() / 2;
        lines[half..].fill(Line([1.0; LINE]));
        Ok(new)
    }

    pub(crate) fn shape(&self) -> LayerShape {
        LayerShape { n_in: self.n_in, n_out: self.n_out, layer: self.spec }
    }

    /// A matrix for the transposed weights: columns x n_in.
    ///
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    pub(crate) fn transposed_zeros(&self) -> Result<PanelMatrix> {
        let columns = if self.w.is_empty() { 0 } else { self.columns() };
        PanelMatrix::with_stride(columns, self.n_in, columns.next_multiple_of(LINE))
    }

    /// Transposes the weights; 0 between the units of maxout.
    pub(crate) fn transpose_weights(&self, wt: &mut PanelMatrix) {
        let is_padding = |c: usize| c % LINE >= self.w.lanes(c / LINE);
        for r in 0..self.w.rows() {
            for c in 0..self.columns() {
                *wt.at_mut(c, r) = if is_padding(c) { 0.0 } else { self.w.at(r, c) };
            }
        }
    }

    /// Whether every output is in −1..=1, in training too.
    pub(crate) fn is_within_one(&self) -> bool {
        let Layer { kind: _, norm: _, dropout, residual } = self.spec;
        self.spec.activation().properties().is_within_one && dropout == 0.0 && residual == 0
    }

    /// The tensors in a file, with their names, as in [`LayerShape::tensors`].
    pub(crate) fn tensors(&self) -> impl Iterator<Item = (&'static str, &PanelMatrix)> {
        let all = [("weight", &self.w), ("bias", &self.b), ("running", &self.running)];
        all.into_iter().filter(|(_, tensor)| !tensor.is_empty())
    }

    pub(crate) fn tensors_mut(&mut self) -> impl Iterator<Item = (&'static str, &mut PanelMatrix)> {
        let LayerParameters { w, b, running, .. } = self;
        let all = [("weight", w), ("bias", b), ("running", running)];
        all.into_iter().filter(|(_, tensor)| !tensor.is_empty())
    }

    pub(crate) fn n_in(&self) -> usize {
        self.n_in
    }

    pub(crate) fn n_out(&self) -> usize {
        self.n_out
    }

    /// Columns of the weights in memory: n_out, more for maxout.
    pub(crate) fn columns(&self) -> usize {
        self.w.cols()
    }

    pub(crate) fn n_columns(&self) -> usize {
        self.shape().n_columns()
    }

    /// The first panel of unit `unit` of every neuron.
    pub(crate) fn first_panel(&self, unit: usize) -> usize {
        unit * self.n_out.div_ceil(LINE)
    }

    /// The column in memory of a column as users see it: there the units of a neuron are side by side.
    fn place(&self, column: usize) -> usize {
        let units = self.spec.activation().units();
        self.first_panel(column % units) * LINE + column / units
    }

    /// Vectors in `b`, each with one value per column: the bias, and γ and β where the layer has them.
    pub(crate) fn n_vectors(&self) -> usize {
        self.spec.scale().map_or(1, |gamma| gamma + 2)
    }

    /// One of the vectors of `b`, one line per panel of columns.
    pub(crate) fn vector(&self, vector: usize) -> &[Line] {
        let panels = self.columns().div_ceil(LINE);
        &self.b.lines()[vector * panels..][..panels]
    }

    /// The bias of a dense layer, one line per panel.
    pub(crate) fn bias(&self) -> &[Line] {
        self.vector(0)
    }

    pub(crate) fn weight_mut(&mut self, row: usize, column: usize) -> &mut f32 {
        let place = self.place(column);
        self.w.at_mut(row, place)
    }

    /// Bias of a column as users see it.
    pub(crate) fn bias_mut(&mut self, column: usize) -> &mut f32 {
        let place = self.place(column);
        self.b.at_mut(0, place)
    }

    /// Value `column` of vector `vector` of `b`.
    pub(super) fn vector_mut(&mut self, vector: usize, column: usize) -> &mut f32 {
        let place = vector * self.columns().next_multiple_of(LINE) + column;
        self.b.at_mut(0, place)
    }

    /// Row-major weights, n_in x [`LayerParameters::n_columns`].
    pub(crate) fn weights(&self) -> Matrix {
        let mut out = Matrix::zeros(self.n_in, self.n_columns());
        out.as_mut_slice().iter_mut().zip(self.row_major()).for_each(|(out, w)| *out = w);
        out
    }

    /// The weights, row by row, with the columns as users see them.
    fn row_major(&self) -> impl Iterator<Item = f32> + '_ {
        let columns = self.n_columns();
        (0..self.n_in).flat_map(move |r| (0..columns).map(move |c| self.w.at(r, self.place(c))))
    }

    /// The biases of the columns as users see them.
    pub(crate) fn biases(&self) -> Vec<f32> {
        (0..self.n_columns()).map(|c| self.b.at(0, self.place(c))).collect()
    }

    /// The values of a vector of one value per neuron, without padding.
    pub(super) fn unpadded<'a>(&self, lines: &'a [Line]) -> impl Iterator<Item = f32> + use<'a> {
        lines.iter().flat_map(|line| line.0).take(self.n_out)
    }

    /// Every value that decides the outputs: weights row by row, biases, γ and β, running statistics.
    pub(super) fn values(&self) -> impl Iterator<Item = f32> + '_ {
        let scales = self.scale_and_shift().into_iter().flatten();
        let scales = scales.flat_map(|v| self.unpadded(self.vector(v)));
        let running = self.running.lines().iter().flat_map(|line| line.0);
        self.row_major().chain(self.biases()).chain(scales).chain(running)
    }

    /// Running mean and variance, one line per panel; empty without batch normalisation.
    pub(crate) fn running(&self) -> [&[Line]; 2] {
        let lines = self.running.lines();
        let (mean, variance) = lines.split_at(lines.len() / 2);
        [mean, variance]
    }

    pub(super) fn running_mut(&mut self) -> [&mut [Line]; 2] {
        let lines = self.running.lines_mut();
        let (mean, variance) = lines.split_at_mut(lines.len() / 2);
        [mean, variance]
    }

    /// Moves the running statistics towards those of a batch of `rows` rows. One row has no variance,
    /// so it changes nothing.
    pub(crate) fn observe(&mut self, moments: [&[Line]; 2], rows: usize) {
        if rows < 2 {
            return;
        }
        let (n_out, correction) = (self.n_out, rows as f32 / (rows - 1) as f32);
        for ((running, now), factor) in
            self.running_mut().into_iter().zip(moments).zip([1.0, correction])
        {
            for (p, (running, now)) in running.iter_mut().zip(now).enumerate() {
                for (lane, running) in running.0.iter_mut().enumerate() {
                    let now = if lane < lanes(n_out, p) { now.0[lane] } else { 0.0 };
                    *running = (1.0 - MOMENTUM) * *running + MOMENTUM * (factor * now);
                }
            }
        }
    }

    /// The numbers of the vectors γ and β of a layer that has them.
    pub(super) fn scale_and_shift(&self) -> Option<[usize; 2]> {
        self.spec.scale().map(|gamma| [gamma, gamma + 1])
    }

    /// γ and β of an affine layer.
    pub(crate) fn affine(&self) -> Affine<'_> {
        Affine { gamma: self.vector(0), beta: self.vector(1) }
    }

    /// γ and β of layer normalisation.
    pub(crate) fn layer_norm(&self) -> LayerNorm<'_> {
        LayerNorm { gamma: self.vector(1), beta: self.vector(2) }
    }

    /// γ and β of batch normalisation, with the statistics that normalise.
    pub(crate) fn batch_norm<'a>(
        &'a self,
        mean: &'a [Line],
        variance: &'a [Line],
    ) -> BatchNorm<'a> {
        BatchNorm { gamma: self.vector(1), beta: self.vector(2), mean, variance }
    }
}
