//! How far rounding can take a gradient, in roundings of f32: a gradient that cancelled, as all those
//! below batch normalisation over two rows nearly do, is as wrong as the rounding of what was added
//! and not of what is left, so the check judges it by that.
//!
//! A size is what a relative rounding of 1 at every operation would make of a value. It travels
//! forwards through the outputs and backwards through the deltas as typical errors do: by the
//! derivative of each operation, and where terms are summed, as the root of the sum of their squares.

use super::plain::{Norm, Plain, PlainLayer, Trace};
use crate::reference::{Activation, Loss, activation_backward, activation_forward, loss_backward};
use std::borrow::Cow;

/// The sizes of what a layer makes of its inputs.
struct Forward {
    /// Of z.
    linear: Vec<f64>,
    /// Of ẑ where there is a norm, else of z.
    z: Vec<f64>,
    /// Of what the activation takes.
    y: Vec<f64>,
}

/// ∂L/∂outputs of a layer, and the squares of its sizes.
#[derive(Clone)]
struct Deltas {
    values: Vec<f64>,
    squares: Vec<f64>,
}

impl Plain<'_> {
    /// The largest size of a gradient of each layer.
    pub(super) fn sizes(&self, trace: &Trace) -> Vec<f64> {
        let (outputs, layers) = self.forward_sizes(trace);
        let none =
            |a: &Vec<f64>| Deltas { values: vec![0.0; a.len()], squares: vec![0.0; a.len()] };
        let mut deltas: Vec<Deltas> = trace.outputs.iter().map(none).collect();
        let top = self.layers.len() - 1;
        let on_logits = self.loss.is_on_logits();
        let rows = trace.outputs[0].len() / self.layers[0].linear.n_in;
        let mut sizes = vec![0.0; self.layers.len()];
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let (columns, n_in) = (layer.linear.columns(), layer.linear.n_in);
            let y = layer.normal(&trace.z[i]);
            if i == top {
                let (output, size) = match on_logits {
                    true => (&*y, &layers[i].y),
                    false => (&trace.outputs[i + 1][..], &outputs[i + 1]),
                };
                deltas[i + 1] = self.top(output, size);
            }
            let Deltas { values, squares } = deltas[i + 1].clone();
            if layer.residual > 0 {
                let source = &mut deltas[i + 1 - layer.residual];
                source.values.iter_mut().zip(&values).for_each(|(sum, d)| *sum += d);
                source.squares.iter_mut().zip(&squares).for_each(|(sum, e)| *sum += e);
            }
            let e: Vec<f64> = squares.iter().map(|square| square.sqrt()).collect();
            let (g, e) = match i == top && on_logits {
                true => (values, e),
                false => {
                    let (g, e) = (layer.behind(&values, &y), layer.behind(&e, &y));
                    let e = e.iter().zip(&g).map(|(e, g)| e.abs().hypot(*g)).collect();
                    (g, e)
                }
            };
            let (d, e, mut largest) = match &layer.norm {
                None => (g, e, 0.0),
                Some(norm) => norm.backward_sizes((&trace.z[i], &layers[i]), (&g, &e), columns),
            };
            let (x, x_size) = (&trace.outputs[i], &outputs[i]);
            for j in 0..columns {
                let term = |r: usize, x: f64, size: f64| {
                    let at = r * columns + j;
                    x * x * (e[at].powi(2) + d[at].powi(2)) + (size * d[at]).powi(2)
                };
                for k in 0..n_in {
                    let at = |r: usize| r * n_in + k;
                    let sum = (0..rows).map(|r| term(r, x[at(r)], x_size[at(r)])).sum::<f64>();
                    largest = f64::max(largest, sum.sqrt());
                    let w = layer.linear.weight[k * columns + j];
                    for r in 0..rows {
                        let (d, e) = (d[r * columns + j], e[r * columns + j]);
                        deltas[i].values[at(r)] += w * d;
                        deltas[i].squares[at(r)] += w * w * (e * e + d * d);
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
    fn forward_sizes(&self, trace: &Trace) -> (Vec<Vec<f64>>, Vec<Forward>) {
        let mut outputs: Vec<Vec<f64>> = vec![vec![0.0; trace.outputs[0].len()]];
        let mut layers = Vec::new();
        for (i, layer) in self.layers.iter().enumerate() {
            let (columns, n_in) = (layer.linear.columns(), layer.linear.n_in);
            let (x, x_size) = (&trace.outputs[i], &outputs[i]);
            let mut z: Vec<f64> = Vec::with_capacity(trace.z[i].len());
            for (x, x_size) in x.chunks(n_in).zip(x_size.chunks(n_in)) {
                for (j, b) in layer.linear.bias.iter().enumerate() {
                    let weight = |k: usize| layer.linear.weight[k * columns + j].powi(2);
                    let term = |k: usize| weight(k) * (x[k].powi(2) + x_size[k].powi(2));
                    z.push((b * b + (0..n_in).map(term).sum::<f64>()).sqrt());
                }
            }
            let forward = match &layer.norm {
                None => Forward { linear: z.clone(), y: z.clone(), z },
                Some(norm) => norm.forward_sizes(&trace.z[i], &z, columns),
            };
            let y = layer.normal(&trace.z[i]);
            let mut a = layer.output_sizes(&forward.y, &y);
            a.iter_mut().zip(&trace.outputs[i + 1]).for_each(|(size, a)| *size += a.abs());
            if layer.residual > 0 {
                let source = &outputs[i + 1 - layer.residual];
                a.iter_mut().zip(source).for_each(|(a, x)| *a += x);
            }
            outputs.push(a);
            layers.push(forward);
        }
        (outputs, layers)
    }

    /// ∂L/∂output, of logits for a loss on logits, and its sizes: of what the loss subtracts there.
    fn top(&self, output: &[f64], size: &[f64]) -> Deltas {
        let n = self.layers[self.layers.len() - 1].linear.n_out;
        let share = n as f64 / output.len() as f64;
        let mean = share / n as f64;
        let y = self.targets(n);
        let squares = |of: &dyn Fn(usize) -> f64| -> Vec<f64> {
            (0..output.len()).map(|i| of(i).powi(2)).collect()
        };
        let sum = |i: usize| output[i].abs() + size[i] + y[i].abs();
        // Of a probability: p (1 − p) of its logit's.
        let probability = |p: f64, i: usize| p + p * (1.0 - p) * size[i] + y[i];
        let squares = match &self.loss {
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
        };
        let values = loss_backward(&self.loss, output, self.target, None, n);
        Deltas { values, squares }
    }
}

impl PlainLayer {
    /// What the activation takes.
    fn normal<'z>(&self, z: &'z [f64]) -> Cow<'z, [f64]> {
        match &self.norm {
            None => Cow::Borrowed(z),
            Some(norm) => Cow::Owned(norm.forward(z, self.linear.columns())),
        }
    }

    /// From deltas of the outputs to those of the activation's inputs y.
    fn behind(&self, outputs: &[f64], y: &[f64]) -> Vec<f64> {
        let mut deltas = outputs.to_vec();
        if let Some(mask) = &self.mask {
            deltas.iter_mut().zip(mask).for_each(|(e, m)| *e *= m);
        }
        activation_backward(self.linear.activation, &deltas, y, self.linear.columns())
    }

    /// The sizes of the outputs that come of those of y.
    fn output_sizes(&self, size: &[f64], y: &[f64]) -> Vec<f64> {
        let (activation, columns) = (self.linear.activation, self.linear.columns());
        let units = activation.units();
        let mut sizes: Vec<f64> = match activation {
            // At most that of the largest of what it is made of.
            Activation::Softmax => size.to_vec(),
            Activation::Maxout { .. } => {
                size.chunks(units).map(|unit| unit.iter().copied().fold(0.0, f64::max)).collect()
            }
            _ => activation_backward(activation, size, y, columns),
        };
        sizes.iter_mut().for_each(|size| *size = size.abs());
        if let Some(mask) = &self.mask {
            sizes.iter_mut().zip(mask).for_each(|(a, m)| *a *= m);
        }
        sizes
    }
}

/// What a norm makes of a group: ẑ = (z − μ) r, r = 1/√(v + 1e-5).
struct Group {
    places: Vec<usize>,
    normal: Vec<f64>,
    mean: f64,
    r: f64,
}

impl Group {
    fn of(places: Vec<usize>, z: &[f64]) -> Group {
        let mean = mean(places.iter().map(|&at| z[at]));
        let variance = self::mean(places.iter().map(|&at| (z[at] - mean).powi(2)));
        let r = 1.0 / (variance + 1e-5).sqrt();
        let normal = places.iter().map(|&at| (z[at] - mean) * r).collect();
        Group { places, normal, mean, r }
    }

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

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

impl Norm {
    /// The sizes of ẑ and y from those of z. The rounding of μ shifts all of ẑ.
    fn forward_sizes(&self, z: &[f64], size: &[f64], columns: usize) -> Forward {
        let none = || vec![0.0; z.len()];
        let mut out = Forward { linear: size.to_vec(), z: none(), y: none() };
        for places in self.groups(z.len(), columns) {
            let group = Group::of(places, z);
            for (i, &at) in group.places.iter().enumerate() {
                let moved = group.r * (group.through(i, size) + group.mean.abs());
                out.z[at] = moved + group.normal[i].abs();
                let (gamma, beta) = (self.gamma[at % columns], self.beta[at % columns]);
                out.y[at] = gamma.abs() * out.z[at] + beta.abs();
            }
        }
        out
    }

    /// ∂L/∂z = γ r (g − mean(g) − ẑ mean(g ⊙ ẑ)) with its sizes, from g = ∂L/∂y with its sizes and
    /// those of the way forward; and the largest size of the gradients of γ and β.
    fn backward_sizes(
        &self,
        (z, forward): (&[f64], &Forward),
        (g, e): (&[f64], &[f64]),
        columns: usize,
    ) -> (Vec<f64>, Vec<f64>, f64) {
        let (mut d, mut out) = (vec![0.0; z.len()], vec![0.0; z.len()]);
        let size = &forward.z;
        let mut vectors = vec![[0.0f64; 2]; columns];
        for places in self.groups(z.len(), columns) {
            let group = Group::of(places, z);
            let all = || group.places.iter().zip(&group.normal);
            let shift = mean(all().map(|(&at, _)| g[at]));
            let slope = mean(all().map(|(&at, normal)| g[at] * normal));
            let slope_size = mean(all().map(|(&at, normal)| g[at].abs() * size[at].hypot(*normal)));
            // Of r, as a share of it.
            let of_r = group.r * mean(all().map(|(&at, normal)| normal.abs() * forward.linear[at]));
            for (i, (&at, normal)) in all().enumerate() {
                let factor = self.gamma[at % columns] * group.r;
                d[at] = factor * (g[at] - shift - normal * slope);
                let added = g[at].abs() + shift.abs() + (normal * slope).abs();
                let moved = (size[at] * slope).abs() + normal.abs() * slope_size;
                out[at] = factor.abs() * (group.through(i, e) + added + moved) + d[at].abs() * of_r;
                let [gamma, beta] = &mut vectors[at % columns];
                *gamma += (e[at] * normal).powi(2) + (g[at] * size[at].hypot(*normal)).powi(2);
                *beta += e[at].powi(2) + g[at].powi(2);
            }
        }
        let largest = vectors.into_iter().flatten().fold(0.0, f64::max);
        (d, out, largest.sqrt())
    }
}
