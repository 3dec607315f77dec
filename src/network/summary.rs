//! The layers of a network as a table, with the cost of a training step.

use super::layer::{LayerKind, LayerShape};
use super::mlp::Mlp;
use std::fmt;

/// Bytes of a value.
const F32: u64 = 4;

/// The layers of a network with their cost, as [`Mlp::summary`] returns it. It prints as a table.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// One entry per layer, from the input on.
    pub layers: Vec<LayerSummary>,
}

/// One layer of a [`Summary`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerSummary {
    /// Widths and description.
    pub shape: LayerShape,
    /// Weights and biases, and the scales and shifts of a norm or an affine layer.
    pub parameters: u64,
    /// Floating-point operations of X·W + b per sample: a multiplication and an addition per weight, or
    /// per scale of an affine layer. Activations, norms and dropout are not counted.
    pub forward_flops: u64,
    /// The same for a training step: X·W and Xᵀ·D, and D·Wᵀ for every layer but the first.
    pub step_flops: u64,
    /// Bytes that a step reads and writes for its parameters, whatever the batch: W forward, and read
    /// and written by the update; for every dense layer but the first also Wᵀ backward, and written by
    /// the update. The optimiser's state adds 8 bytes per value, read and written.
    pub parameter_bytes: u64,
    /// Bytes per sample that a step reads and writes for its activations and deltas, each value once
    /// per use: X forward and in Xᵀ·D; A written, and read by the derivative (the layer above counts
    /// it as its X); D written, read by Xᵀ·D and, but for the first layer, by D·Wᵀ. Biases, targets,
    /// norms, dropout and residual connections are not counted.
    pub sample_bytes: u64,
}

impl LayerSummary {
    fn new(layer: usize, shape: LayerShape) -> Self {
        let (n_in, n_out) = (shape.n_in as u64, shape.n_out as u64);
        // Only the layers after the first have D·Wᵀ.
        let backward = u64::from(layer > 0);
        // Weights, their columns, and how often a step moves a weight.
        let (weights, columns, moved) = match shape.layer.kind {
            LayerKind::Dense { .. } => {
                let columns = shape.n_columns() as u64;
                (n_in * columns, columns, 3 + 2 * backward)
            }
            LayerKind::Affine => (n_out, n_out, 3 + backward),
        };
        LayerSummary {
            shape,
            parameters: shape.n_parameters() as u64,
            forward_flops: 2 * weights,
            step_flops: (4 + 2 * backward) * weights,
            parameter_bytes: F32 * moved * weights,
            sample_bytes: F32 * (2 * n_in + 2 * n_out + (2 + backward) * columns),
        }
    }
}

impl Summary {
    /// Weights and biases, and the scales and shifts of norms and affine layers.
    #[must_use]
    pub fn parameters(&self) -> u64 {
        self.sum(|l| l.parameters)
    }

    /// Floating-point operations of a prediction per sample; see [`LayerSummary::forward_flops`].
    #[must_use]
    pub fn forward_flops(&self) -> u64 {
        self.sum(|l| l.forward_flops)
    }

    /// Floating-point operations of a training step on `batch` samples; see
    /// [`LayerSummary::step_flops`].
    #[must_use]
    pub fn step_flops(&self, batch: usize) -> u64 {
        batch as u64 * self.sum(|l| l.step_flops)
    }

    /// Bytes that a training step on `batch` samples reads and writes, from any level of cache; see
    /// [`LayerSummary::parameter_bytes`] and [`LayerSummary::sample_bytes`].
    #[must_use]
    pub fn step_bytes(&self, batch: usize) -> u64 {
        self.sum(|l| l.parameter_bytes) + batch as u64 * self.sum(|l| l.sample_bytes)
    }

    fn sum(&self, of: impl Fn(&LayerSummary) -> u64) -> u64 {
        self.layers.iter().map(of).sum()
    }
}

