//! How far rounding can take a gradient, in roundings of f32: a gradient that cancelled, as all those
//! below batch normalisation over two rows nearly do, is as wrong as the rounding of what was added
//! and not of what is left, so the check judges it by that.
//!
//! A size is what a relative rounding of 1 at every operation would make of a value. It travels
//! forwards through the outputs and backwards through the deltas as typical errors do: by the
//! derivative of each operation, and where terms are summed, as the root of the sum of their squares.

use crate::reference::{
    Activation, Batch, Group, Layer, LayerOutput, Loss, Network, Norm, activation_backward,
    activation_forward, mean, target_rows,
};

/// The sizes of what a layer makes of its inputs.
struct Forward {
    /// Of z.
    linear: Vec<f64>,
    /// Of ẑ where there is a norm, else of z.
    z: Vec<f64>,
    /// Of what the activation takes.
    y: Vec<f64>,
}

/// The largest size of a gradient of each layer, for a batch and the outputs that it gives.
pub(super) fn sizes(
    network: &Network<f64>,
    batch: &Batch<f64>,
    loss: &Loss,
    outputs: &[LayerOutput<f64>],
) -> Vec<f64> {
    let gradients = network.backpropagate(batch, loss, outputs);
    let input = |l: usize| if l == 0 { batch.x } else { &outputs[l - 1].a };
    let (a_sizes, layers) = forward_sizes(network, batch.x, outputs);
    // The squares of the sizes of ∂L/∂X and of each layer's ∂L/∂A.
    let mut squares = vec![vec![0.0; batch.x.len()]];
    squares.extend(outputs.iter().map(|output| vec![0.0; output.a.len()]));
    let top = network.layers.len() - 1;
    let mut sizes = vec![0.0; network.layers.len()];
    for (i, layer) in network.layers.iter().enumerate().rev() {
        let (columns, n_in) = (layer.columns(), layer.n_in);
        let (g, d) = (&gradients[i].dy, &gradients[i].delta);
        if i == top {
            let size = if loss.is_on_logits() { &layers[i].y } else { &a_sizes[i + 1] };
            squares[i + 1] = top_squares(network, batch, loss, outputs, size);
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
            Some(norm) => backward_sizes(norm, (&outputs[i].z, &layers[i]), (g, &e, d), columns),
        };
        let (x, x_size) = (input(i), &a_sizes[i]);
        let rows = x.len() / n_in;
        for j in 0..columns {
            let term = |r: usize, x: f64, size: f64| {
                let at = r * columns + j;
                x * x * (e[at].powi(2) + d[at].powi(2)) + (size * d[at]).powi(2)
            };
            for k in 0..n_in {
                let at = |r: usize| r * n_in + k;
                let sum = (0..rows).map(|r| term(r, x[at(r)], x_size[at(r)])).sum::<f64>();
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
        sizes[i] = largest;
    }
    sizes
}

/// The sizes of the inputs, which are exact, and of each layer's outputs.
fn forward_sizes(
    network: &Network<f64>,
    x: &[f64],
    outputs: &[LayerOutput<f64>],
) -> (Vec<Vec<f64>>, Vec<Forward>) {
    let mut a_sizes: Vec<Vec<f64>> = vec![vec![0.0; x.len()]];
    let mut layers = Vec::new();
    for (i, (layer, LayerOutput { z, y, a })) in network.layers.iter().zip(outputs).enumerate() {
        let (columns, n_in) = (layer.columns(), layer.n_in);
        let (x, x_size) = (if i == 0 { x } else { &outputs[i - 1].a }, &a_sizes[i]);
        let mut size: Vec<f64> = Vec::with_capacity(z.len());
        for (x, x_size) in x.chunks(n_in).zip(x_size.chunks(n_in)) {
            for (j, b) in layer.bias.iter().enumerate() {
                let weight = |k: usize| layer.weight[k * columns + j].powi(2);
                let term = |k: usize| weight(k) * (x[k].powi(2) + x_size[k].powi(2));
                size.push((b * b + (0..n_in).map(term).sum::<f64>()).sqrt());
            }
        }
        let forward = match &layer.norm {
            None => Forward { linear: size.clone(), y: size.clone(), z: size },
            Some(norm) => norm_sizes(norm, z, &size, columns),
        };
        let mut of_a = output_sizes(layer, &forward.y, y);
        of_a.iter_mut().zip(a).for_each(|(size, a)| *size += a.abs());
        if layer.residual > 0 {
            let source = &a_sizes[i + 1 - layer.residual];
            of_a.iter_mut().zip(source).for_each(|(a, x)| *a += x);
        }
        a_sizes.push(of_a);
        layers.push(forward);
    }
    (a_sizes, layers)
}

/// The squares of the sizes of ∂L/∂output, of logits for a loss on logits: of what the loss subtracts
/// there.
fn top_squares(
    network: &Network<f64>,
    batch: &Batch<f64>,
    loss: &Loss,
    outputs: &[LayerOutput<f64>],
    size: &[f64],
) -> Vec<f64> {
    let (output, n) = network.loss_input(outputs, loss);
    let share = n as f64 / output.len() as f64;
    let mean = share / n as f64;
    let y = target_rows(loss, batch.target, n);
    let squares = |of: &dyn Fn(usize) -> f64| (0..output.len()).map(|i| of(i).powi(2)).collect();
    let sum = |i: usize| output[i].abs() + size[i] + y[i].abs();
    // Of a probability: p (1 − p) of its logit's.
    let probability = |p: f64, i: usize| p + p * (1.0 - p) * size[i] + y[i];
    match loss {
        Loss::CrossEntropy { .. } => {
            let p = activation_forward(Activation::Softmax, output, n);
            squares(&|i| share * probability(p[i], i))
        }
        Loss::BinaryCrossEntropy { .. } => {
            let p = activation_forward(Activation::Sigmoid, output, n);
            squares(&|i| mean * probability(p[i], i))
        }
        Loss::MeanSquaredError => squares(&|i| 2.0 * mean * sum(i)),
        Loss::Quadratic => squares(&|i| share * sum(i)),
        Loss::MeanAbsoluteError => squares(&|_| mean),
        Loss::Huber { delta } => squares(&|i| mean * sum(i).min(*delta)),
    }
}

/// From deltas of the outputs to those of the activation's inputs y.
fn behind(layer: &Layer<f64>, outputs: &[f64], y: &[f64]) -> Vec<f64> {
    let mut deltas = outputs.to_vec();
    if let Some(mask) = &layer.mask {
        deltas.iter_mut().zip(mask).for_each(|(e, m)| *e *= m);
    }
    activation_backward(layer.activation, &deltas, y, layer.columns())
}

/// The sizes of the outputs that come of those of y.
fn output_sizes(layer: &Layer<f64>, size: &[f64], y: &[f64]) -> Vec<f64> {
    let Layer { activation, mask, .. } = layer;
    let mut sizes: Vec<f64> = match activation {
        // At most that of the largest of what it is made of.
        Activation::Softmax => size.to_vec(),
        Activation::Maxout { units } => {
            size.chunks(*units).map(|unit| unit.iter().copied().fold(0.0, f64::max)).collect()
        }
        Activation::Identity
        | Activation::Sigmoid
        | Activation::Tanh
        | Activation::Relu
        | Activation::LeakyRelu { .. }
        | Activation::Elu { .. }
        | Activation::Selu
        | Activation::Gelu
        | Activation::GeluTanh
        | Activation::Silu
        | Activation::Softplus
        | Activation::Softsign
        | Activation::HardTanh
        | Activation::Step => activation_backward(*activation, size, y, layer.columns()),
    };
    sizes.iter_mut().for_each(|size| *size = size.abs());
    if let Some(mask) = mask {
        sizes.iter_mut().zip(mask).for_each(|(a, m)| *a *= m);
    }
    sizes
}

/// How a group of normalised values depends on its inputs.
impl Group<f64> {
    /// ∂ẑ_i/∂z_k / r
    fn slope(&self, i: usize, k: usize) -> f64 {
        let n = self.places.len() as f64;
        f64::from(u8::from(i == k)) - 1.0 / n - self.normal[i] * self.normal[k] / n
    }

    /// √Σ_k (slope_ik · e_k)²
    fn through(&self, i: usize, e: &[f64]) -> f64 {
        let places = self.places.iter().enumerate();
        places.map(|(k, &at)| (self.slope(i, k) * e[at]).powi(2)).sum::<f64>().sqrt()
    }
}

/// The sizes of ẑ and y from those of z. The rounding of μ shifts all of ẑ.
fn norm_sizes(norm: &Norm<f64>, z: &[f64], size: &[f64], columns: usize) -> Forward {
    let none = || vec![0.0; z.len()];
    let mut out = Forward { linear: size.to_vec(), z: none(), y: none() };
    for group in norm.groups(z, columns) {
        for (i, &at) in group.places.iter().enumerate() {
            let moved = group.r * (group.through(i, size) + group.mean.abs());
            out.z[at] = moved + group.normal[i].abs();
            let (gamma, beta) = (norm.gamma[at % columns], norm.beta[at % columns]);
            out.y[at] = gamma.abs() * out.z[at] + beta.abs();
        }
    }
    out
}

/// The sizes of ∂L/∂z = r (h − mean(h) − ẑ mean(h ⊙ ẑ)) with h = γ ⊙ g, from its values `d`, from
/// g = ∂L/∂y with its sizes and from those of the forward pass; and the largest size of the gradients
/// of γ and β.
fn backward_sizes(
    norm: &Norm<f64>,
    (z, forward): (&[f64], &Forward),
    (g, e, d): (&[f64], &[f64], &[f64]),
    columns: usize,
) -> (Vec<f64>, f64) {
    let by_gamma = |values: &[f64]| -> Vec<f64> {
        values.iter().enumerate().map(|(at, value)| norm.gamma[at % columns] * value).collect()
    };
    let (h, h_size) = (by_gamma(g), by_gamma(e));
    let mut out = vec![0.0; z.len()];
    let size = &forward.z;
    let mut vectors = vec![[0.0f64; 2]; columns];
    for group in norm.groups(z, columns) {
        let all = || group.places.iter().zip(&group.normal);
        let shift = mean(all().map(|(&at, _)| h[at]));
        let slope = mean(all().map(|(&at, normal)| h[at] * normal));
        let slope_size = mean(all().map(|(&at, normal)| h[at].abs() * size[at].hypot(*normal)));
        // Of r, as a share of it.
        let of_r = group.r * mean(all().map(|(&at, normal)| normal.abs() * forward.linear[at]));
        for (i, (&at, normal)) in all().enumerate() {
            let added = h[at].abs() + shift.abs() + (normal * slope).abs();
            let moved = (size[at] * slope).abs() + normal.abs() * slope_size;
            out[at] = group.r * (group.through(i, &h_size) + added + moved) + d[at].abs() * of_r;
            let [gamma, beta] = &mut vectors[at % columns];
            *gamma += (e[at] * normal).powi(2) + (g[at] * size[at].hypot(*normal)).powi(2);
            *beta += e[at].powi(2) + g[at].powi(2);
        }
    }
    let largest = vectors.into_iter().flatten().fold(0.0, f64::max);
    (out, largest.sqrt())
}
