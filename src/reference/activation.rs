//! Activations: A = σ(Z), and backward ∂L/∂Z = ∂L/∂A ⊙ σ′(Z).
//!
//! At kinks σ′ is that of PyTorch: ReLU′(0) = 0, leaky ReLU′(0) = slope, ELU′(0) = α,
//! hard tanh′(±1) = 0. σ(NaN) is NaN.

use super::real::{Real, sum};
use crate::math::erfc;
use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// An activation function σ. Parameters are `f64` for both precisions.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// σ(z) = z
    Identity,
    /// σ(z) = 1 / (1 + e⁻ᶻ), σ′ = σ·(1 − σ)
    Sigmoid,
    /// σ(z) = tanh z, σ′ = 1 − σ²
    Tanh,
    /// σ(z) = max(z, 0)
    Relu,
    /// σ(z) = z for z > 0, else slope·z
    LeakyRelu {
        /// The slope for z ≤ 0; 0.1 in the lecture, 0.01 in PyTorch.
        slope: f64,
    },
    /// σ(z) = z for z > 0, else α·(eᶻ − 1)
    Elu {
        /// α; the limit for z → −∞ is −α.
        alpha: f64,
    },
    /// σ(z) = λ·ELU(z) with the constants of self-normalising networks (Klambauer et al. 2017), which
    /// preserve mean 0 and variance 1
    Selu,
    /// σ(z) = z·Φ(z), with Φ the normal distribution function (PyTorch's default)
    Gelu,
    /// σ(z) = ½z·(1 + tanh(√(2/π)·(z + 0.044715·z³))): PyTorch's `approximate="tanh"`
    GeluTanh,
    /// σ(z) = z / (1 + e⁻ᶻ), also called swish
    Silu,
    /// σ(z) = ln(1 + eᶻ), σ′ = 1 / (1 + e⁻ᶻ)
    Softplus,
    /// σ(z) = z / (1 + |z|), σ′ = 1 / (1 + |z|)²
    Softsign,
    /// σ(z) = z clamped to −1..1
    HardTanh,
    /// σ(z) = 1 for z ≥ 0, else 0: the McCulloch–Pitts neuron, which fires if its sum reaches the
    /// threshold. σ′ = 0, so [`Network::gradients`](super::Network::gradients) returns an error
    Step,
    /// σ(z)_j = e^(z_j) / Σ_k e^(z_k), over the row
    Softmax,
    /// σ(z)_j = max over p of z_(j·units + p): a layer of n_out neurons has n_out·units columns, with
    /// those of a neuron next to each other. The first of equal units wins (as in PyTorch's `max`)
    Maxout {
        /// Columns per neuron.
        units: usize,
    },
}

impl Activation {
    /// Leaky ReLU with the slope of the lecture, 0.1.
    #[must_use]
    pub fn leaky_relu() -> Self {
        Activation::LeakyRelu { slope: 0.1 }
    }

    /// ELU with α = 1.
    #[must_use]
    pub fn elu() -> Self {
        Activation::Elu { alpha: 1.0 }
    }

    /// The number of columns of Z per column of A: 1, for maxout the number of units.
    #[must_use]
    pub fn units(self) -> usize {
        if let Activation::Maxout { units } = self { units } else { 1 }
    }
}

/// A = σ(Z), for z of (rows, columns). Maxout returns (rows, columns / units), the others
/// (rows, columns).
#[must_use]
pub fn activation_forward<T: Real>(activation: Activation, z: &[T], columns: usize) -> Vec<T> {
    assert!(columns > 0 && z.len().is_multiple_of(columns), "z is not rows of {columns}");
    if activation == Activation::Softmax {
        return z.chunks(columns).flat_map(softmax).collect();
    }
    if let Activation::Maxout { units } = activation {
        assert!(units > 0 && columns.is_multiple_of(units), "{columns} columns");
        return z.chunks(units).map(|z| z[winner(z)]).collect();
    }
    z.iter().map(|&z| sigma(activation, z)).collect()
}

/// ∂L/∂Z from ∂L/∂A: dz = da ⊙ σ′(z). For softmax, dz_j = a_j·(da_j − Σ_k da_k·a_k) over the row; for
/// maxout, dz is da for the largest unit and 0 for the others.
#[must_use]
pub fn activation_backward<T: Real>(
    activation: Activation,
    da: &[T],
    z: &[T],
    columns: usize,
) -> Vec<T> {
    assert!(columns > 0 && z.len().is_multiple_of(columns), "z is not rows of {columns}");
    assert_eq!(da.len() * activation.units(), z.len(), "lengths of da and z");
    if activation == Activation::Softmax {
        let rows = z.chunks(columns).zip(da.chunks(columns));
        return rows.flat_map(|(z, da)| softmax_backward(da, &softmax(z))).collect();
    }
    if let Activation::Maxout { units } = activation {
        let mut dz = vec![T::ZERO; z.len()];
        for (j, z) in z.chunks(units).enumerate() {
            dz[j * units + winner(z)] = da[j];
        }
        return dz;
    }
    z.iter().zip(da).map(|(&z, &da)| da * sigma_prime(activation, z)).collect()
}

