//! A layer: a linear or an affine map with optional norm, dropout and residual connection.

use super::activation::Activation;
use super::affine::{affine_backward_input, affine_backward_scale, affine_forward};
use super::linear::{
    Shape, linear_backward_bias, linear_backward_input, linear_backward_weight, linear_forward,
};
use super::norm::Norm;
use super::real::Real;
use crate::error::{Error, Result};

/// The map of a layer from X to Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Map {
    /// Z = X·W + 1bᵀ
    Linear,
    /// Z = X ⊙ 1γᵀ + 1βᵀ
    Affine,
}

/// A layer: Z is a [`Map`] of X, Y = Z or its normalisation, A = σ(Y) ⊙ M + R, with M the dropout mask and
/// R the input of a layer below.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer<T> {
    /// Number of inputs.
    pub n_in: usize,
    /// Number of outputs.
    pub n_out: usize,
    /// The map from X to Z.
    pub map: Map,
    /// σ
    pub activation: Activation,
    /// W, row-major `n_in x n_out`; for maxout `n_in x (n_out * units)`; γ of an affine map.
    pub weight: Vec<T>,
    /// b, one per column of W; β of an affine map.
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
    /// A layer with a linear map, without norm, dropout and residual connection.
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
        Layer::plain(Map::Linear, [n_in, n_out], activation, [weight, bias])
    }

    /// A layer with an affine map of `gamma.len()` values, without activation, norm, dropout and residual
    /// connection.
    ///
    /// # Errors
    /// [`Error::Shape`] if there are no values, or the lengths of `gamma` and `beta` differ.
    pub fn affine(gamma: Vec<T>, beta: Vec<T>) -> Result<Self> {
        Layer::plain(Map::Affine, [gamma.len(); 2], Activation::Identity, [gamma, beta])
    }

    fn plain(
        map: Map,
        [n_in, n_out]: [usize; 2],
        activation: Activation,
        [weight, bias]: [Vec<T>; 2],
    ) -> Result<Self> {
        let (norm, mask, residual) = (None, None, 0);
        let layer = Layer { n_in, n_out, map, activation, weight, bias, norm, mask, residual };
        layer.check()?;
        Ok(layer)
    }

    /// Number of columns of W and Z: `n_out`, for maxout times the number of units.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.n_out * self.activation.units()
    }

    pub(super) fn cast<U: Real>(&self) -> Layer<U> {
        let cast = |v: &Vec<T>| v.iter().map(|x| U::from_f64(x.to_f64())).collect();
        Layer {
            n_in: self.n_in,
            n_out: self.n_out,
            map: self.map,
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
        let weights = match self.map {
            Map::Linear => self.n_in * self.columns(),
            Map::Affine => {
                check_length("columns", self.n_in, self.columns())?;
                self.n_in
            }
        };
        check_length("weight", weights, self.weight.len())?;
        check_length("bias", self.columns(), self.bias.len())?;
        let Some(norm) = &self.norm else { return Ok(()) };
        check_length("gamma", self.columns(), norm.gamma.len())?;
        check_length("beta", self.columns(), norm.beta.len())
    }

    /// Z for the layer's inputs.
    pub(crate) fn forward(&self, x: &[T]) -> Vec<T> {
        match self.map {
            Map::Linear => {
                linear_forward(x, &self.weight, &self.bias, self.shape(x.len() / self.n_in))
            }
            Map::Affine => affine_forward(x, &self.weight, &self.bias),
        }
    }

    /// The gradients of `weight` and `bias` from the layer's inputs and ∂L/∂Z.
    pub(super) fn backward(&self, x: &[T], dz: &[T]) -> [Vec<T>; 2] {
        let shape = self.shape(x.len() / self.n_in);
        let weight = match self.map {
            Map::Linear => linear_backward_weight(x, dz, shape),
            Map::Affine => affine_backward_scale(x, dz, self.n_in),
        };
        [weight, linear_backward_bias(dz, shape)]
    }

    /// ∂L/∂X from ∂L/∂Z.
    pub(super) fn backward_input(&self, dz: &[T]) -> Vec<T> {
        match self.map {
            Map::Linear => {
                linear_backward_input(dz, &self.weight, self.shape(dz.len() / self.columns()))
            }
            Map::Affine => affine_backward_input(dz, &self.weight),
        }
    }

    fn shape(&self, rows: usize) -> Shape {
        Shape { rows, n_in: self.n_in, n_out: self.columns() }
    }
}

pub(super) fn check_length(place: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::shape(place, expected, got)) }
}
