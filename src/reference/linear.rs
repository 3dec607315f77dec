//! The linear map of one layer, Z = X·W + 1bᵀ, and its three gradients.
//!
//! x is (rows, n_in), weight is (n_in, n_out), bias is (n_out), z and dz are (rows, n_out).
//!
//! Each product is its formula: one dot product per element, with the sum in the innermost loop. It is
//! slow on purpose (a sum is one chain, and most run down a column of a row-major matrix), as the
//! baseline of the fast implementation. With other orders of the loops the compiler would vectorise
//! them.

use super::real::{Real, sum};

/// The shape of a linear map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of samples.
    pub rows: usize,
    /// Number of inputs.
    pub n_in: usize,
    /// Number of outputs.
    pub n_out: usize,
}

impl Shape {
    fn check(self, lengths: &[(&str, usize, usize)]) {
        for &(name, got, expected) in lengths {
            assert_eq!(got, expected, "length of {name} for {self:?}");
        }
    }
}

/// Z = X·W + 1bᵀ: z_ij = b_j + Σ_k x_ik·w_kj
#[must_use]
pub fn linear_forward<T: Real>(x: &[T], weight: &[T], bias: &[T], shape: Shape) -> Vec<T> {
    let Shape { rows, n_in, n_out } = shape;
    shape.check(&[("x", x.len(), rows * n_in), ("weight", weight.len(), n_in * n_out)]);
    shape.check(&[("bias", bias.len(), n_out)]);
    let term = |i: usize, j: usize, k: usize| x[i * n_in + k] * weight[k * n_out + j];
    let value = |i, j| (0..n_in).fold(bias[j], |sum, k| sum + term(i, j, k));
    matrix(rows, n_out, value)
}

/// ∂L/∂x = δ·Wᵀ: dx_ik = Σ_j dz_ij·w_kj
#[must_use]
pub fn linear_backward_input<T: Real>(dz: &[T], weight: &[T], shape: Shape) -> Vec<T> {
    let Shape { rows, n_in, n_out } = shape;
    shape.check(&[("weight", weight.len(), n_in * n_out), ("dz", dz.len(), rows * n_out)]);
    let term = |i: usize, k: usize, j: usize| dz[i * n_out + j] * weight[k * n_out + j];
    matrix(rows, n_in, |i, k| sum((0..n_out).map(|j| term(i, k, j))))
}

/// ∂L/∂W = x·δᵀ summed over the batch, Xᵀ·D: dw_kj = Σ_i x_ik·dz_ij
#[must_use]
pub fn linear_backward_weight<T: Real>(x: &[T], dz: &[T], shape: Shape) -> Vec<T> {
    let Shape { rows, n_in, n_out } = shape;
    shape.check(&[("x", x.len(), rows * n_in), ("dz", dz.len(), rows * n_out)]);
    let term = |k: usize, j: usize, i: usize| x[i * n_in + k] * dz[i * n_out + j];
    matrix(n_in, n_out, |k, j| sum((0..rows).map(|i| term(k, j, i))))
}

/// ∂L/∂b = Σ δ over the batch: db_j = Σ_i dz_ij
#[must_use]
pub fn linear_backward_bias<T: Real>(dz: &[T], shape: Shape) -> Vec<T> {
    let Shape { rows, n_out, .. } = shape;
    shape.check(&[("dz", dz.len(), rows * n_out)]);
    matrix(1, n_out, |_, j| sum((0..rows).map(|i| dz[i * n_out + j])))
}

/// The row-major matrix of the values of (row, column).
fn matrix<T>(rows: usize, columns: usize, value: impl Fn(usize, usize) -> T) -> Vec<T> {
    let value = &value;
    (0..rows).flat_map(|i| (0..columns).map(move |j| value(i, j))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { rows: 2, n_in: 3, n_out: 2 };

    #[test]
    fn empty_sums_are_the_bias_or_zero() {
        let no_input = Shape { n_in: 0, ..SHAPE };
        assert_eq!(linear_forward(&[], &[], &[1.0, 2.0], no_input), [1.0, 2.0, 1.0, 2.0]);
        let no_rows = Shape { rows: 0, ..SHAPE };
        assert_eq!(linear_backward_weight::<f32>(&[], &[], no_rows), [0.0; 6]);
        assert_eq!(linear_backward_bias::<f32>(&[], no_rows), [0.0; 2]);
    }

    #[test]
    #[should_panic(expected = "length of weight")]
    fn a_wrong_length_is_named() {
        let _ = linear_forward(&[0.0; 6], &[0.0; 5], &[0.0; 2], SHAPE);
    }
}