impl Mlp {
    /// Layers, shapes, parameters, and the FLOPs and bytes of a training step.
    ///
    /// ```
    /// use deltarule::{Activation, Mlp};
    ///
    /// let net =
    ///     Mlp::builder(784).dense(30, Activation::Sigmoid).dense(10, Activation::Softmax).build()?;
    /// let summary = net.summary();
    /// assert_eq!(summary.parameters(), 784 * 30 + 30 + 30 * 10 + 10);
    /// assert_eq!(summary.forward_flops(), 2 * (784 * 30 + 30 * 10));
    /// println!("{summary}");
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    #[must_use]
    pub fn summary(&self) -> Summary {
        let layers = self.layers().enumerate().map(|(i, shape)| LayerSummary::new(i, shape));
        Summary { layers: layers.collect() }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["layer", "shape", "activation", "parameters", "FLOPs forward", "FLOPs step"];
        let sums = [self.parameters(), self.forward_flops(), self.step_flops(1)].map(grouped);
        let [parameters, forward, step] = sums;
        let total = [String::new(), String::new(), "total".into(), parameters, forward, step];
        let rows = self.layers.iter().enumerate().map(|(i, l)| {
            let shape = format!("{} x {}", l.shape.n_in, l.shape.n_out);
            let [parameters, forward, step] =
                [l.parameters, l.forward_flops, l.step_flops].map(grouped);
            [i.to_string(), shape, l.shape.layer.words(), parameters, forward, step]
        });
        let table: Vec<_> =
            [head.map(String::from)].into_iter().chain(rows).chain([total]).collect();
        let width = |c: usize| table.iter().map(|row| row[c].len()).max().unwrap_or(0);
        let widths: [usize; 6] = std::array::from_fn(width);
        for row in &table {
            for (c, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let gap = if c == 0 { "" } else { "  " };
                // Words to the left, numbers to the right.
                match c {
                    1 | 2 => write!(f, "{gap}{cell:width$}")?,
                    _ => write!(f, "{gap}{cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        write!(
            f,
            "FLOPs are a sample's; a step moves {} bytes for its weights and {} a sample",
            grouped(self.step_bytes(0)),
            grouped(self.step_bytes(1) - self.step_bytes(0)),
        )
    }
}

/// 1234567 as 1,234,567.
fn grouped(n: u64) -> String {
    let digits = n.to_string().into_bytes();
    let groups: Vec<_> = digits.rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;

    /// 2-3-2, counted by hand.
    #[test]
    fn a_small_network_counted_by_hand() {
        let net = Mlp::builder(2)
            .dense(3, Activation::Sigmoid)
            .dense(2, Activation::Softmax)
            .build()
            .unwrap();
        let summary = net.summary();
        assert_eq!(summary.parameters(), 17);
        assert_eq!(summary.parameters(), net.n_parameters() as u64);
        assert_eq!(summary.forward_flops(), 24);
        // Two products of the first layer, three of the second, 12 operations each.
        assert_eq!(summary.step_flops(1), 2 * 12 + 3 * 12);
        assert_eq!(summary.step_flops(10), 600);
        // W read, read, written; for the second layer also Wᵀ read and written.
        assert_eq!(summary.step_bytes(0), 4 * (3 * 6 + 5 * 6));
        // X twice (2·2 and 2·3); A written and read, D written and read (4·3 and 4·2), and for
        // the second layer D read once more.
        assert_eq!(summary.step_bytes(1) - summary.step_bytes(0), 4 * (4 + 12 + 6 + 8 + 2));
    }

    #[test]
    fn it_prints_as_a_table() {
        let net = Mlp::builder(784)
            .dense(128, Activation::LeakyRelu { slope: 0.1 })
            .dense(10, Activation::Softmax)
            .build()
            .unwrap();
        let want = "\
layer  shape      activation      parameters  FLOPs forward  FLOPs step
    0  784 x 128  leaky-relu:0.1     100,480        200,704     401,408
    1  128 x 10   softmax              1,290          2,560       7,680
                  total              101,770        203,264     409,088
FLOPs are a sample's; a step moves 1,229,824 bytes for its weights and 9,544 a sample";
        assert_eq!(net.summary().to_string(), want);
    }

    #[test]
    fn options_of_layers_are_printed_and_counted() {
        let net = Mlp::builder(4)
            .maxout(6, 3)
            .dropout(0.5)
            .dense(6, Activation::Relu)
            .batch_norm()
            .residual(1)
            .dense(2, Activation::Softmax)
            .build()
            .unwrap();
        let summary = net.summary();
        assert_eq!(summary.parameters(), net.n_parameters() as u64);
        assert_eq!(summary.layers[0].parameters, 4 * 18 + 18);
        assert_eq!(summary.layers[1].parameters, 6 * 6 + 6 + 12);
        let text = summary.to_string();
        for kind in ["maxout:3 dropout:0.5", "relu batch-norm residual:1", "softmax"] {
            assert!(text.contains(kind), "{text}");
        }
    }

    #[test]
    fn thousands_are_grouped() {
        let grouped = [0, 999, 1000, 1_234_567].map(grouped);
        assert_eq!(grouped, ["0", "999", "1,000", "1,234,567"]);
    }
}
