//! Layers in a row: forward, backpropagation, one step.

use super::activation::{Activation, activation_backward, activation_forward};
use super::linear::{
    Shape, linear_backward_bias, linear_backward_input, linear_backward_weight, linear_forward,
};
use super::loss::{Loss, Target, loss_backward, loss_forward};
use super::optim::Optimizer;
use super::real::Real;
use crate::error::{Error, Result};

/// One layer: A = σ(X·W + 1bᵀ).
#[derive(Clone, Debug, PartialEq)]
pub struct Layer<T> {
    /// Inputs.
    pub n_in: usize,
    /// Outputs.
    pub n_out: usize,
    /// σ
    pub activation: Activation,
    /// W, row-major `n_in x n_out`; for maxout `n_in x (n_out * units)`.
    pub weight: Vec<T>,
    /// b, one a column of W.
    pub bias: Vec<T>,
}

/// A multilayer perceptron. [`Network::new`] checks that the layers fit each other; who changes
/// them afterwards so that they no longer do will see panics.
#[derive(Clone, Debug, PartialEq)]
pub struct Network<T> {
    /// From the inputs to the outputs.
    pub layers: Vec<Layer<T>>,
}

/// Samples with what they should give.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a, T> {
    /// X, one sample a row.
    pub x: &'a [T],
    /// Y
    pub target: Target<'a, T>,
    /// s, one a sample; none means 1 for each.
    pub sample_weights: Option<&'a [T]>,
}

/// What the forward pass leaves of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerOutput<T> {
    /// Z = X·W + 1bᵀ
    pub z: Vec<T>,
    /// A = σ(Z)
    pub a: Vec<T>,
}

/// What backpropagation finds for one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients<T> {
    /// δ = ∂L/∂Z
    pub delta: Vec<T>,
    /// ∂L/∂W
    pub weight: Vec<T>,
    /// ∂L/∂b
    pub bias: Vec<T>,
}

impl<'a, T> Batch<'a, T> {
    /// A batch whose samples all weigh 1.
    pub fn new(x: &'a [T], target: Target<'a, T>) -> Self {
        Batch { x, target, sample_weights: None }
    }
}

impl<T: Real> Layer<T> {
    /// A layer with these parameters.
    ///
    /// # Errors
    /// [`Error::Shape`] when `weight` or `bias` has another length than the layer needs.
    pub fn new(
        n_in: usize,
        n_out: usize,
        activation: Activation,
        weight: Vec<T>,
        bias: Vec<T>,
    ) -> Result<Self> {
        let layer = Layer { n_in, n_out, activation, weight, bias };
        layer.check()?;
        Ok(layer)
    }

    /// Columns of W and Z: `n_out`, for maxout times the units.
    pub fn columns(&self) -> usize {
        self.n_out * self.activation.units()
    }

    fn check(&self) -> Result<()> {
        if self.n_in == 0 || self.columns() == 0 {
            return Err(Error::shape("layer", "inputs and outputs", "none"));
        }
        check_length("weight", self.n_in * self.columns(), self.weight.len())?;
        check_length("bias", self.columns(), self.bias.len())
    }

    fn shape(&self, x: &[T]) -> Shape {
        Shape { rows: x.len() / self.n_in, n_in: self.n_in, n_out: self.columns() }
    }
}

impl<T: Real> Network<T> {
    /// A network of these layers.
    ///
    /// # Errors
    /// [`Error::Shape`] when there is no layer, a layer's parameters do not fit its sizes, or a
    /// layer does not take what the one before it gives.
    pub fn new(layers: Vec<Layer<T>>) -> Result<Self> {
        if layers.is_empty() {
            return Err(Error::shape("network", "at least one layer", 0));
        }
        layers.iter().try_for_each(Layer::check)?;
        for (l, pair) in layers.windows(2).enumerate() {
            check_length(&format!("inputs of layer {}", l + 1), pair[0].n_out, pair[1].n_in)?;
        }
        Ok(Network { layers })
    }

    /// The same network in another precision.
    pub fn cast<U: Real>(&self) -> Network<U> {
        let cast = |v: &[T]| v.iter().map(|x| U::from_f64(x.to_f64())).collect();
        let layers = self.layers.iter().map(|layer| Layer {
            n_in: layer.n_in,
            n_out: layer.n_out,
            activation: layer.activation,
            weight: cast(&layer.weight),
            bias: cast(&layer.bias),
        });
        Network { layers: layers.collect() }
    }

    /// Ŷ for each row of x.
    ///
    /// # Errors
    /// [`Error::Shape`] when `x` does not consist of whole rows.
    pub fn forward(&self, x: &[T]) -> Result<Vec<T>> {
        let outputs = self.layer_outputs(x)?;
        Ok(outputs.into_iter().next_back().map_or_else(Vec::new, |last| last.a))
    }

