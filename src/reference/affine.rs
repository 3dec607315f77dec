//! The affine map of a layer, Z = X ⊙ 1γᵀ + 1βᵀ: a scale and a shift per column. ∂L/∂β is that of a bias.
//!
//! x, z and dz are (rows, n), gamma and beta are (n).

use super::real::Real;

/// Z: z_ij = γ_j·x_ij + β_j
#[must_use]
pub fn affine_forward<T: Real>(x: &[T], gamma: &[T], beta: &[T]) -> Vec<T> {
    let column = |i: usize| i % gamma.len();
    x.iter().enumerate().map(|(i, &x)| gamma[column(i)] * x + beta[column(i)]).collect()
}

/// ∂L/∂x: dx_ij = γ_j·dz_ij
#[must_use]
pub fn affine_backward_input<T: Real>(dz: &[T], gamma: &[T]) -> Vec<T> {
    dz.iter().enumerate().map(|(i, &dz)| gamma[i % gamma.len()] * dz).collect()
}

/// ∂L/∂γ, for `n` columns: dγ_j = Σ_i x_ij·dz_ij
#[must_use]
pub fn affine_backward_scale<T: Real>(x: &[T], dz: &[T], n: usize) -> Vec<T> {
    let mut dgamma = vec![T::ZERO; n];
    for (i, (&x, &dz)) in x.iter().zip(dz).enumerate() {
        dgamma[i % n] += x * dz;
    }
    dgamma
}
