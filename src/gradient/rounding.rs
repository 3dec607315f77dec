//! Estimates of the rounding errors of gradients, in units of the relative rounding error of f32. The
//! check compares an error with them where gradients cancelled. For example, below batch normalisation
//! over two rows nearly all gradients cancel, and what is left has the rounding errors of the terms.
//!
//! The error of a value is the effect of a relative error of 1 in each operation. Errors are propagated
//! forwards through the outputs and backwards through the deltas: by the derivative of each operation,
//! and for sums as the root of the sum of squares, like independent errors.

use crate::reference::{
    Activation, Batch, Group, Layer, LayerOutput, Loss, Network, Norm, RowWise,
    activation_backward, activation_forward, mean, target_rows,
};

/// The errors of the values of a layer.
struct Forward {
    /// Errors of z.
    linear: Vec<f64>,
    /// Errors of ẑ, or of z without a norm.
    z: Vec<f64>,
    /// Errors of the activation's inputs.
    y: Vec<f64>,
}

/// The largest error of a gradient of each layer, for a batch and its outputs.
pub(super) fn rounding_errors(
    network: &Network<f64>,
    batch: &Batch<f64>,
    loss: &Loss,
    outputs: &[LayerOutput<f64>],
) -> Vec<f64> {
    let gradients = network.backpropagate(batch, loss, outputs);
    let input = |l: usize| if l == 0 { batch.x } else { &outputs[l - 1].a };
    let (a_errors, layers) = forward_errors(network, batch.x, outputs);
    // The squares of the errors of ∂L/∂X and of ∂L/∂A of each layer.
    let mut squares = vec![vec![0.0; batch.x.len()]];
    squares.extend(outputs.iter().map(|output| vec![0.0; output.a.len()]));
    let top = network.layers.len() - 1;
    let mut errors = vec![0.0; network.layers.len()];
    for (i, layer) in network.layers.iter().enumerate().rev() {
        let (columns, n_in) = (layer.columns(), layer.n_in);
        let (g, d) = (&gradients[i].dy, &gradients[i].delta);
        if i == top {
            let error = if loss.is_on_logits() { &layers[i].y } else { &a_errors[i + 1] };
            squares[i + 1] = top_squares(network, batch, loss, outputs, error);
        }
        let of_outputs = std::mem::take(&mut squares[i + 1]);
        if layer.residual > 0 {
            let source = &mut squares[i + 1 - layer.residual];
            source.iter_mut().zip(&of_outputs).for_each(|(sum, e)| *sum += e);
        }
        let e: Vec<f64> = of_outputs.iter().map(|square| square.sqrt()).collect();
        let e = match i == top && loss.is_on_logits() {
            true => e,
            false => {
                let e = behind(layer, &e, &outputs[i].y);
                e.iter().zip(g).map(|(e, g)| e.abs().hypot(*g)).collect()
            }
        };
        let (e, mut largest) = match &layer.norm {
            None => (e, 0.0),
            Some(norm) => backward_errors(norm, (&outputs[i].z, &layers[i]), (g, &e, d), columns),
        };
        let (x, x_error) = (input(i), &a_errors[i]);
        let rows = x.len() / n_in;
        for j in 0..columns {
            let term = |r: usize, x: f64, error: f64| {
                let at = r * columns + j;
                x * x * (e[at].powi(2) + d[at].powi(2)) + (error * d[at]).powi(2)
            };
            for k in 0..n_in {
                let at = |r: usize| r * n_in + k;
                let sum = (0..rows).map(|r| term(r, x[at(r)], x_error[at(r)])).sum::<f64>();
                largest = f64::max(largest, sum.sqrt());
                let w = layer.weight[k * columns + j];
                for r in 0..rows {
                    let (d, e) = (d[r * columns + j], e[r * columns + j]);
                    squares[i][at(r)] += w * w * (e * e + d * d);
                }
            }
            let sum = (0..rows).map(|r| term(r, 1.0, 0.0)).sum::<f64>();
            largest = f64::max(largest, sum.sqrt());
        }
        errors[i] = largest;
    }
    errors
}

