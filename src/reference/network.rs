//! Layers in a row: forward, backpropagation, one step.

use super::activation::{Activation, activation_backward, activation_forward};
use super::layer::{Layer, check_length};
use super::loss::{Loss, Target, loss_backward, loss_forward};
use super::norm::{norm_backward, norm_forward};
use super::optim::Optimizer;
use super::real::Real;
use crate::error::{Error, Result};

/// A multilayer perceptron. [`Network::new`] checks that the layers fit each other. Methods may panic if
/// `layers` is changed afterwards and they no longer fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Network<T> {
    /// From the inputs to the outputs.
    pub layers: Vec<Layer<T>>,
}

/// Samples with their targets.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a, T> {
    /// X, one sample per row.
    pub x: &'a [T],
    /// The targets of the samples.
    pub target: Target<'a, T>,
    /// s, one per sample; none for 1 each.
    pub sample_weights: Option<&'a [T]>,
}

/// The results of the forward pass for one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerOutput<T> {
    /// Z, the layer's map of X.
    pub z: Vec<T>,
    /// Y, the argument of σ: Z, or its normalisation.
    pub y: Vec<T>,
    /// A = σ(Y) ⊙ M + R
    pub a: Vec<T>,
}

/// The results of backpropagation for one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients<T> {
    /// ∂L/∂A; empty for the last layer if the loss is [on logits](Loss::is_on_logits).
    pub da: Vec<T>,
    /// ∂L/∂Y
    pub dy: Vec<T>,
    /// δ = ∂L/∂Z
    pub delta: Vec<T>,
    /// ∂L/∂W; ∂L/∂γ of an affine map
    pub weight: Vec<T>,
    /// ∂L/∂b; ∂L/∂β of an affine map
    pub bias: Vec<T>,
    /// ∂L/∂γ; empty without a norm.
    pub gamma: Vec<T>,
    /// ∂L/∂β; empty without a norm.
    pub beta: Vec<T>,
}

impl<'a, T> Batch<'a, T> {
    /// A batch without sample weights.
    #[must_use]
    pub fn new(x: &'a [T], target: Target<'a, T>) -> Self {
        Batch { x, target, sample_weights: None }
    }
}

impl<T: Real> Network<T> {
    /// A network of these layers.
    ///
    /// # Errors
    /// [`Error::Shape`] if there is no layer, the lengths of a layer's parameters do not fit, or the
    /// inputs of a layer are not as many as the outputs of the one before. [`Error::Config`] if the last
    /// layer has a norm, dropout or a residual connection, or the shape of an R is not that of A.
    pub fn new(layers: Vec<Layer<T>>) -> Result<Self> {
        if layers.is_empty() {
            return Err(Error::shape("network", "at least one layer", 0));
        }
        layers.iter().try_for_each(Layer::check)?;
        for (l, pair) in layers.windows(2).enumerate() {
            check_length(&format!("inputs of layer {}", l + 1), pair[0].n_out, pair[1].n_in)?;
        }
        for (l, layer) in layers.iter().enumerate().filter(|(_, layer)| layer.residual > 0) {
            let source = (l + 1).checked_sub(layer.residual).map(|source| layers[source].n_in);
            if source != Some(layer.n_out) {
                let reason = format!("layer {l} has no input of its {} outputs", layer.n_out);
                return Err(Error::config("residual connection", reason));
            }
        }
        let top = &layers[layers.len() - 1];
        if top.norm.is_some() || top.mask.is_some() || top.residual > 0 {
            let reason = "has a norm, dropout or a residual connection";
            return Err(Error::config("last layer", reason));
        }
        Ok(Network { layers })
    }

    /// The same network in another precision.
    #[must_use]
    pub fn cast<U: Real>(&self) -> Network<U> {
        Network { layers: self.layers.iter().map(Layer::cast).collect() }
    }

    /// Ŷ for each row of x.
    ///
    /// # Errors
    /// As [`Network::layer_outputs`].
    pub fn forward(&self, x: &[T]) -> Result<Vec<T>> {
        let outputs = self.layer_outputs(x)?;
        Ok(outputs.into_iter().next_back().map_or_else(Vec::new, |last| last.a))
    }

