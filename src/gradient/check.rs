//! The check: every parameter's gradient against (L(w + h) − L(w − h)) / 2h in f64.

use super::{Gradients, LayerGradients, gradients, kinks, reference_loss, reference_network};
use crate::loss::Loss;
use crate::nn::Mlp;
use crate::reference::{
    self, Layer, Shape, Target, activation_forward, linear_forward, loss_forward, one_hot,
};
use crate::train::BatchTargets;
use crate::{Error, MatRef, Result};
use std::fmt;

/// Half the distance of the two points, for parameters of about 1. The formula errs by h² = 1e-10,
/// rounding by 1e-15 L/h = 1e-10 L. The second is for a difference that met a kink with the first.
const STEPS: [f64; 2] = [1e-5, 1e-6];

/// A gradient below this share of the loss is measured against that share: what is smaller
/// drowns in the rounding of the differences.
const FLOOR: f64 = 1e-5;

/// What [`check_gradients`] found.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GradientCheck {
    /// L in f64.
    pub loss: f64,
    /// Parameters compared.
    pub compared: usize,
    /// Parameters that could not be: on both sides of them the loss has different slopes (ReLU at
    /// exactly 0).
    pub at_kinks: usize,
    /// The parameter with the largest error; none when nothing was compared.
    pub worst: Option<Difference>,
}

/// One parameter's gradient, twice.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Difference {
    /// The layer, counted from 0.
    pub layer: usize,
    /// Which parameter of the layer.
    pub parameter: Parameter,
    /// By backpropagation.
    pub gradient: f64,
    /// By central differences.
    pub numeric: f64,
    /// |gradient − numeric| against the largest of the layer's weight gradients, or bias
    /// gradients (at least 1e-5 of the loss): an element that cancelled to nearly nothing does
    /// not count as wrong.
    pub error: f64,
}

/// A parameter's place in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Weight (row, column) of W, n_in x n_out.
    Weight(usize, usize),
    /// Bias of a column of W.
    Bias(usize),
}

impl GradientCheck {
    /// The largest [`Difference::error`] that rounding to f32 explains. It is 1e-7 to 1e-5 for
    /// usual networks; a forgotten factor is 1.
    pub const TOLERANCE: f64 = 1e-4;

    /// The largest error.
    pub fn error(&self) -> f64 {
        self.worst.map_or(0.0, |worst| worst.error)
    }

    /// Whether the largest error is at most [`GradientCheck::TOLERANCE`].
    pub fn passed(&self) -> bool {
        self.error() <= Self::TOLERANCE
    }
}

impl fmt::Display for GradientCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} parameters compared, {} at kinks", self.compared, self.at_kinks)?;
        let Some(w) = self.worst else { return Ok(()) };
        let place = match w.parameter {
            Parameter::Weight(row, col) => format!("weight ({row}, {col})"),
            Parameter::Bias(col) => format!("bias {col}"),
        };
        write!(
            f,
            "; largest error {:.1e} at layer {}, {place}: {:e}, by differences {:e}",
            w.error, w.layer, w.gradient, w.numeric
        )
    }
}

/// Compares every parameter's gradient with central differences in f64: `x` is rows x n_in, the
/// targets are labels or rows x n_out values.
///
/// Each parameter takes two passes through the layers above it, in plain loops: made for
/// networks of up to about 10⁵ parameters and batches of a few rows.
///
/// ```
/// use deltarule::{Activation, BatchTargets, Loss, MatRef, Mlp, check_gradients};
///
/// let net = Mlp::builder(2).dense(3, Activation::Tanh).dense(2, Activation::Softmax).build()?;
/// let x = MatRef::new(&[0.5, -1.0, 0.25, 2.0], 2, 2)?;
/// let check = check_gradients(&net, x, BatchTargets::Classes(&[0, 1]), Loss::CrossEntropy)?;
/// assert!(check.passed(), "{check}");
/// assert_eq!(check.compared, net.n_parameters());
/// # Ok::<(), deltarule::Error>(())
/// ```
///
/// # Errors
/// As [`gradients`].
pub fn check_gradients(
    net: &Mlp,
    x: MatRef,
    targets: BatchTargets,
    loss: Loss,
) -> Result<GradientCheck> {
    gradients(net, x, targets, loss)?.check(net, x, targets, loss)
}

impl Gradients {
    /// Compares these gradients, wherever they come from, with central differences in f64; see
    /// [`check_gradients`].
    ///
    /// # Errors
    /// [`Error::Shape`] when the gradients or the batch are not of the network's shape, and the
    /// errors of [`reference::Network::loss`].
    pub fn check(
        &self,
        net: &Mlp,
        x: MatRef,
        targets: BatchTargets,
        loss: Loss,
    ) -> Result<GradientCheck> {
        if x.cols() != net.n_in() {
            return Err(Error::shape("x", format!("rows of {}", net.n_in()), x.cols()));
        }
        let network = reference_network(net)?;
        let wide = |m: MatRef| -> Vec<f64> {
            (0..m.rows()).flat_map(|r| m.row(r)).map(|&x| f64::from(x)).collect()
        };
        let x = wide(x);
        let (labels, values);
        let target = match targets {
            BatchTargets::Classes(classes) => {
                labels = classes.iter().map(|&l| l as usize).collect::<Vec<_>>();
                Target::Labels(&labels)
            }
            BatchTargets::Values(y) => {
                values = wide(y);
                Target::Values(&values)
            }
        };
        let loss = reference_loss(loss);
        let value = network.loss(&reference::Batch::new(&x, target), &loss)?;
        if self.layers.len() != network.layers.len() {
            return Err(Error::shape("gradients", network.layers.len(), self.layers.len()));
        }
        let mut check = GradientCheck { loss: value, compared: 0, at_kinks: 0, worst: None };
        let outputs = network.layer_outputs(&x)?;
        for (layer, gradients) in self.layers.iter().enumerate() {
            let input = if layer == 0 { &x } else { &outputs[layer - 1].a };
            let (layers, z) = (&network.layers[layer..], &outputs[layer].z);
            let part = Part { layer, layers, input, z, loss: &loss, target };
            part.check(gradients, &mut check)?;
        }
        Ok(check)
    }
}

