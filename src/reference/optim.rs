//! Optimisers: w ← w − η·(…), with g = ∂L/∂w and the formulas of PyTorch.
//!
//! One function per formula, over one tensor and its state, which is initially zero. [`Optimizer`] has
//! the state of all tensors of a network. Hyper-parameters are `f64` for both precisions and are combined
//! in `f64` (as in PyTorch, where they are Python floats), so 1 − 0.999 is accurate also for `f32`
//! weights.

use super::penalty::{l1_backward, l2_backward, weight_decay};
use super::real::Real;
use crate::error::{Error, Result};

/// The update rule.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// [`sgd_step`]
    Sgd,
    /// [`momentum_step`]
    Momentum {
        /// μ
        momentum: f64,
    },
    /// [`nesterov_step`]
    Nesterov {
        /// μ
        momentum: f64,
    },
    /// [`rmsprop_step`]
    RmsProp {
        /// α, the decay rate of the mean square
        alpha: f64,
        /// ε
        epsilon: f64,
    },
    /// [`adagrad_step`]
    Adagrad {
        /// ε
        epsilon: f64,
    },
    /// [`adam_step`]
    Adam {
        /// β₁, β₂
        betas: [f64; 2],
        /// ε
        epsilon: f64,
    },
    /// [`weight_decay`], then [`adam_step`]
    AdamW {
        /// β₁, β₂
        betas: [f64; 2],
        /// ε
        epsilon: f64,
        /// λ of the decay
        weight_decay: f64,
    },
    /// [`weight_decay`], then [`lion_step`]
    Lion {
        /// β₁, β₂
        betas: [f64; 2],
        /// λ of the decay
        weight_decay: f64,
    },
}

/// The defaults of PyTorch, and for Lion those of the paper.
impl Rule {
    /// α = 0.99, ε = 10⁻⁸
    #[must_use]
    pub fn rmsprop() -> Self {
        Rule::RmsProp { alpha: 0.99, epsilon: 1e-8 }
    }

    /// ε = 10⁻¹⁰
    #[must_use]
    pub fn adagrad() -> Self {
        Rule::Adagrad { epsilon: 1e-10 }
    }

    /// β = (0.9, 0.999), ε = 10⁻⁸
    #[must_use]
    pub fn adam() -> Self {
        Rule::Adam { betas: [0.9, 0.999], epsilon: 1e-8 }
    }

    /// β = (0.9, 0.999), ε = 10⁻⁸, λ = 0.01
    #[must_use]
    pub fn adamw() -> Self {
        Rule::AdamW { betas: [0.9, 0.999], epsilon: 1e-8, weight_decay: 0.01 }
    }

    /// β = (0.9, 0.99), λ = 0 (Chen et al. 2023)
    #[must_use]
    pub fn lion() -> Self {
        Rule::Lion { betas: [0.9, 0.99], weight_decay: 0.0 }
    }
}

/// The tensors to which L1, L2 and weight decay apply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Decay {
    /// Weights and biases, as in PyTorch.
    #[default]
    All,
    /// Weights only, as in Nielsen's book.
    WeightsOnly,
}

/// A rule, its learning rate, penalties, and the state of every tensor.
#[derive(Clone, Debug)]
pub struct Optimizer<T> {
    /// The update rule.
    pub rule: Rule,
    /// η
    pub learning_rate: f64,
    /// λ of [`l1_backward`], added to the gradient.
    pub l1: f64,
    /// λ of [`l2_backward`], added to the gradient (PyTorch's `weight_decay`, except for AdamW).
    pub l2: f64,
    /// The tensors to which penalties and decay apply.
    pub decay: Decay,
    steps: i32,
    state: Vec<[Vec<T>; 2]>,
}

impl<T: Real> Optimizer<T> {
    /// An optimiser without penalties.
    #[must_use]
    pub fn new(rule: Rule, learning_rate: f64) -> Self {
        let (l1, l2, decay) = (0.0, 0.0, Decay::All);
        Optimizer { rule, learning_rate, l1, l2, decay, steps: 0, state: Vec::new() }
    }

    /// One step over `(tensor, gradient)` pairs: weight, bias, γ and β of each layer, with the same
    /// lengths in each step.
    ///
    /// # Errors
    /// [`Error::Config`] if the lengths differ from those of the first step.
    pub(super) fn step(&mut self, tensors: Vec<(&mut [T], &[T])>) -> Result<()> {
        if self.steps == 0 {
            let zeros = |w: &[T]| vec![T::ZERO; w.len()];
            self.state = tensors.iter().map(|(w, _)| [zeros(w), zeros(w)]).collect();
        }
        let lengths = tensors.iter().map(|(w, _)| w.len());
        if !lengths.eq(self.state.iter().map(|[m, _]| m.len())) {
            return Err(Error::config("optimizer", "has the state of another network"));
        }
        self.steps += 1;
        for (slot, (w, gradient)) in tensors.into_iter().enumerate() {
            let penalised = self.decay == Decay::All || slot % 4 == 0;
            let mut g = gradient.to_vec();
            if penalised {
                l2_backward(w, &mut g, self.l2);
                l1_backward(w, &mut g, self.l1);
            }
            let decay = if penalised { self.learning_rate } else { 0.0 };
            let (eta, t, [m, v]) = (self.learning_rate, self.steps, &mut self.state[slot]);
            match self.rule {
                Rule::Sgd => sgd_step(w, &g, eta),
                Rule::Momentum { momentum } => momentum_step(w, &g, m, eta, momentum),
                Rule::Nesterov { momentum } => nesterov_step(w, &g, m, eta, momentum),
                Rule::RmsProp { alpha, epsilon } => rmsprop_step(w, &g, v, eta, alpha, epsilon),
                Rule::Adagrad { epsilon } => adagrad_step(w, &g, v, eta, epsilon),
                Rule::Adam { betas, epsilon } => adam_step(w, &g, [m, v], t, eta, betas, epsilon),
                Rule::AdamW { betas, epsilon, weight_decay: lambda } => {
                    weight_decay(w, decay, lambda);
                    adam_step(w, &g, [m, v], t, eta, betas, epsilon);
                }
                Rule::Lion { betas, weight_decay: lambda } => {
                    weight_decay(w, decay, lambda);
                    lion_step(w, &g, m, eta, betas);
                }
            }
        }
        Ok(())
    }
}