    /// Z, Y and A of each layer.
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` does not consist of whole rows, or a mask has another number of rows.
    pub fn layer_outputs(&self, x: &[T]) -> Result<Vec<LayerOutput<T>>> {
        let n_in = self.layers[0].n_in;
        if !x.len().is_multiple_of(n_in) {
            return Err(Error::shape("x", format!("rows of {n_in} values"), x.len()));
        }
        for (l, layer) in self.layers.iter().enumerate() {
            if let Some(mask) = &layer.mask {
                let expected = x.len() / n_in * layer.n_out;
                check_length(&format!("mask of layer {l}"), expected, mask.len())?;
            }
        }
        let mut outputs = Vec::with_capacity(self.layers.len());
        self.extend_outputs(x, &mut outputs, self.layers[0].forward(x));
        Ok(outputs)
    }

    /// Appends the outputs of the layers from `outputs.len()` on, where `z` is Z of the first of them.
    pub(crate) fn extend_outputs(&self, x: &[T], outputs: &mut Vec<LayerOutput<T>>, mut z: Vec<T>) {
        for l in outputs.len()..self.layers.len() {
            let (layer, columns) = (&self.layers[l], self.layers[l].columns());
            let y = match &layer.norm {
                None => z.clone(),
                Some(norm) => norm_forward(norm, &z, columns),
            };
            let mut a = activation_forward(layer.activation, &y, columns);
            if let Some(mask) = &layer.mask {
                multiply(&mut a, mask);
            }
            if layer.residual > 0 {
                add(&mut a, input_of(x, outputs, l + 1 - layer.residual));
            }
            outputs.push(LayerOutput { z, y, a });
            z = match self.layers.get(l + 1) {
                None => break,
                Some(next) => next.forward(&outputs[l].a),
            };
        }
    }

    /// L, without penalties.
    ///
    /// # Errors
    /// [`Error`] if the batch does not fit the network or the loss does not fit the last layer.
    pub fn loss(&self, batch: &Batch<T>, loss: &Loss) -> Result<T> {
        self.check(batch, loss)?;
        let outputs = self.layer_outputs(batch.x)?;
        let (output, columns) = self.loss_input(&outputs, loss);
        Ok(loss_forward(loss, output, batch.target, batch.sample_weights, columns))
    }

    /// L and its gradients, layer by layer, by backpropagation:
    ///
    /// - in the last layer, δ = ∂L/∂Ŷ ⊙ σ′(Z), for softmax with cross-entropy ŷ − y;
    /// - in each layer, ∂L/∂W = Xᵀ·δ and ∂L/∂b = Σ δ, with X the layer's input;
    /// - for the layer below, ∂L/∂A = δ·Wᵀ, and ∂L/∂Y = (∂L/∂A ⊙ M) ⊙ σ′(Y);
    /// - a residual connection adds ∂L/∂A to that of the layer whose outputs are R.
    ///
    /// # Errors
    /// As [`Network::loss`]; and [`Error::Config`] if a layer's activation is
    /// [`Activation::Step`].
    pub fn gradients(&self, batch: &Batch<T>, loss: &Loss) -> Result<(T, Vec<Gradients<T>>)> {
        if self.layers.iter().any(|layer| layer.activation == Activation::Step) {
            return Err(Error::config("activation", "the step function has no gradient"));
        }
        let value = self.loss(batch, loss)?;
        Ok((value, self.backpropagate(batch, loss, &self.layer_outputs(batch.x)?)))
    }

    /// The gradients, from the outputs of a batch that fits the network.
    pub(crate) fn backpropagate(
        &self,
        batch: &Batch<T>,
        loss: &Loss,
        outputs: &[LayerOutput<T>],
    ) -> Vec<Gradients<T>> {
        let (output, columns) = self.loss_input(outputs, loss);
        let of_loss = loss_backward(loss, output, batch.target, batch.sample_weights, columns);
        let top = self.layers.len() - 1;
        // ∂L/∂A of each layer; none until a layer above has added to it.
        let mut da: Vec<Option<Vec<T>>> = vec![None; self.layers.len()];
        let mut gradients = Vec::with_capacity(self.layers.len());
        for l in (0..=top).rev() {
            let (layer, LayerOutput { z, y, .. }) = (&self.layers[l], &outputs[l]);
            let columns = layer.columns();
            let mut da_l = da[l].take().unwrap_or_default();
            let dy = if l == top && loss.is_on_logits() {
                of_loss.clone()
            } else {
                if l == top {
                    da_l.clone_from(&of_loss);
                }
                let mut dsigma = da_l.clone();
                if let Some(mask) = &layer.mask {
                    multiply(&mut dsigma, mask);
                }
                activation_backward(layer.activation, &dsigma, y, columns)
            };
            let [delta, gamma, beta] = match &layer.norm {
                None => [dy.clone(), Vec::new(), Vec::new()],
                Some(norm) => norm_backward(norm, &dy, z, columns),
            };
            let input = input_of(batch.x, outputs, l);
            let [weight, bias] = layer.backward(input, &delta);
            if layer.residual > 0 {
                add_to(&mut da, l + 1 - layer.residual, || da_l.clone());
            }
            add_to(&mut da, l, || layer.backward_input(&delta));
            gradients.push(Gradients { da: da_l, dy, delta, weight, bias, gamma, beta });
        }
        gradients.reverse();
        gradients
    }

    /// ∂L/∂X from the result of [`Network::gradients`]: δ·Wᵀ of the first layer, plus ∂L/∂A of the layers
    /// whose R is X. Training does not need it.
    ///
    /// # Panics
    /// If the gradients are not those of this network.
    #[must_use]
    pub fn input_gradient(&self, gradients: &[Gradients<T>]) -> Vec<T> {
        let mut dx = self.layers[0].backward_input(&gradients[0].delta);
        for (l, gradients) in gradients.iter().enumerate() {
            if self.layers[l].residual == l + 1 {
                add(&mut dx, &gradients.da);
            }
        }
        dx
    }

    /// One training step. Returns L before the step, without penalties.
    ///
    /// # Errors
    /// As [`Network::gradients`]; and [`Error::Config`] if the optimiser has trained a network of another
    /// shape.
    pub fn step(
        &mut self,
        batch: &Batch<T>,
        loss: &Loss,
        optimizer: &mut Optimizer<T>,
    ) -> Result<T> {
        let (value, gradients) = self.gradients(batch, loss)?;
        let tensors = self.layers.iter_mut().zip(&gradients).flat_map(|(layer, gradients)| {
            let [gamma, beta] = match &mut layer.norm {
                None => [&mut [][..], &mut [][..]],
                Some(norm) => [&mut norm.gamma[..], &mut norm.beta[..]],
            };
            [
                (&mut layer.weight[..], &gradients.weight[..]),
                (&mut layer.bias[..], &gradients.bias[..]),
                (gamma, &gradients.gamma[..]),
                (beta, &gradients.beta[..]),
            ]
        });
        optimizer.step(tensors.collect())?;
        Ok(value)
    }

    /// The input of the loss and its number of columns: Z of the last layer for a loss on logits, else A.
    pub(crate) fn loss_input<'a>(
        &self,
        outputs: &'a [LayerOutput<T>],
        loss: &Loss,
    ) -> (&'a [T], usize) {
        let top = self.layers.len() - 1;
        let output = &outputs[top];
        (if loss.is_on_logits() { &output.z } else { &output.a }, self.layers[top].n_out)
    }

    fn check(&self, batch: &Batch<T>, loss: &Loss) -> Result<()> {
        let top = &self.layers[self.layers.len() - 1];
        let is = |activation| top.activation == activation;
        let fits = match loss {
            Loss::CrossEntropy { .. } => is(Activation::Softmax) || is(Activation::Identity),
            Loss::BinaryCrossEntropy { .. } => is(Activation::Sigmoid) || is(Activation::Identity),
            Loss::Quantile { quantiles } => {
                !quantiles.is_empty() && top.n_out.is_multiple_of(quantiles.len())
            }
            Loss::GaussianNll => top.n_out.is_multiple_of(2),
            Loss::MeanSquaredError
            | Loss::Quadratic
            | Loss::MeanAbsoluteError
            | Loss::Huber { .. }
            | Loss::PoissonNll
            | Loss::Hinge => true,
        };
        if !fits {
            let reason = format!("{loss:?} cannot follow {:?}", top.activation);
            return Err(Error::config("loss", reason));
        }
        let rows = batch.x.len() / self.layers[0].n_in;
        if rows == 0 {
            return Err(Error::shape("x", "at least one row", 0));
        }
        match batch.target {
            Target::Values(values) => {
                check_length("target", rows * loss.n_targets(top.n_out), values.len())?
            }
            Target::Labels(labels) => {
                check_length("labels", rows, labels.len())?;
                let is_class = top.n_out == 1 && !matches!(loss, Loss::CrossEntropy { .. });
                let classes = if is_class { 2 } else { top.n_out };
                if let Some(i) = labels.iter().position(|&label| label >= classes) {
                    let expected = format!("below {classes}");
                    return Err(Error::value(format!("label {i}"), expected, labels[i]));
                }
            }
        }
        if let Loss::CrossEntropy { class_weights: Some(w), .. }
        | Loss::BinaryCrossEntropy { positive_weights: Some(w) } = loss
        {
            check_length("class weights", top.n_out, w.len())?;
        }
        batch.sample_weights.map_or(Ok(()), |s| check_length("sample weights", rows, s.len()))
    }
}

fn input_of<'a, T>(x: &'a [T], outputs: &'a [LayerOutput<T>], l: usize) -> &'a [T] {
    if l == 0 { x } else { &outputs[l - 1].a }
}

/// Adds to ∂L/∂A of the layer whose outputs are the input of layer `l`, unless that input is X.
fn add_to<T: Real>(da: &mut [Option<Vec<T>>], l: usize, added: impl FnOnce() -> Vec<T>) {
    if l > 0 {
        match &mut da[l - 1] {
            Some(sum) => add(sum, &added()),
            none @ None => *none = Some(added()),
        }
    }
}

fn add<T: Real>(sum: &mut [T], added: &[T]) {
    sum.iter_mut().zip(added).for_each(|(sum, &x)| *sum += x);
}

fn multiply<T: Real>(values: &mut [T], factors: &[T]) {
    values.iter_mut().zip(factors).for_each(|(value, &factor)| *value = *value * factor);
}
