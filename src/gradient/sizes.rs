//! How large the numbers were whose sums are gradients. A gradient that cancelled, as all those
//! below batch normalisation over two rows nearly do, is as wrong as the rounding of what was added
//! and not of what is left, so the check judges it by that.
//!
//! A size travels as a typical rounding error does, forwards through the outputs and backwards
//! through the deltas: where a value is a sum of terms, its size is the root of the sum of their
//! squares; where numbers cancel (ŷ − y in the loss, z − μ and the means in a norm), it is the sum of
//! theirs.

use super::plain::{Norm, Plain, PlainLayer, Trace};
use crate::reference::{Activation, Loss, activation_backward, activation_forward};
use std::borrow::Cow;

/// The sizes of what a layer makes of its inputs.
struct Forward {
    /// Of z, or of ẑ where there is a norm.
    z: Vec<f64>,
    /// Of what the activation takes.
    y: Vec<f64>,
}

impl Plain<'_> {
    /// The largest size of a gradient of each layer.
    pub(super) fn sizes(&self, trace: &Trace) -> Vec<f64> {
        let top = self.layers.len() - 1;
        let (outputs, layers) = self.forward_sizes(trace);
        // Squares of the sizes of ∂L/∂outputs.
        let mut above: Vec<Vec<f64>> = trace.outputs.iter().map(|a| vec![0.0; a.len()]).collect();
        let rows = trace.outputs[0].len() / self.layers[0].linear.n_in;
        let mut sizes = vec![0.0; self.layers.len()];
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let (columns, n_in) = (layer.linear.columns(), layer.linear.n_in);
            let y = layer.normal(&trace.z[i]);
            let deltas: Vec<f64> = above[i + 1].iter().map(|square| square.sqrt()).collect();
            let behind = match (i == top, self.loss.is_on_logits()) {
                (true, true) => self.top_sizes(&y, &layers[i].y),
                (true, false) => {
                    let deltas = self.top_sizes(&trace.outputs[i + 1], &outputs[i + 1]);
                    layer.behind(&deltas, &y)
                }
                (false, _) => layer.behind(&deltas, &y),
            };
            if layer.residual > 0 {
                let source = &mut above[i + 1 - layer.residual];
                source.iter_mut().zip(&deltas).for_each(|(sum, e)| *sum += e * e);
            }
            let (z, mut largest) = match &layer.norm {
                None => (behind, 0.0),
                Some(norm) => norm.backward_sizes(&trace.z[i], &layers[i].z, &behind, columns),
            };
            let (x, x_size) = (&trace.outputs[i], &outputs[i]);
            for j in 0..columns {
                let squares = |x: &dyn Fn(usize) -> f64| -> f64 {
                    (0..rows).map(|r| (x(r) * z[r * columns + j]).powi(2)).sum()
                };
                for k in 0..n_in {
                    let at = |r: usize| r * n_in + k;
                    largest =
                        f64::max(largest, squares(&|r| x[at(r)].abs().max(x_size[at(r)])).sqrt());
                    let w = layer.linear.weight[k * columns + j];
                    (0..rows).for_each(|r| above[i][at(r)] += (w * z[r * columns + j]).powi(2));
                }
                largest = f64::max(largest, squares(&|_| 1.0).sqrt());
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
                    let term = |k: usize| {
                        layer.linear.weight[k * columns + j].powi(2)
                            * (x[k].powi(2) + x_size[k].powi(2))
                    };
                    z.push((b * b + (0..n_in).map(term).sum::<f64>()).sqrt());
                }
            }
            let forward = match &layer.norm {
                None => Forward { y: z.clone(), z },
                Some(norm) => norm.forward_sizes(&trace.z[i], &z, columns),
            };
            let y = layer.normal(&trace.z[i]);
            let unit = self.layers[i].linear.activation.pieces();
            // σ′ of each input, handed the input's own size by a unit of one piece.
            let slopes = match unit {
                1 if layer.linear.activation != Activation::Softmax => {
                    activation_backward(layer.linear.activation, &forward.y, &y, columns)
                }
                _ => forward.y.clone(),
            };
            let mut a: Vec<f64> = slopes
                .chunks(unit)
                .map(|unit| unit.iter().fold(0.0, |m: f64, x| m.max(x.abs())))
                .zip(&trace.outputs[i + 1])
                .map(|(slope, a)| slope + a.abs())
                .collect();
            if let Some(mask) = &layer.mask {
                a.iter_mut().zip(mask).for_each(|(a, m)| *a *= m);
            }
            if layer.residual > 0 {
                let source = &outputs[i + 1 - layer.residual];
                a.iter_mut().zip(source).for_each(|(a, x)| *a += x);
            }
            outputs.push(a);
            layers.push(forward);
        }
        (outputs, layers)
    }

    /// Sizes of ∂L/∂output from those of the output, of logits for a loss on logits: of what the loss
    /// subtracts there.
    fn top_sizes(&self, output: &[f64], size: &[f64]) -> Vec<f64> {
        let n = self.layers[self.layers.len() - 1].linear.n_out;
        let share = n as f64 / output.len() as f64;
        let y = self.targets(n);
        let all = |of: &dyn Fn(usize) -> f64| -> Vec<f64> {
            (0..output.len()).map(|i| share * of(i)).collect()
        };
        let sum = |i: usize| output[i].abs() + size[i] + y[i].abs();
        // Of a probability: p (1 − p) of its logit's.
        let probability = |p: f64, i: usize| p + p * (1.0 - p) * size[i] + y[i];
        let mean = 1.0 / n as f64;
        match &self.loss {
            Loss::CrossEntropy { .. } => {
                let p = activation_forward(Activation::Softmax, output, n);
                all(&|i| probability(p[i], i))
            }
            Loss::BinaryCrossEntropy { .. } => {
                let p = activation_forward(Activation::Sigmoid, output, n);
                all(&|i| mean * probability(p[i], i))
            }
            Loss::MeanSquaredError => all(&|i| 2.0 * mean * sum(i)),
            Loss::Quadratic => all(&sum),
            Loss::MeanAbsoluteError => all(&|_| mean),
            Loss::Huber { delta } => all(&|i| mean * sum(i).min(*delta)),
        }
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

    /// From the sizes of the outputs to those of the activation's inputs y.
    fn behind(&self, outputs: &[f64], y: &[f64]) -> Vec<f64> {
        let mut sizes = outputs.to_vec();
        if let Some(mask) = &self.mask {
            sizes.iter_mut().zip(mask).for_each(|(e, m)| *e *= m);
        }
        let (activation, columns) = (self.linear.activation, self.linear.columns());
        let behind = activation_backward(activation, &sizes, y, columns);
        behind.into_iter().map(f64::abs).collect()
    }
}

