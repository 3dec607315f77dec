//! The linear map of one layer, Z = X·W + 1bᵀ, and its three gradients.
//!
//! x is (rows, n_in), weight is (n_in, n_out), bias is (n_out), z and dz are (rows, n_out).
//!
//! Each product is its formula: one dot product per element, with the sum in the innermost loop. It is
//! slow on purpose (a sum is one chain, and most run down a column of a row-major matrix), as the
//! baseline of the fast implementation. With other orders of the loops the compiler would vectorise
//! them.

use super::real::Real;

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
    fn check<T>(self, x: Option<&[T]>, weight: Option<&[T]>, bias: Option<&[T]>, z: Option<&[T]>) {
        let Shape { rows, n_in, n_out } = self;
        let expect = |name, slice: Option<&[T]>, len| {
            if let Some(slice) = slice {
                assert_eq!(slice.len(), len, "length of {name} for {self:?}");
            }
        };
        expect("x", x, rows * n_in);
        expect("weight", weight, n_in * n_out);
        expect("bias", bias, n_out);
        expect("z or dz", z, rows * n_out);
    }
}

/// Z = X·W + 1bᵀ: z_ij = b_j + Σ_k x_ik·w_kj
///
/// # Panics
/// If the length of a slice does not fit `shape`.
pub fn linear_forward<T: Real>(x: &[T], weight: &[T], bias: &[T], shape: Shape) -> Vec<T> {
    shape.check(Some(x), Some(weight), Some(bias), None);
    let Shape { rows, n_in, n_out } = shape;
    let mut z = vec![T::ZERO; rows * n_out];
    for i in 0..rows {
        for (j, &b_j) in bias.iter().enumerate() {
            let mut sum = b_j;
            for k in 0..n_in {
                sum += x[i * n_in + k] * weight[k * n_out + j];
            }
            z[i * n_out + j] = sum;
        }
    }
    z
}

/// ∂L/∂x = δ·Wᵀ: dx_ik = Σ_j dz_ij·w_kj
///
/// # Panics
/// If the length of a slice does not fit `shape`.
pub fn linear_backward_input<T: Real>(dz: &[T], weight: &[T], shape: Shape) -> Vec<T> {
    shape.check(None, Some(weight), None, Some(dz));
    let Shape { rows, n_in, n_out } = shape;
    let mut dx = vec![T::ZERO; rows * n_in];
    for i in 0..rows {
        for k in 0..n_in {
            let mut sum = T::ZERO;
            for j in 0..n_out {
                sum += dz[i * n_out + j] * weight[k * n_out + j];
            }
            dx[i * n_in + k] = sum;
        }
    }
    dx
}

/// ∂L/∂W = x·δᵀ summed over the batch, Xᵀ·D: dw_kj = Σ_i x_ik·dz_ij
///
/// # Panics
/// If the length of a slice does not fit `shape`.
pub fn linear_backward_weight<T: Real>(x: &[T], dz: &[T], shape: Shape) -> Vec<T> {
    shape.check(Some(x), None, None, Some(dz));
    let Shape { rows, n_in, n_out } = shape;
    let mut dweight = vec![T::ZERO; n_in * n_out];
    for k in 0..n_in {
        for j in 0..n_out {
            let mut sum = T::ZERO;
            for i in 0..rows {
                sum += x[i * n_in + k] * dz[i * n_out + j];
            }
            dweight[k * n_out + j] = sum;
        }
    }
    dweight
}

/// ∂L/∂b = Σ δ over the batch: db_j = Σ_i dz_ij
///
/// # Panics
/// If the length of a slice does not fit `shape`.
pub fn linear_backward_bias<T: Real>(dz: &[T], shape: Shape) -> Vec<T> {
    shape.check(None, None, None, Some(dz));
    let Shape { rows, n_out, .. } = shape;
    let mut dbias = vec![T::ZERO; n_out];
    for (j, db_j) in dbias.iter_mut().enumerate() {
        for i in 0..rows {
            *db_j += dz[i * n_out + j];
        }
    }
    dbias
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { rows: 2, n_in: 3, n_out: 2 };
    const X: [f64; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    const W: [f64; 6] = [1.0, -1.0, 0.5, 2.0, 0.0, 3.0];
    const DZ: [f64; 4] = [1.0, 10.0, 100.0, 1000.0];

    /// Small integers and halves, computed by hand; all values are exact.
    #[test]
    fn products_by_hand() {
        assert_eq!(linear_forward(&X, &W, &[10.0, 20.0], SHAPE), [12.0, 32.0, 16.5, 44.0]);
        let dx = [-9.0, 20.5, 30.0, -900.0, 2050.0, 3000.0];
        assert_eq!(linear_backward_input(&DZ, &W, SHAPE), dx);
        let dw = [401.0, 4010.0, 502.0, 5020.0, 603.0, 6030.0];
        assert_eq!(linear_backward_weight(&X, &DZ, SHAPE), dw);
        assert_eq!(linear_backward_bias(&DZ, SHAPE), [101.0, 1010.0]);
    }

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
        linear_forward(&X, &W[1..], &[0.0, 0.0], SHAPE);
    }
}
