//! A layer: a linear map with optional norm, dropout and residual connection.

use super::activation::Activation;
use super::linear::{Shape, linear_forward};
use super::norm::Norm;
use super::real::Real;
use crate::error::{Error, Result};

/// A layer: Z = X·W + 1bᵀ, Y = Z or its normalisation, A = σ(Y) ⊙ M + R, with M the dropout mask and R
/// the input of a layer below.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer<T> {
    /// Number of inputs.
    pub n_in: usize,
    /// Number of outputs.
    pub n_out: usize,
    /// σ
    pub activation: Activation,
    /// W, row-major `n_in x n_out`; for maxout `n_in x (n_out * units)`.
    pub weight: Vec<T>,
    /// b, one per column of W.
    pub bias: Vec<T>,
    /// The normalisation of Z, if any.
    pub norm: Option<Norm<T>>,
    /// M, the factors of dropout, in the shape of A; none for no dropout.
    pub mask: Option<Vec<T>>,
    /// The length of the residual block that ends with this layer, in layers: R is the input of the first
    /// layer of the block. 0 for no R.
    pub residual: usize,
}

impl<T: Real> Layer<T> {
    /// A layer without norm, dropout and residual connection.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are no inputs or outputs, or the length of `weight` or `bias` does not
    /// fit.
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

    /// Number of columns of W and Z: `n_out`, for maxout times the number of units.
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

    /// Z for the layer's inputs.
    pub(super) fn linear(&self, x: &[T]) -> Vec<T> {
        linear_forward(x, &self.weight, &self.bias, self.shape(x.len() / self.n_in))
    }

    /// The shape of the linear map for `rows` rows.
    pub(super) fn shape(&self, rows: usize) -> Shape {
        Shape { rows, n_in: self.n_in, n_out: self.columns() }
    }
}

/// Checks a number of values.
pub(super) fn check_length(place: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::shape(place, expected, got)) }
}