/// A layer and those above it.
struct Part<'a> {
    layer: usize,
    layers: &'a [Layer<f64>],
    /// What the layer is given, and the Z that it makes of it.
    input: &'a [f64],
    z: &'a [f64],
    loss: &'a reference::Loss,
    target: Target<'a, f64>,
}

impl Part<'_> {
    fn check(&self, gradients: &LayerGradients, check: &mut GradientCheck) -> Result<()> {
        let (n_in, columns) = (self.layers[0].n_in, self.layers[0].columns());
        let (weights, biases) = (&gradients.weights, &gradients.biases);
        if (weights.rows(), weights.cols(), biases.len()) != (n_in, columns, columns) {
            let expected = format!("{n_in} x {columns} and {columns}");
            let got = format!("{} x {} and {}", weights.rows(), weights.cols(), biases.len());
            return Err(Error::shape(format!("gradients of layer {}", self.layer), expected, got));
        }
        let at = |i| Parameter::Weight(i / columns, i % columns);
        let weights = weights.as_slice().iter().enumerate().map(|(i, &g)| (at(i), g));
        self.check_tensor(weights, check);
        let biases = biases.iter().enumerate().map(|(i, &g)| (Parameter::Bias(i), g));
        self.check_tensor(biases, check);
        Ok(())
    }

    fn check_tensor(
        &self,
        gradients: impl Iterator<Item = (Parameter, f32)>,
        check: &mut GradientCheck,
    ) {
        let mut found = Vec::new();
        for (parameter, gradient) in gradients {
            match self.slope(parameter) {
                Some(numeric) => found.push((parameter, f64::from(gradient), numeric)),
                None => check.at_kinks += 1,
            }
        }
        check.compared += found.len();
        let largest = found.iter().fold(0.0, |m: f64, f| m.max(f.2.abs()));
        let scale = largest.max(FLOOR * check.loss.abs());
        for (parameter, gradient, numeric) in found {
            let error = match (gradient - numeric).abs() {
                0.0 => 0.0,
                difference if difference.is_nan() => f64::INFINITY,
                difference => difference / scale,
            };
            if check.worst.is_none_or(|worst| error > worst.error) {
                let layer = self.layer;
                check.worst = Some(Difference { layer, parameter, gradient, numeric, error });
            }
        }
    }

    /// The central difference; none where the loss has a kink.
    fn slope(&self, parameter: Parameter) -> Option<f64> {
        let layer = &self.layers[0];
        let w = match parameter {
            Parameter::Weight(k, j) => layer.weight[k * layer.columns() + j],
            Parameter::Bias(j) => layer.bias[j],
        };
        STEPS.iter().find_map(|step| {
            let h = step * w.abs().max(1.0);
            let [above, below] = [h, -h].map(|h| self.loss_after(parameter, h));
            (above.1 == below.1).then(|| (above.0 - below.0) / (2.0 * h))
        })
    }

    /// L with the parameter moved by h, and the smooth pieces it is on. Z is linear in the
    /// parameter, so only its column j moves: by h·x_ik for a weight, by h for a bias.
    fn loss_after(&self, parameter: Parameter, h: f64) -> (f64, Vec<u8>) {
        let layer = &self.layers[0];
        let (n_in, columns) = (layer.n_in, layer.columns());
        let mut z = self.z.to_vec();
        for (i, row) in z.chunks_mut(columns).enumerate() {
            match parameter {
                Parameter::Weight(k, j) => row[j] += h * self.input[i * n_in + k],
                Parameter::Bias(j) => row[j] += h,
            }
        }
        let mut pieces = Vec::new();
        kinks::of_layer(layer.activation, &z, &mut pieces);
        let mut a = activation_forward(layer.activation, &z, columns);
        for layer in &self.layers[1..] {
            let shape =
                Shape { rows: a.len() / layer.n_in, n_in: layer.n_in, n_out: layer.columns() };
            z = linear_forward(&a, &layer.weight, &layer.bias, shape);
            kinks::of_layer(layer.activation, &z, &mut pieces);
            a = activation_forward(layer.activation, &z, layer.columns());
        }
        let n_out = self.layers[self.layers.len() - 1].n_out;
        let output = if self.loss.is_on_logits() { &z } else { &a };
        match self.target {
            Target::Values(y) => kinks::of_loss(self.loss, output, y, &mut pieces),
            Target::Labels(l) => {
                kinks::of_loss(self.loss, output, &one_hot(l, n_out), &mut pieces);
            }
        }
        (loss_forward(self.loss, output, self.target, None, n_out), pieces)
    }
}