    /// Z and A of every layer: A_l = σ_l(A_(l−1)·W_l + 1b_lᵀ) with A_0 = X.
    ///
    /// # Errors
    /// [`Error::Shape`] when `x` does not consist of whole rows.
    pub fn layer_outputs(&self, x: &[T]) -> Result<Vec<LayerOutput<T>>> {
        let n_in = self.layers[0].n_in;
        if !x.len().is_multiple_of(n_in) {
            return Err(Error::shape("x", format!("rows of {n_in} values"), x.len()));
        }
        let mut outputs: Vec<LayerOutput<T>> = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let input = outputs.last().map_or(x, |below| &below.a);
            let z = linear_forward(input, &layer.weight, &layer.bias, layer.shape(input));
            let a = activation_forward(layer.activation, &z, layer.columns());
            outputs.push(LayerOutput { z, a });
        }
        Ok(outputs)
    }

    /// L, without penalties.
    ///
    /// # Errors
    /// [`Error`] when the batch does not fit the network, or the loss not the last layer.
    pub fn loss(&self, batch: &Batch<T>, loss: &Loss) -> Result<T> {
        self.check(batch, loss)?;
        let outputs = self.layer_outputs(batch.x)?;
        let (output, columns) = self.loss_input(&outputs, loss);
        Ok(loss_forward(loss, output, batch.target, batch.sample_weights, columns))
    }

    /// L and its gradients, layer by layer, by backpropagation:
    ///
    /// - at the top, δ = ∂L/∂Ŷ ⊙ σ′(Z), where softmax with cross-entropy gives ŷ − y;
    /// - in each layer, ∂L/∂W = Xᵀ·δ and ∂L/∂b = Σ δ, with X the layer's input;
    /// - for the layer below, δ = (δ·Wᵀ) ⊙ σ′(Z).
    ///
    /// # Errors
    /// As [`Network::loss`]; and [`Error::Config`] when a layer's activation is
    /// [`Activation::Step`].
    pub fn gradients(&self, batch: &Batch<T>, loss: &Loss) -> Result<(T, Vec<Gradients<T>>)> {
        self.check(batch, loss)?;
        if self.layers.iter().any(|layer| layer.activation == Activation::Step) {
            return Err(Error::config("activation", "the step function has no gradient"));
        }
        let outputs = self.layer_outputs(batch.x)?;
        let (output, columns) = self.loss_input(&outputs, loss);
        let (target, sample_weights) = (batch.target, batch.sample_weights);
        let value = loss_forward(loss, output, target, sample_weights, columns);

        let top = self.layers.len() - 1;
        let mut delta = loss_backward(loss, output, target, sample_weights, columns);
        if !loss.is_on_logits() {
            let layer = &self.layers[top];
            delta = activation_backward(layer.activation, &delta, &outputs[top].z, layer.columns());
        }
        let mut gradients = Vec::with_capacity(self.layers.len());
        for l in (0..=top).rev() {
            let layer = &self.layers[l];
            let input = if l == 0 { batch.x } else { &outputs[l - 1].a };
            let shape = layer.shape(input);
            let weight = linear_backward_weight(input, &delta, shape);
            let bias = linear_backward_bias(&delta, shape);
            let mut delta_below = Vec::new();
            if l > 0 {
                let below = &self.layers[l - 1];
                let da = linear_backward_input(&delta, &layer.weight, shape);
                let z = &outputs[l - 1].z;
                delta_below = activation_backward(below.activation, &da, z, below.columns());
            }
            gradients.push(Gradients { delta, weight, bias });
            delta = delta_below;
        }
        gradients.reverse();
        Ok((value, gradients))
    }

    /// ∂L/∂X = δ·Wᵀ of the first layer, from what [`Network::gradients`] found (training does
    /// not need it).
    ///
    /// # Panics
    /// When the gradients are not those of this network.
    pub fn input_gradient(&self, gradients: &[Gradients<T>]) -> Vec<T> {
        let (layer, delta) = (&self.layers[0], &gradients[0].delta);
        let rows = delta.len() / layer.columns();
        let shape = Shape { rows, n_in: layer.n_in, n_out: layer.columns() };
        linear_backward_input(delta, &layer.weight, shape)
    }

    /// One step of training; returns L as it was before the step, without penalties.
    ///
    /// # Errors
    /// As [`Network::gradients`]; and [`Error::Config`] when the optimiser has trained a network
    /// of other sizes.
    pub fn step(
        &mut self,
        batch: &Batch<T>,
        loss: &Loss,
        optimizer: &mut Optimizer<T>,
    ) -> Result<T> {
        let (value, gradients) = self.gradients(batch, loss)?;
        let tensors = self.layers.iter_mut().zip(&gradients).flat_map(|(layer, gradients)| {
            [
                (&mut layer.weight[..], &gradients.weight[..]),
                (&mut layer.bias[..], &gradients.bias[..]),
            ]
        });
        optimizer.step(tensors.collect())?;
        Ok(value)
    }

    /// What the loss reads: Z of the last layer for a loss on logits, else A; and its columns.
    fn loss_input<'a>(&self, outputs: &'a [LayerOutput<T>], loss: &Loss) -> (&'a [T], usize) {
        let top = self.layers.len() - 1;
        let output = &outputs[top];
        (if loss.is_on_logits() { &output.z } else { &output.a }, self.layers[top].n_out)
    }

    fn check(&self, batch: &Batch<T>, loss: &Loss) -> Result<()> {
        let top = &self.layers[self.layers.len() - 1];
        let fits = match (loss, top.activation) {
            (Loss::CrossEntropy { .. }, Activation::Softmax | Activation::Identity) => true,
            (Loss::BinaryCrossEntropy { .. }, Activation::Sigmoid | Activation::Identity) => true,
            _ => !loss.is_on_logits(),
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
            Target::Values(values) => check_length("target", rows * top.n_out, values.len())?,
            Target::Labels(labels) => {
                check_length("labels", rows, labels.len())?;
                if let Some(i) = labels.iter().position(|&label| label >= top.n_out) {
                    let expected = format!("below {}", top.n_out);
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

fn check_length(place: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got { Ok(()) } else { Err(Error::shape(place, expected, got)) }
}