/// p_j = e^(z_j − m) / Σ_k e^(z_k − m) for one row. The maximum m cancels; it prevents overflow.
#[must_use]
pub fn softmax<T: Real>(z: &[T]) -> Vec<T> {
    let m = largest(z);
    let total = sum(z.iter().map(|&z_k| (z_k - m).exp()));
    z.iter().map(|&z_j| (z_j - m).exp() / total).collect()
}

/// ∂a_k/∂z_j = a_k·(1[j = k] − a_j), so dz_j = a_j·(da_j − Σ_k da_k·a_k)
fn softmax_backward<T: Real>(da: &[T], a: &[T]) -> Vec<T> {
    let dot = sum(da.iter().zip(a).map(|(&da_k, &a_k)| da_k * a_k));
    a.iter().zip(da).map(|(&a_j, &da_j)| a_j * (da_j - dot)).collect()
}

pub(super) fn largest<T: Real>(z: &[T]) -> T {
    z.iter().fold(z[0], |m, &z_k| if z_k > m { z_k } else { m })
}

/// The index of the largest unit of a maxout neuron: NaN counts as the largest, and the first of equal
/// units is returned.
fn winner<T: Real>(units: &[T]) -> usize {
    let mut best = 0;
    for (p, &z_p) in units.iter().enumerate() {
        if !units[best].is_nan() && (z_p > units[best] || z_p.is_nan()) {
            best = p;
        }
    }
    best
}

/// λ and α of SELU, to the precision of `f64` (as in PyTorch).
const SELU_LAMBDA: f64 = 1.050_700_987_355_480_5;
const SELU_ALPHA: f64 = 1.673_263_242_354_377_2;

/// The coefficient of z³ in the tanh form of GELU.
const GELU_CUBIC: f64 = 0.044_715;

/// σ(z) for the element-wise activations.
fn sigma<T: Real>(activation: Activation, z: T) -> T {
    let number = T::from_f64;
    let (zero, one, half) = (T::ZERO, T::ONE, number(0.5));
    match activation {
        Activation::Identity => z,
        Activation::Sigmoid => sigmoid(z),
        Activation::Tanh => z.tanh(),
        Activation::Relu => if_positive(z, z, zero),
        Activation::LeakyRelu { slope } => if_positive(z, z, number(slope) * z),
        Activation::Elu { alpha } => if_positive(z, z, number(alpha) * z.exp_m1()),
        Activation::Selu => {
            number(SELU_LAMBDA) * if_positive(z, z, number(SELU_ALPHA) * z.exp_m1())
        }
        Activation::Gelu => z * normal_distribution(z),
        Activation::GeluTanh => half * z * (one + gelu_inner(z).tanh()),
        Activation::Silu => z * sigmoid(z),
        Activation::Softplus => softplus(z),
        Activation::Softsign => z / (one + z.abs()),
        Activation::HardTanh if z > one => one,
        Activation::HardTanh if z < -one => -one,
        Activation::HardTanh => z,
        Activation::Step if z == zero => one,
        Activation::Step => if_positive(z, one, zero),
        Activation::Softmax | Activation::Maxout { .. } => unreachable!("row-wise"),
    }
}

/// σ′(z) for the element-wise activations.
fn sigma_prime<T: Real>(activation: Activation, z: T) -> T {
    let number = T::from_f64;
    let (zero, one, half) = (T::ZERO, T::ONE, number(0.5));
    match activation {
        Activation::Identity => one,
        Activation::Sigmoid => sigmoid(z) * (one - sigmoid(z)),
        Activation::Tanh => one - z.tanh() * z.tanh(),
        Activation::Relu => if_positive(z, one, zero),
        Activation::LeakyRelu { slope } => if_positive(z, one, number(slope)),
        Activation::Elu { alpha } => if_positive(z, one, number(alpha) * z.exp()),
        Activation::Selu => number(SELU_LAMBDA) * if_positive(z, one, number(SELU_ALPHA) * z.exp()),
        // (z·Φ)′ = Φ + z·φ
        Activation::Gelu => normal_distribution(z) + z * normal_density(z),
        // With u = √(2/π)·(z + c·z³): ½(1 + tanh u) + ½z·(1 − tanh² u)·u′
        Activation::GeluTanh => {
            let t = gelu_inner(z).tanh();
            let du = number((2.0 / PI).sqrt()) * (one + number(3.0 * GELU_CUBIC) * z * z);
            half * (one + t) + half * z * (one - t * t) * du
        }
        // (z·s)′ = s + z·s·(1 − s), with s the sigmoid
        Activation::Silu => sigmoid(z) * (one + z * (one - sigmoid(z))),
        Activation::Softplus => sigmoid(z),
        Activation::Softsign => one / ((one + z.abs()) * (one + z.abs())),
        Activation::HardTanh if z >= one || z <= -one => zero,
        Activation::HardTanh | Activation::Step if z.is_nan() => z,
        Activation::HardTanh => one,
        Activation::Step => zero,
        Activation::Softmax | Activation::Maxout { .. } => unreachable!("row-wise"),
    }
}