/// The errors of the inputs (which are 0) and of the outputs of each layer, and those inside of each
/// layer.
fn forward_errors(
    network: &Network<f64>,
    x: &[f64],
    outputs: &[LayerOutput<f64>],
) -> (Vec<Vec<f64>>, Vec<Forward>) {
    let mut a_errors: Vec<Vec<f64>> = vec![vec![0.0; x.len()]];
    let mut layers = Vec::new();
    for (i, (layer, LayerOutput { z, y, a })) in network.layers.iter().zip(outputs).enumerate() {
        let (columns, n_in) = (layer.columns(), layer.n_in);
        let (x, x_error) = (if i == 0 { x } else { &outputs[i - 1].a }, &a_errors[i]);
        let mut error: Vec<f64> = Vec::with_capacity(z.len());
        for (x, x_error) in x.chunks(n_in).zip(x_error.chunks(n_in)) {
            for (j, b) in layer.bias.iter().enumerate() {
                let weight = |k: usize| layer.weight[k * columns + j].powi(2);
                let term = |k: usize| weight(k) * (x[k].powi(2) + x_error[k].powi(2));
                error.push((b * b + (0..n_in).map(term).sum::<f64>()).sqrt());
            }
        }
        let forward = match &layer.norm {
            None => Forward { linear: error.clone(), y: error.clone(), z: error },
            Some(norm) => norm_errors(norm, z, &error, columns),
        };
        let mut of_a = output_errors(layer, &forward.y, y);
        of_a.iter_mut().zip(a).for_each(|(error, a)| *error += a.abs());
        if layer.residual > 0 {
            let source = &a_errors[i + 1 - layer.residual];
            of_a.iter_mut().zip(source).for_each(|(a, x)| *a += x);
        }
        a_errors.push(of_a);
        layers.push(forward);
    }
    (a_errors, layers)
}

/// The squares of the errors of ∂L/∂output (of the logits for a loss on logits), from the differences
/// that the loss computes.
fn top_squares(
    network: &Network<f64>,
    batch: &Batch<f64>,
    loss: &Loss,
    outputs: &[LayerOutput<f64>],
    error: &[f64],
) -> Vec<f64> {
    let (output, n) = network.loss_input(outputs, loss);
    let of_row = n as f64 / output.len() as f64;
    let mean = of_row / n as f64;
    let y = target_rows(loss, batch.target, n);
    let squares = |of: &dyn Fn(usize) -> f64| (0..output.len()).map(|i| of(i).powi(2)).collect();
    let sum = |i: usize| output[i].abs() + error[i] + y[i].abs();
    // The error of a probability is p (1 − p) times that of its logit.
    let probability = |p: f64, i: usize| p + p * (1.0 - p) * error[i] + y[i];
    match loss {
        Loss::CrossEntropy { .. } => {
            let p = activation_forward(Activation::Softmax, output, n);
            squares(&|i| of_row * probability(p[i], i))
        }
        Loss::BinaryCrossEntropy { .. } => {
            let p = activation_forward(Activation::Sigmoid, output, n);
            squares(&|i| mean * probability(p[i], i))
        }
        Loss::MeanSquaredError => squares(&|i| 2.0 * mean * sum(i)),
        Loss::Quadratic => squares(&|i| of_row * sum(i)),
        Loss::MeanAbsoluteError => squares(&|_| mean),
        Loss::Huber { delta } => squares(&|i| mean * sum(i).min(*delta)),
    }
}

/// The deltas of the activation's inputs y from those of the outputs.
fn behind(layer: &Layer<f64>, outputs: &[f64], y: &[f64]) -> Vec<f64> {
    let mut deltas = outputs.to_vec();
    if let Some(mask) = &layer.mask {
        deltas.iter_mut().zip(mask).for_each(|(e, m)| *e *= m);
    }
    activation_backward(layer.activation, &deltas, y, layer.columns())
}

