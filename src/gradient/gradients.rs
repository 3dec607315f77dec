//! The gradients of one batch, by the path that trains.

use crate::error::Result;
use crate::loss::Loss;
use crate::network::Mlp;
use crate::optim::Sgd;
use crate::program::BatchTargets;
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
    /// One entry per layer, from the input on.
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
