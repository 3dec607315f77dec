//! Gradients to look at, and the check of them against central differences.
//!
//! Training never stores a gradient: the update happens inside the store of the product. So
//! [`gradients`] takes one step of gradient descent with a copy of the network and divides what
//! moved by the learning rate: it is the gradient of the very path that trains.
//! [`check_gradients`] compares it, parameter by parameter, with the change of the loss of the
//! same network in plain loops in f64 ([`reference`](mod@crate::reference)), which shares no code
//! with that path.

mod check;
mod kinks;
mod plain;
mod sizes;

pub use check::{Difference, GradientCheck, Parameter, check_gradients};

use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::network::Mlp;
use crate::optim::Sgd;
use crate::program::BatchTargets;
use crate::reference;
use crate::run::Trainer;
use crate::storage::{MatRef, Matrix};
use crate::threads::Threads;

/// The learning rate of the step. The larger it is, the less the rounding of the moved weight
/// takes from the gradient: with this power of two the error is 2⁻²⁴ of the gradient, or 2⁻⁴⁴ of
/// the weight where that is more.
const RATE: f32 = (1u32 << 20) as f32;

/// ∂L/∂W and ∂L/∂b of every layer, for one batch.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Gradients {
    /// L, the mean loss of the batch.
    pub loss: f32,
    /// One entry a layer, from the input on.
    pub layers: Vec<LayerGradients>,
}

/// The gradient of one layer's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerGradients {
    /// ∂L/∂W, of the shape of [`Mlp::weights`].
    pub weights: Matrix,
    /// ∂L/∂b, as long as [`Mlp::biases`].
    pub biases: Vec<f32>,
    /// ∂L/∂γ of the layer's norm; empty where it has none.
    pub gamma: Vec<f32>,
    /// ∂L/∂β of the layer's norm; empty where it has none.
    pub beta: Vec<f32>,
}

impl LayerGradients {
    /// The Euclidean norm of the gradients of all the layer's parameters together, summed in f64.
    pub fn norm(&self) -> f64 {
        let norm = self.gamma.iter().chain(&self.beta);
        let values = self.weights.as_slice().iter().chain(&self.biases).chain(norm);
        values.map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt()
    }
}

/// The gradient of the mean loss of a batch: `x` is rows x n_in, the targets are labels or
/// rows x n_out values. The network stays as it is. Dropout is that of the first step of a session
/// with seed 0; batch normalisation takes the batch's own statistics, as in training.
///
/// # Errors
/// As [`Trainer::session`] and [`Training::step`](crate::Training::step).
pub fn gradients(net: &Mlp, x: MatRef, targets: BatchTargets, loss: Loss) -> Result<Gradients> {
    let mut moved = net.clone();
    let trainer =
        Trainer::new(Sgd::new(RATE)).loss(loss).batch_size(x.rows().max(1)).threads(Threads::One);
    let mut training = match targets {
        BatchTargets::Classes(_) => trainer.session(&mut moved)?,
        BatchTargets::Values(_) => trainer.session_values(&mut moved)?,
    };
    let loss = training.step(x, targets)?;
    drop(training);
    let gradient =
        |old: f32, new: f32| ((f64::from(old) - f64::from(new)) / f64::from(RATE)) as f32;
    let layers = (0..net.layers().len()).map(|layer| {
        let mut weights = net.weights(layer)?;
        let moved_weights = moved.weights(layer)?;
        for (w, &new) in weights.as_mut_slice().iter_mut().zip(moved_weights.as_slice()) {
            *w = gradient(*w, new);
        }
        let differences = |old: Vec<f32>, new: Vec<f32>| {
            old.into_iter().zip(new).map(|(old, new)| gradient(old, new)).collect()
        };
        let biases = differences(net.biases(layer)?, moved.biases(layer)?);
        let [old, new] =
            [net, &moved].map(|net| net.norm_parameters(layer).map(Option::unwrap_or_default));
        let (old, new) = (old?, new?);
        let (gamma, beta) = (differences(old.gamma, new.gamma), differences(old.beta, new.beta));
        Ok(LayerGradients { weights, biases, gamma, beta })
    });
    Ok(Gradients { loss, layers: layers.collect::<Result<_>>()? })
}

/// The network in plain loops, in f64, as it predicts: without dropout.
///
/// # Errors
/// [`Error::Config`] when a layer has a norm (fold batch normalisation first, by [`Mlp::folded`])
/// or ends a residual block: the lecture's network has neither.
pub fn reference_network(net: &Mlp) -> Result<reference::Network<f64>> {
    let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect();
    let layers = net.layers().enumerate().map(|(layer, shape)| {
        if shape.layer.norm.is_some() || shape.layer.residual > 0 {
            let reason = "norms and residual connections are not part of the reference network";
            return Err(Error::config(format!("layer {layer}"), reason));
        }
        let weights = wide(net.weights(layer)?.as_slice());
        let biases = wide(&net.biases(layer)?);
        let activation = reference_activation(shape.layer.activation());
        reference::Layer::new(shape.n_in, shape.n_out, activation, weights, biases)
    });
    reference::Network::new(layers.collect::<Result<_>>()?)
}

pub(crate) fn reference_activation(activation: crate::Activation) -> reference::Activation {
    use crate::activation::Activation as Fast;
    use reference::Activation as Plain;
    match activation {
        Fast::Identity => Plain::Identity,
        Fast::Sigmoid => Plain::Sigmoid,
        Fast::Tanh => Plain::Tanh,
        Fast::Relu => Plain::Relu,
        Fast::LeakyRelu { slope } => Plain::LeakyRelu { slope: slope.into() },
        Fast::Elu { alpha } => Plain::Elu { alpha: alpha.into() },
        Fast::Gelu => Plain::Gelu,
        Fast::Silu => Plain::Silu,
        Fast::Selu => Plain::Selu,
        Fast::Softplus => Plain::Softplus,
        Fast::Softsign => Plain::Softsign,
        Fast::HardTanh => Plain::HardTanh,
        Fast::Step => Plain::Step,
        Fast::Softmax => Plain::Softmax,
        Fast::Maxout { units } => Plain::Maxout { units },
    }
}

fn reference_loss(loss: Loss) -> reference::Loss {
    match loss {
        Loss::CrossEntropy => reference::Loss::cross_entropy(),
        Loss::MeanSquared => reference::Loss::MeanSquaredError,
        Loss::Quadratic => reference::Loss::Quadratic,
        Loss::BinaryCrossEntropy => reference::Loss::binary_cross_entropy(),
        Loss::MeanAbsolute => reference::Loss::MeanAbsoluteError,
        Loss::Huber { delta } => reference::Loss::Huber { delta: delta.into() },
    }
}
