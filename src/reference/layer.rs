//! One layer with what may stand around its linear map.

use super::activation::Activation;
use super::linear::{Shape, linear_forward};
use super::norm::Norm;
use super::real::Real;
use crate::error::{Error, Result};

/// One layer: Z = X·W + 1bᵀ, Y = Z or its normalisation, A = σ(Y) ⊙ M + R, with M the mask of dropout
/// and R the outputs of a layer below.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer<T> {
    /// Inputs.
    pub n_in: usize,
    /// Outputs.
    pub n_out: usize,
    /// σ
    pub activation: Activation,
    /// W, row-major `n_in x n_out`; for maxout `n_in x (n_out * units)`.
    pub weight: Vec<T>,
    /// b, one per column of W.
    pub bias: Vec<T>,
    /// The normalisation of Z.
    pub norm: Option<Norm<T>>,
    /// M, of the shape of A: what dropout multiplies each value by. None for no dropout.
    pub mask: Option<Vec<T>>,
    /// R is the input of the layer that is `residual - 1` layers before this one; 0 for no R.
    pub residual: usize,
}

impl<T: Real> Layer<T> {
    /// A layer with these parameters, without norm, dropout and residual connection.
    ///
    /// # Errors
    /// [`Error::Shape`] when `weight` or `bias` has another length than the layer needs.
    pub fn new(
        n_in: usize,
        n_out: usize,
        activation: Activation,
        weight: Vec<T>,
        bias: Vec<T>,
    ) -> Result<Self> {
        let (norm, mask, residual) = (None, None, 0);
        let layer = Layer { n_in, n_out, activation, weight, bias, norm, mask, residual };
        layer.check()?;
        Ok(layer)
    }

    /// Columns of W and Z: `n_out`, for maxout times the units.
    pub fn columns(&self) -> usize {
        self.n_out * self.activation.units()
    }

    /// The same layer in another precision.
    pub(super) fn cast<U: Real>(&self) -> Layer<U> {
        let cast = |v: &Vec<T>| v.iter().map(|x| U::from_f64(x.to_f64())).collect();
        Layer {
            n_in: self.n_in,
            n_out: self.n_out,
            activation: self.activation,
            weight: cast(&self.weight),
            bias: cast(&self.bias),
            norm: self.norm.as_ref().map(|norm| Norm {
                kind: norm.kind,
                gamma: cast(&norm.gamma),
                beta: cast(&norm.beta),
            }),
            mask: self.mask.as_ref().map(cast),
            residual: self.residual,
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.n_in == 0 || self.columns() == 0 {
            return Err(Error::shape("layer", "inputs and outputs", "none"));
        }
        check_length("weight", self.n_in * self.columns(), self.weight.len())?;
        check_length("bias", self.columns(), self.bias.len())?;
        let Some(norm) = &self.norm else { return Ok(()) };
        check_length("gamma", self.columns(), norm.gamma.len())?;
        check_length("beta", self.columns(), norm.beta.len())
    }

    /// Z from the layer's inputs.
    pub(super) fn linear(&self, x: &[T]) -> Vec<T> {
        linear_forward(x, &self.weight, &self.bias, self.shape(x.len() / self.n_in))
    }

    /// The sizes of the linear map of `rows` rows.
    pub(super) fn shape(&self, rows: usize) -> Shape {
        Shape { rows, n_in: self.n_in, n_out: self.columns() }
    }
}

/// Checks a number of values.
pub(super) fn check_length(place: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::shape(place, expected, got)) }
}
