//! The reference implementation: multilayer perceptrons in plain loops.
//!
//! One function per formula, generic over `f32` and `f64`, without SIMD and threads. It is written to be
//! read. Tests compare the fast implementation with it, and benches use it as their baseline. It shares
//! no code with the fast implementation, not even enums, so no mistake can be common to both.
//!
//! | file | formulas |
//! |---|---|
//! | `linear` | Z = X·W + 1bᵀ and its three gradients |
//! | `affine` | Z = X ⊙ 1γᵀ + 1βᵀ and its gradients |
//! | `activation` | A = σ(Z) and ∂L/∂Z = ∂L/∂A ⊙ σ′(Z) |
//! | `sample_loss` | ℓ(ŷ, y) and ∂ℓ/∂ŷ; ∂ℓ/∂z where the loss contains softmax or the sigmoid |
//! | `loss` | L, the mean of ℓ over a batch, with weights |
//! | `optim` | w ← w − η·(…), one function per optimiser |
//! | `penalty` | L1, L2 and their gradients; weight decay |
//! | `norm` | Y = γ ⊙ Ẑ + β over rows or over the batch, and its three gradients |
//! | `layer` | a linear or affine map with norm, activation, dropout and residual connection |
//! | `network` | a sequence of layers: forward, backpropagation, one step |
//!
//! Matrices are row-major slices, one sample per row; weights are `n_in x n_out`. Names follow llm.c: `x`
//! is a value, `dx` is ∂L/∂x. The functions panic if the lengths of slices do not fit; the methods of
//! [`Network`] return errors.
//!
//! Example: XOR, which a single layer cannot learn.
//!
//! ```
//! use deltarule::reference::{Activation, Batch, Layer, Loss, Network, Optimizer, Rule, Target};
//!
//! let mut network = Network::new(vec![
//!     Layer::new(2, 3, Activation::Tanh, vec![1.0, -0.5, 0.3, 0.4, 1.2, -0.7], vec![0.0; 3])?,
//!     Layer::new(3, 2, Activation::Softmax, vec![0.5, -0.1, -0.3, 0.2, 0.8, 0.1], vec![0.0; 2])?,
//! ])?;
//! let batch = Batch::new(&[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], Target::Labels(&[0, 1, 1, 0]));
//! let mut adam = Optimizer::new(Rule::adam(), 0.05);
//! let mut loss: f64 = f64::NAN;
//! for _ in 0..200 {
//!     loss = network.step(&batch, &Loss::cross_entropy(), &mut adam)?;
//! }
//! assert!(loss < 0.05);
//! # Ok::<(), deltarule::Error>(())
//! ```

mod activation;
mod affine;
mod layer;
mod linear;
mod loss;
mod network;
mod norm;
mod optim;
mod penalty;
mod real;
mod row_losses;
mod sample_loss;

pub use activation::{Activation, activation_backward, activation_forward, softmax};
pub use affine::{affine_backward_input, affine_backward_scale, affine_forward};
pub use layer::{Layer, Map};
pub use linear::{
    Shape, linear_backward_bias, linear_backward_input, linear_backward_weight, linear_forward,
};
pub(crate) use loss::target_rows;
pub use loss::{Loss, Target, loss_backward, loss_forward, one_hot, smooth_labels};
pub use network::{Batch, Gradients, LayerOutput, Network};
pub use norm::{Norm, NormKind, norm_backward, norm_forward};
pub use optim::{
    Decay, Optimizer, Rule, adagrad_step, adam_step, lion_step, momentum_step, nesterov_step,
    rmsprop_step, sgd_step,
};
pub use penalty::{l1_backward, l1_penalty, l2_backward, l2_penalty, weight_decay};
pub use real::Real;
pub(crate) use row_losses::hinge_margin;
pub use row_losses::{
    gaussian_nll, gaussian_nll_backward, hinge, hinge_backward, poisson_nll, poisson_nll_backward,
    quantile_error, quantile_error_backward,
};
pub use sample_loss::{
    absolute_error, absolute_error_backward, huber, huber_backward, quadratic_cost,
    quadratic_cost_backward, sigmoid_cross_entropy, sigmoid_cross_entropy_backward,
    softmax_cross_entropy, softmax_cross_entropy_backward, squared_error, squared_error_backward,
};