/// The errors of the outputs from those of y.
fn output_errors(layer: &Layer<f64>, error: &[f64], y: &[f64]) -> Vec<f64> {
    let Layer { activation, mask, .. } = layer;
    let mut errors: Vec<f64> = match activation.row_wise() {
        // At most the error of the largest element.
        Some(RowWise::Softmax) => error.to_vec(),
        Some(RowWise::Maxout(units)) => {
            error.chunks(units).map(|unit| unit.iter().copied().fold(0.0, f64::max)).collect()
        }
        None => activation_backward(*activation, error, y, layer.columns()),
    };
    errors.iter_mut().for_each(|error| *error = error.abs());
    if let Some(mask) = mask {
        errors.iter_mut().zip(mask).for_each(|(a, m)| *a *= m);
    }
    errors
}

/// The dependence of normalised values on the inputs of a group.
impl Group<f64> {
    /// ∂ẑ_i/∂z_k / r
    fn slope(&self, i: usize, k: usize) -> f64 {
        let n = self.indices.len() as f64;
        f64::from(u8::from(i == k)) - 1.0 / n - self.normal[i] * self.normal[k] / n
    }

    /// √Σ_k (slope_ik · e_k)²
    fn through(&self, i: usize, e: &[f64]) -> f64 {
        let indices = self.indices.iter().enumerate();
        indices.map(|(k, &at)| (self.slope(i, k) * e[at]).powi(2)).sum::<f64>().sqrt()
    }
}

/// The errors of ẑ and y from those of z. The rounding error of μ shifts all values of ẑ.
fn norm_errors(norm: &Norm<f64>, z: &[f64], error: &[f64], columns: usize) -> Forward {
    let none = || vec![0.0; z.len()];
    let mut out = Forward { linear: error.to_vec(), z: none(), y: none() };
    for group in norm.groups(z, columns) {
        for (i, &at) in group.indices.iter().enumerate() {
            let moved = group.r * (group.through(i, error) + group.mean.abs());
            out.z[at] = moved + group.normal[i].abs();
            let (gamma, beta) = (norm.gamma[at % columns], norm.beta[at % columns]);
            out.y[at] = gamma.abs() * out.z[at] + beta.abs();
        }
    }
    out
}

/// The errors of ∂L/∂z = r (h − mean(h) − ẑ mean(h ⊙ ẑ)) with h = γ ⊙ g, from its values `d`, from
/// g = ∂L/∂y with its errors and from those of the forward pass; and the largest error of the gradients
/// of γ and β.
fn backward_errors(
    norm: &Norm<f64>,
    (z, forward): (&[f64], &Forward),
    (g, e, d): (&[f64], &[f64], &[f64]),
    columns: usize,
) -> (Vec<f64>, f64) {
    let by_gamma = |values: &[f64]| -> Vec<f64> {
        values.iter().enumerate().map(|(at, value)| norm.gamma[at % columns] * value).collect()
    };
    let (h, h_error) = (by_gamma(g), by_gamma(e));
    let mut out = vec![0.0; z.len()];
    let error = &forward.z;
    let mut vectors = vec![[0.0f64; 2]; columns];
    for group in norm.groups(z, columns) {
        let all = || group.indices.iter().zip(&group.normal);
        let shift = mean(all().map(|(&at, _)| h[at]));
        let slope = mean(all().map(|(&at, normal)| h[at] * normal));
        let slope_error = mean(all().map(|(&at, normal)| h[at].abs() * error[at].hypot(*normal)));
        // The relative error of r.
        let of_r = group.r * mean(all().map(|(&at, normal)| normal.abs() * forward.linear[at]));
        for (i, (&at, normal)) in all().enumerate() {
            let added = h[at].abs() + shift.abs() + (normal * slope).abs();
            let moved = (error[at] * slope).abs() + normal.abs() * slope_error;
            out[at] = group.r * (group.through(i, &h_error) + added + moved) + d[at].abs() * of_r;
            let [gamma, beta] = &mut vectors[at % columns];
            *gamma += (e[at] * normal).powi(2) + (g[at] * error[at].hypot(*normal)).powi(2);
            *beta += e[at].powi(2) + g[at].powi(2);
        }
    }
    let largest = vectors.into_iter().flatten().fold(0.0, f64::max);
    (out, largest.sqrt())
}
