//! The comparison of each parameter's gradient with (L(w + h) − L(w − h)) / 2h in f64.

use super::convert::{self, mask, reference_loss, wide};
use super::gradients::{Gradients, LayerGradients, gradients};
use super::kinks;
use super::rounding::rounding_errors;
use crate::error::{Error, Result};
use crate::loss::Loss;
use crate::network::Mlp;
use crate::program::{BatchTargets, check_rows};
use crate::reference::{self, Batch, Layer, LayerOutput, Map, Network, Target, target_rows};
use crate::storage::MatRef;
use std::fmt;

/// h for parameters of about 1. The error of the formula is h² = 1e-10, that of rounding 1e-15 L/h = 1e-10
/// L. The second is used if there is a kink between the points of the first.
const STEPS: [f64; 2] = [1e-5, 1e-6];

/// The lower limit of the scale of errors, as a fraction of the loss: smaller gradients are lost in the
/// rounding of the differences.
const FLOOR: f64 = 1e-5;

/// The lower limit of the scale, as a fraction of the largest estimate by [`rounding_errors`]. It matters
/// where gradients cancelled: an error of 1e-4 is about a hundred roundings of f32 then.
const OF_ROUNDING: f64 = 1.0 / 16.0;

/// The lower limit of the scale, as a fraction of the layer's largest weight: [`gradients`] computes
/// gradients from changes of weights, with an error of 2⁻⁴⁴ of the weight.
const OF_WEIGHT: f64 = 1.0 / (1u32 << 24) as f64;

/// The error from which a difference is computed again with a more accurate formula.
const REFINE_FROM: f64 = 0.1 * GradientCheck::TOLERANCE;

/// The result of [`check_gradients`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GradientCheck {
    /// L, computed in f64.
    pub loss: f64,
    /// Number of parameters that were compared.
    pub compared: usize,
    /// Number of parameters that were not compared because they are at a kink of the loss (ReLU at exactly
    /// 0).
    pub at_kinks: usize,
    /// The parameter with the largest error; none if no parameter was compared.
    pub worst: Option<Difference>,
}

/// A parameter's gradient, computed in two ways.
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
    /// |gradient − numeric| divided by a scale, which is the largest of: the layer's largest |numeric|;
    /// 1/16 of the layer's largest rounding error in units of f32's relative rounding (it matters where
    /// all gradients cancelled, as below batch normalisation over two rows); 1e-5 of the loss; 2⁻²⁴ of
    /// the layer's largest weight. So a gradient that cancelled to nearly 0, as for biases before batch
    /// normalisation, has no large error.
    pub error: f64,
}

/// A parameter of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parameter {
    /// Weight (row, column) of [`Mlp::weights`].
    Weight(usize, usize),
    /// The bias of a column of W.
    Bias(usize),
    /// γ of a neuron of a normalised layer, or of a feature of an affine layer.
    Scale(usize),
    /// β of a neuron of a normalised layer, or of a feature of an affine layer.
    Shift(usize),
}

impl GradientCheck {
    /// The largest [`Difference::error`] that is attributed to rounding in f32. Usual networks have errors
    /// from 1e-7 to 1e-5; a missing factor causes an error of about 1.
    pub const TOLERANCE: f64 = 1e-4;

    /// The largest error; 0 if no parameter was compared.
    #[must_use]
    pub fn error(&self) -> f64 {
        self.worst.map_or(0.0, |worst| worst.error)
    }

    /// Whether the largest error is at most [`GradientCheck::TOLERANCE`].
    #[must_use]
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
            Parameter::Scale(neuron) => format!("gamma {neuron}"),
            Parameter::Shift(neuron) => format!("beta {neuron}"),
        };
        write!(
            f,
            "; largest error {:.1e} at layer {}, {place}: {:e}, by differences {:e}",
            w.error, w.layer, w.gradient, w.numeric
        )
    }
}

/// Compares each parameter's gradient with central differences in f64. `x` is rows x n_in; the targets are
/// labels or values as in [`BatchTargets`].
///
/// Each parameter takes two passes through the layers above it, in plain loops. Use it for networks of up
/// to about 10⁵ parameters and batches of a few rows.
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
    gradients(net, x, targets, loss.clone())?.check(net, x, targets, loss)
}