/// What a norm makes of a group.
struct Group {
    places: Vec<usize>,
    mean: f64,
    /// r = 1/√(v + 1e-5)
    r: f64,
}

impl Group {
    fn of(places: Vec<usize>, z: &[f64]) -> Group {
        let mut group = Group { places, mean: 0.0, r: 0.0 };
        group.mean = group.mean_of(|at| z[at]);
        group.r = 1.0 / (group.mean_of(|at| (z[at] - group.mean).powi(2)) + 1e-5).sqrt();
        group
    }

    fn mean_of(&self, of: impl Fn(usize) -> f64) -> f64 {
        self.places.iter().map(|&at| of(at)).sum::<f64>() / self.places.len() as f64
    }

    /// |ẑ|
    fn normal(&self, z: f64) -> f64 {
        (z - self.mean).abs() * self.r
    }
}

impl Norm {
    /// The sizes of ẑ and y from those of z.
    fn forward_sizes(&self, z: &[f64], size: &[f64], columns: usize) -> Forward {
        let mut out = Forward { z: vec![0.0; z.len()], y: vec![0.0; z.len()] };
        for places in self.groups(z.len(), columns) {
            let group = Group::of(places, z);
            let own = |at: usize| size[at] + z[at].abs();
            let mean = group.mean_of(own);
            let slope = group.mean_of(|at| group.normal(z[at]) * own(at));
            for &at in &group.places {
                out.z[at] = group.r * (own(at) + mean + group.normal(z[at]) * slope);
                let (gamma, beta) = (self.gamma[at % columns], self.beta[at % columns]);
                out.y[at] = gamma.abs() * out.z[at] + beta.abs();
            }
        }
        out
    }

    /// From the sizes e of ∂L/∂y, and those of ẑ, to those of
    /// ∂L/∂z = γ r (g − mean(g) − ẑ mean(g ⊙ ẑ)), and the largest of the gradients of γ and β.
    fn backward_sizes(
        &self,
        z: &[f64],
        size: &[f64],
        e: &[f64],
        columns: usize,
    ) -> (Vec<f64>, f64) {
        let (mut out, mut vectors) = (vec![0.0; z.len()], vec![[0.0f64; 2]; columns]);
        for places in self.groups(z.len(), columns) {
            let group = Group::of(places, z);
            let normal = |at: usize| group.normal(z[at]);
            let shift = group.mean_of(|at| e[at]);
            let slope = group.mean_of(|at| e[at] * normal(at));
            let slope_size = group.mean_of(|at| e[at] * size[at]);
            for &at in &group.places {
                let rest = normal(at) * slope_size + size[at] * slope;
                out[at] = self.gamma[at % columns].abs() * group.r * (e[at] + shift + rest);
                let [gamma, beta] = &mut vectors[at % columns];
                *gamma += (e[at] * size[at].max(normal(at))).powi(2);
                *beta += e[at].powi(2);
            }
        }
        let largest = vectors.into_iter().flatten().fold(0.0, f64::max);
        (out, largest.sqrt())
    }
}