/// `right` for z > 0, `left` for z ≤ 0, NaN for NaN.
fn if_positive<T: Real>(z: T, right: T, left: T) -> T {
    if z.is_nan() {
        z
    } else if z > T::ZERO {
        right
    } else {
        left
    }
}

/// 1 / (1 + e⁻ᶻ)
pub(super) fn sigmoid<T: Real>(z: T) -> T {
    T::ONE / (T::ONE + (-z).exp())
}

/// ln(1 + eᶻ) = max(z, 0) + ln(1 + e^(−|z|)), without overflow.
pub(super) fn softplus<T: Real>(z: T) -> T {
    if_positive(z, z, T::ZERO) + (-z.abs()).exp().ln_1p()
}

/// Φ(z) = ½·erfc(−z/√2)
fn normal_distribution<T: Real>(z: T) -> T {
    T::from_f64(0.5 * erfc(-z.to_f64() * FRAC_1_SQRT_2))
}

/// φ(z) = e^(−z²/2) / √(2π)
fn normal_density<T: Real>(z: T) -> T {
    T::from_f64((-0.5 * z.to_f64() * z.to_f64()).exp() / (2.0 * PI).sqrt())
}

/// √(2/π)·(z + 0.044715·z³)
fn gelu_inner<T: Real>(z: T) -> T {
    T::from_f64((2.0 / PI).sqrt()) * (z + T::from_f64(GELU_CUBIC) * z * z * z)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ELEMENT_WISE: [Activation; 14] = [
        Activation::Identity,
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.1 },
        Activation::Elu { alpha: 0.7 },
        Activation::Selu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Softplus,
        Activation::Softsign,
        Activation::HardTanh,
        Activation::Step,
    ];

    /// PyTorch has no such function.
    #[test]
    fn the_step_function_is_1_from_0_on() {
        for (z, want) in [(-0.1, 0.0), (-0.0, 1.0), (0.0, 1.0), (2.0, 1.0)] {
            assert_eq!(sigma(Activation::Step, z), want, "{z}");
            assert_eq!(sigma_prime(Activation::Step, z), 0.0, "{z}");
        }
    }

    #[test]
    fn nan_gives_nan_and_large_values_are_finite() {
        for activation in ELEMENT_WISE {
            assert!(sigma(activation, f32::NAN).is_nan(), "{activation:?}");
            let slope = sigma_prime(activation, f32::NAN);
            assert!(slope.is_nan() || activation == Activation::Identity, "{activation:?}'");
            for z in [-100f32, -90.0, 90.0, 100.0] {
                assert!(sigma(activation, z).is_finite(), "{activation:?}({z})");
                assert!(sigma_prime(activation, z).is_finite(), "{activation:?}'({z})");
            }
        }
        let unit = activation_forward(Activation::Maxout { units: 3 }, &[1.0, f64::NAN, 2.0], 3);
        assert!(unit[0].is_nan());
    }

    #[test]
    fn softmax_survives_large_logits() {
        let p = softmax(&[1000.0, 1000.0 + 3f64.ln(), -1000.0]);
        assert!((p[0] - 0.25).abs() < 1e-12 && (p[1] - 0.75).abs() < 1e-12 && p[2] == 0.0);
    }

    #[test]
    fn maxout_takes_the_first_of_the_largest() {
        let maxout = Activation::Maxout { units: 3 };
        let z = [1.0, 5.0, 5.0, -3.0, -2.0, -4.0];
        assert_eq!(activation_forward(maxout, &z, 6), [5.0, -2.0]);
        let dz = activation_backward(maxout, &[10.0, 20.0], &z, 6);
        assert_eq!(dz, [0.0, 10.0, 0.0, 0.0, 20.0, 0.0]);
    }
}