impl Gradients {
    /// Compares these gradients with central differences in f64; see [`check_gradients`].
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::Value`] or [`Error::Config`] if the gradients, the batch or the loss do
    /// not fit the network.
    pub fn check(
        &self,
        net: &Mlp,
        x: MatRef,
        targets: BatchTargets,
        loss: Loss,
    ) -> Result<GradientCheck> {
        loss.check_output(net.output_activation(), net.n_out())?;
        let is_values = matches!(targets, BatchTargets::Values(_));
        check_rows(net, &loss, x, targets, is_values)?;
        loss.check_kind(is_values)?;
        let loss = reference_loss(&loss)?;
        let y = match targets {
            BatchTargets::Classes(classes) => {
                let labels: Vec<_> = classes.iter().map(|&l| l as usize).collect();
                target_rows(&loss, Target::Labels(&labels), net.n_out())
            }
            BatchTargets::Values(y) => wide_rows(y),
        };
        let network = convert::network(net, Some(x.rows()))?;
        let mut inputs = wide_rows(x);
        if let Some(mask) = mask(net, net.input_dropout(), 0, (x.rows(), x.cols()))? {
            inputs.iter_mut().zip(mask).for_each(|(x, m)| *x *= m);
        }
        if self.layers.len() != network.layers.len() {
            return Err(Error::shape("gradients", network.layers.len(), self.layers.len()));
        }
        let value = network.loss(&Batch::new(&inputs, Target::Values(&y)), &loss)?;
        let outputs = network.layer_outputs(&inputs)?;
        let mut check = GradientCheck { loss: value, compared: 0, at_kinks: 0, worst: None };
        let errors = rounding_errors(&network, [&inputs, &y], &loss)?;
        for (layer, (gradients, rounding)) in self.layers.iter().zip(errors).enumerate() {
            let mut checked = CheckedLayer {
                layer,
                network: network.clone(),
                x: &inputs,
                y: &y,
                loss: &loss,
                z: &outputs[layer].z,
                outputs: outputs[..layer].to_vec(),
                rounding,
            };
            checked.check(gradients, &mut check)?;
        }
        Ok(check)
    }
}

/// The values of a matrix in row-major order, in f64.
fn wide_rows(m: MatRef) -> Vec<f64> {
    (0..m.rows()).flat_map(|r| wide(m.row(r))).collect()
}

/// A central difference, and the larger loss of its two points.
struct Slope {
    numeric: f64,
    loss: f64,
}

/// A layer whose parameters are changed.
struct CheckedLayer<'a> {
    layer: usize,
    network: Network<f64>,
    x: &'a [f64],
    y: &'a [f64],
    loss: &'a reference::Loss,
    /// Z of the layer.
    z: &'a [f64],
    /// The outputs of the layers below.
    outputs: Vec<LayerOutput<f64>>,
    /// The layer's largest estimate by [`rounding_errors`].
    rounding: f64,
}

impl CheckedLayer<'_> {
    fn check(&mut self, gradients: &LayerGradients, check: &mut GradientCheck) -> Result<()> {
        let layer = &self.network.layers[self.layer];
        let n_in = layer.n_in;
        let (columns, norm) = match layer.map {
            Map::Linear => (layer.columns(), layer.norm.as_ref().map_or(0, |n| n.gamma.len())),
            Map::Affine => (0, layer.weight.len()),
        };
        let LayerGradients { weights, biases, gamma, beta } = gradients;
        for (what, expected, got) in [
            ("rows of weights", n_in, weights.rows()),
            ("columns of weights", columns, weights.cols()),
            ("biases", columns, biases.len()),
            ("gamma", norm, gamma.len()),
            ("beta", norm, beta.len()),
        ] {
            if expected != got {
                let place = format!("gradients of layer {}: {what}", self.layer);
                return Err(Error::shape(place, expected, got));
            }
        }
        let place = |i| Parameter::Weight(i / columns, i % columns);
        let all = weights.as_slice().iter().enumerate().map(|(i, g)| (place(i), g));
        let all = all.chain(biases.iter().enumerate().map(|(i, g)| (Parameter::Bias(i), g)));
        let all = all.chain(gamma.iter().enumerate().map(|(i, g)| (Parameter::Scale(i), g)));
        let all = all.chain(beta.iter().enumerate().map(|(i, g)| (Parameter::Shift(i), g)));
        let (mut found, mut highest) = (Vec::new(), check.loss.abs());
        for (parameter, &gradient) in all {
            match self.slope(parameter) {
                Some(Slope { numeric, loss }) => {
                    highest = highest.max(loss);
                    found.push((parameter, f64::from(gradient), numeric));
                }
                None => check.at_kinks += 1,
            }
        }
        check.compared += found.len();
        let largest = found.iter().fold(0.0, |m: f64, f| m.max(f.2.abs()));
        let layer = &self.network.layers[self.layer];
        let weights = layer.weight.iter().chain(&layer.bias);
        let heaviest = weights.fold(0.0, |m: f64, w| m.max(w.abs()));
        let floor = f64::max(FLOOR * highest, OF_WEIGHT * heaviest);
        let scale = largest.max(OF_ROUNDING * self.rounding).max(floor);
        for (parameter, gradient, mut numeric) in found {
            if (gradient - numeric).abs() > REFINE_FROM * scale {
                numeric = self.refined(parameter).unwrap_or(numeric);
            }
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
        Ok(())
    }

    /// The central difference; none at a kink of the loss.
    fn slope(&mut self, parameter: Parameter) -> Option<Slope> {
        let unit = self.unit(parameter);
        STEPS.iter().find_map(|step| self.difference(parameter, step * unit))
    }

    /// The central difference with an error of h⁴, from those for h and 2h (Richardson). Norms of small
    /// variances multiply the third derivative by the cube of 1/√1e-5.
    fn refined(&mut self, parameter: Parameter) -> Option<f64> {
        let step = STEPS[1] * self.unit(parameter);
        let once = self.difference(parameter, step)?.numeric;
        let twice = self.difference(parameter, 2.0 * step)?.numeric;
        Some(once + (once - twice) / 3.0)
    }

    /// The unit of h: |w|, at least 1.
    fn unit(&mut self, parameter: Parameter) -> f64 {
        value_of(&mut self.network.layers[self.layer], parameter).abs().max(1.0)
    }

    /// (L(w + h) − L(w − h)) / 2h; none if there is a kink between the points.
    fn difference(&mut self, parameter: Parameter, h: f64) -> Option<Slope> {
        let [above, below] = [h, -h].map(|h| self.loss_after(parameter, h));
        let loss = above.0.abs().max(below.0.abs());
        (above.1 == below.1).then(|| Slope { numeric: (above.0 - below.0) / (2.0 * h), loss })
    }

    /// L with h added to the parameter, and the smooth regions of all functions. A weight and a bias
    /// change only column j of Z, by h·x_ik and by h.
    fn loss_after(&mut self, parameter: Parameter, h: f64) -> (f64, Vec<u8>) {
        let layer = &mut self.network.layers[self.layer];
        let (mut z, n_in, columns) = (self.z.to_vec(), layer.n_in, layer.columns());
        let value = value_of(layer, parameter);
        let before = std::mem::replace(value, *value + h);
        let x = self.outputs.last().map_or(self.x, |below| &below.a);
        match (layer.map, parameter) {
            (_, Parameter::Weight(k, j)) => {
                z.chunks_mut(columns).zip(x.chunks(n_in)).for_each(|(z, x)| z[j] += h * x[k]);
            }
            (_, Parameter::Bias(j)) => z.chunks_mut(columns).for_each(|z| z[j] += h),
            (Map::Affine, Parameter::Scale(_) | Parameter::Shift(_)) => z = layer.forward(x),
            (Map::Linear, Parameter::Scale(_) | Parameter::Shift(_)) => {}
        }
        self.network.extend_outputs(self.x, &mut self.outputs, z);
        let (output, n_out) = self.network.loss_input(&self.outputs, self.loss);
        let mut regions = Vec::new();
        for (layer, output) in self.network.layers.iter().zip(&self.outputs).skip(self.layer) {
            kinks::of_layer(layer.activation, &output.y, &mut regions);
        }
        kinks::of_loss(self.loss, [output, self.y], n_out, &mut regions);
        let target = Target::Values(self.y);
        let loss = reference::loss_forward(self.loss, output, target, None, n_out);
        self.outputs.truncate(self.layer);
        *value_of(&mut self.network.layers[self.layer], parameter) = before;
        (loss, regions)
    }
}

fn value_of(layer: &mut Layer<f64>, parameter: Parameter) -> &mut f64 {
    let columns = layer.columns();
    match (parameter, &mut layer.norm) {
        (Parameter::Weight(k, j), _) => &mut layer.weight[k * columns + j],
        (Parameter::Bias(j), _) => &mut layer.bias[j],
        (Parameter::Scale(j), Some(norm)) => &mut norm.gamma[j],
        (Parameter::Shift(j), Some(norm)) => &mut norm.beta[j],
        (Parameter::Scale(j), None) => &mut layer.weight[j],
        (Parameter::Shift(j), None) => &mut layer.bias[j],
    }
}