/// w ← w − η·g
pub fn sgd_step<T: Real>(w: &mut [T], g: &[T], eta: f64) {
    let eta = T::from_f64(eta);
    for (w, &g) in w.iter_mut().zip(g) {
        *w += -(eta * g);
    }
}

/// v ← μ·v + g; w ← w − η·v
pub fn momentum_step<T: Real>(w: &mut [T], g: &[T], v: &mut [T], eta: f64, mu: f64) {
    let (eta, mu) = (T::from_f64(eta), T::from_f64(mu));
    for ((w, &g), v) in w.iter_mut().zip(g).zip(v) {
        *v = mu * *v + g;
        *w += -(eta * *v);
    }
}

/// v ← μ·v + g; w ← w − η·(g + μ·v)
pub fn nesterov_step<T: Real>(w: &mut [T], g: &[T], v: &mut [T], eta: f64, mu: f64) {
    let (eta, mu) = (T::from_f64(eta), T::from_f64(mu));
    for ((w, &g), v) in w.iter_mut().zip(g).zip(v) {
        *v = mu * *v + g;
        *w += -(eta * (g + mu * *v));
    }
}

/// v ← α·v + (1 − α)·g²; w ← w − η·g/(√v + ε)
pub fn rmsprop_step<T: Real>(
    w: &mut [T],
    g: &[T],
    v: &mut [T],
    eta: f64,
    alpha: f64,
    epsilon: f64,
) {
    let (eta, epsilon) = (T::from_f64(eta), T::from_f64(epsilon));
    let (decay, rest) = (T::from_f64(alpha), T::from_f64(1.0 - alpha));
    for ((w, &g), v) in w.iter_mut().zip(g).zip(v) {
        *v = decay * *v + rest * g * g;
        *w += -(eta * g / (v.sqrt() + epsilon));
    }
}

/// v ← v + g²; w ← w − η·g/(√v + ε)
pub fn adagrad_step<T: Real>(w: &mut [T], g: &[T], v: &mut [T], eta: f64, epsilon: f64) {
    let (eta, epsilon) = (T::from_f64(eta), T::from_f64(epsilon));
    for ((w, &g), v) in w.iter_mut().zip(g).zip(v) {
        *v += g * g;
        *w += -(eta * g / (v.sqrt() + epsilon));
    }
}

/// Step t = 1, 2, … of Adam:
///
/// m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²;
/// w ← w − η·m̂/(√v̂ + ε) with m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ)
///
/// The corrections are applied as PyTorch does: η/(1 − β₁ᵗ) is one number, and √v̂ is
/// √v/√(1 − β₂ᵗ).
pub fn adam_step<T: Real>(
    w: &mut [T],
    g: &[T],
    [m, v]: [&mut [T]; 2],
    t: i32,
    eta: f64,
    [beta1, beta2]: [f64; 2],
    epsilon: f64,
) {
    let (decay_m, rest_m) = (T::from_f64(beta1), T::from_f64(1.0 - beta1));
    let (decay_v, rest_v) = (T::from_f64(beta2), T::from_f64(1.0 - beta2));
    let step_size = T::from_f64(eta / (1.0 - beta1.powi(t)));
    let v_correction = T::from_f64((1.0 - beta2.powi(t)).sqrt());
    let epsilon = T::from_f64(epsilon);
    for (((w, &g), m), v) in w.iter_mut().zip(g).zip(m).zip(v) {
        *m = decay_m * *m + rest_m * g;
        *v = decay_v * *v + rest_v * g * g;
        *w += -(step_size * *m / (v.sqrt() / v_correction + epsilon));
    }
}

/// u = sign(β₁·m + (1 − β₁)·g); w ← w − η·u; m ← β₂·m + (1 − β₂)·g
pub fn lion_step<T: Real>(w: &mut [T], g: &[T], m: &mut [T], eta: f64, [beta1, beta2]: [f64; 2]) {
    let eta = T::from_f64(eta);
    let (decay_u, rest_u) = (T::from_f64(beta1), T::from_f64(1.0 - beta1));
    let (decay_m, rest_m) = (T::from_f64(beta2), T::from_f64(1.0 - beta2));
    for ((w, &g), m) in w.iter_mut().zip(g).zip(m) {
        *w += -(eta * (decay_u * *m + rest_u * g).sign());
        *m = decay_m * *m + rest_m * g;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(got: &[f64], want: &[f64]) {
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() <= 1e-12, "{got}, not {want}");
        }
    }

    #[test]
    fn lion_follows_the_sign_of_the_mean() {
        let (mut w, mut m) = ([1.0], [1.0]);
        // 0.9 * 1 - 0.1 * 5 > 0: w decreases although the gradient is negative.
        lion_step(&mut w, &[-5.0], &mut m, 0.1, [0.9, 0.99]);
        near(&w, &[0.9]);
        near(&m, &[0.94]);
        lion_step(&mut w, &[-10.0], &mut m, 0.1, [0.9, 0.99]);
        near(&w, &[1.0]);
    }
}
