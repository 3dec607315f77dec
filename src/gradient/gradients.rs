//! The gradients of a batch, computed by a training step.

use crate::error::Result;
use crate::loss::Loss;
use crate::network::Mlp;
use crate::optim::Sgd;
use crate::program::BatchTargets;
use crate::run::Trainer;
use crate::storage::{MatRef, Matrix};
use crate::threads::Threads;

/// The learning rate of the step. With a large one, the rounding of the changed weight matters little.
/// With this power of two, the error of a gradient is at most 2⁻²⁴ of the gradient plus 2⁻⁴⁴ of the
/// weight.
const RATE: f32 = (1u32 << 20) as f32;

/// The gradients of all layers' parameters, for one batch.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Gradients {
    /// L, the mean loss of the batch.
    pub loss: f32,
    /// One entry per layer.
    pub layers: Vec<LayerGradients>,
}

/// The gradients of one layer's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerGradients {
    /// ∂L/∂W, in the shape of [`Mlp::weights`].
    pub weights: Matrix,
    /// ∂L/∂b, in the order of [`Mlp::biases`].
    pub biases: Vec<f32>,
    /// ∂L/∂γ of the layer's norm or of an affine layer; else empty.
    pub gamma: Vec<f32>,
    /// ∂L/∂β of the layer's norm or of an affine layer; else empty.
    pub beta: Vec<f32>,
}

impl LayerGradients {
    /// The Euclidean norm of the gradients of all the layer's parameters together, summed in f64.
    #[must_use]
    pub fn norm(&self) -> f64 {
        let norm = self.gamma.iter().chain(&self.beta);
        let values = self.weights.as_slice().iter().chain(&self.biases).chain(norm);
        values.map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt()
    }
}

/// The gradients of the mean loss of a batch. `x` is rows x n_in; the targets are labels or values as in
/// [`BatchTargets`]. The dropout masks are those of the first step of a session with seed 0. Batch
/// normalisation uses the statistics of the batch, as in training.
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
        let differences = |old: Vec<f32>, new: Vec<f32>| {
            old.into_iter().zip(new).map(|(old, new)| gradient(old, new)).collect()
        };
        let (old, new) = (net.weights(layer)?, moved.weights(layer)?);
        let (rows, cols) = (old.rows(), old.cols());
        let weights = Matrix::from_vec(rows, cols, differences(old.into_vec(), new.into_vec()))?;
        let biases = differences(net.biases(layer)?, moved.biases(layer)?);
        let [old, new] =
            [net, &moved].map(|net| net.norm_parameters(layer).map(Option::unwrap_or_default));
        let (old, new) = (old?, new?);
        let (gamma, beta) = (differences(old.gamma, new.gamma), differences(old.beta, new.beta));
        Ok(LayerGradients { weights, biases, gamma, beta })
    });
    Ok(Gradients { loss, layers: layers.collect::<Result<_>>()? })
}
