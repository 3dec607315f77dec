//! One dense layer's parameters: a = σ(x·W + b).

use crate::activation::Activation;
use crate::gemm::Tensor;
use crate::simd::{LINE, Line};
use crate::{Matrix, Result};

/// A dense layer.
#[derive(Clone)]
pub(crate) struct Dense {
    /// n_in x n_out, in panels; the memory has whole groups of 16 rows, so that 16 x 16 blocks can
    /// be transposed.
    pub(crate) w: Tensor,
    /// n_out values, 16 a line: a matrix of one row.
    pub(crate) b: Tensor,
    pub(crate) activation: Activation,
}

impl Dense {
    pub(crate) fn zeros(n_in: usize, n_out: usize, activation: Activation) -> Result<Self> {
        // Where there is no such multiple, no memory holds the rest either.
        let ld = n_in.checked_next_multiple_of(LINE).unwrap_or(usize::MAX);
        let w = Tensor::zeros(n_in, n_out, ld)?;
        Ok(Dense { w, b: Tensor::zeros(1, n_out, 1)?, activation })
    }

    pub(crate) fn n_in(&self) -> usize {
        self.w.rows()
    }

    pub(crate) fn n_out(&self) -> usize {
        self.w.cols()
    }

    /// The bias, one line a panel.
    pub(crate) fn bias(&self) -> &[Line] {
        self.b.lines()
    }

    /// Row-major weights, n_in x n_out.
    pub(crate) fn weights(&self) -> Matrix {
        let mut out = Matrix::zeros(self.n_in(), self.n_out());
        for r in 0..self.n_in() {
            for c in 0..self.n_out() {
                out.as_mut_slice()[r * self.n_out() + c] = self.w.at(r, c);
            }
        }
        out
    }

    /// The n_out biases.
    pub(crate) fn biases(&self) -> Vec<f32> {
        (0..self.n_out()).map(|c| self.b.at(0, c)).collect()
    }

    /// Every parameter, weights row-major and then biases.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = f32> + '_ {
        let (rows, cols) = (self.n_in(), self.n_out());
        let weights = (0..rows * cols).map(move |i| self.w.at(i / cols, i % cols));
        weights.chain((0..cols).map(|c| self.b.at(0, c)))
    }
}
