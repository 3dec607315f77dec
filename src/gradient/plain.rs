//! The network of a training step in plain loops, in f64: the layers of
//! [`reference`](mod@crate::reference) with what may stand around them: norms, dropout, residual
//! connections.

use super::{kinks, reference_activation, reference_loss};
use crate::error::Result;
use crate::loss::Loss;
use crate::network::{Mlp, NormKind};
use crate::passes::Mask;
use crate::reference::{
    self, Layer, Shape, Target, activation_forward, linear_forward, loss_forward, one_hot,
};
use crate::storage::{MatRef, PanelMatrix};
use std::borrow::Cow;

/// A network in f64, for one batch.
pub(super) struct Plain<'a> {
    pub(super) layers: Vec<PlainLayer>,
    pub(super) loss: reference::Loss,
    pub(super) target: Target<'a, f64>,
}

/// A layer and what stands around it.
pub(super) struct PlainLayer {
    pub(super) linear: Layer<f64>,
    pub(super) norm: Option<Norm>,
    /// What dropout multiplies each output by.
    pub(super) mask: Option<Vec<f64>>,
    pub(super) residual: usize,
}

/// y = γ ⊙ ẑ + β, ẑ = (z − μ)/√(v + 1e-5), with μ and v of a row, or of a column of the batch.
#[derive(Clone)]
pub(super) struct Norm {
    kind: NormKind,
    pub(super) gamma: Vec<f64>,
    pub(super) beta: Vec<f64>,
}

/// What a batch leaves in the network.
pub(super) struct Trace {
    /// X, and behind it the outputs of each layer.
    pub(super) outputs: Vec<Vec<f64>>,
    /// Z of each layer.
    pub(super) z: Vec<Vec<f64>>,
    /// L
    pub(super) loss: f64,
}

impl<'a> Plain<'a> {
    /// The network in its first training step with seed 0, on a batch of `rows` rows.
    pub(super) fn new(
        net: &Mlp,
        rows: usize,
        loss: Loss,
        target: Target<'a, f64>,
    ) -> Result<Plain<'a>> {
        let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect();
        let layers = net.layers().enumerate().map(|(i, shape)| {
            let (w, b) = (wide(net.weights(i)?.as_slice()), wide(&net.biases(i)?));
            let activation = reference_activation(shape.layer.activation());
            let linear = Layer::new(shape.n_in, shape.n_out, activation, w, b)?;
            let norm = net.norm_parameters(i)?.zip(shape.layer.norm).map(|(norm, kind)| Norm {
                kind,
                gamma: wide(&norm.gamma),
                beta: wide(&norm.beta),
            });
            let mask = mask(net, shape.layer.dropout, i + 1, (rows, shape.n_out))?;
            Ok(PlainLayer { linear, norm, mask, residual: shape.layer.residual })
        });
        Ok(Plain { layers: layers.collect::<Result<_>>()?, loss: reference_loss(loss), target })
    }

    /// Everything that a batch leaves; `x` as it is behind the dropout of the inputs.
    pub(super) fn trace(&self, x: Vec<f64>) -> Trace {
        let mut trace = Trace { outputs: vec![x], z: Vec::new(), loss: 0.0 };
        for (i, layer) in self.layers.iter().enumerate() {
            let z = linear(&layer.linear, &trace.outputs[i]);
            let above =
                layer.above(&z, layer.norm.as_ref(), |back| &trace.outputs[i + 1 - back], None);
            trace.z.push(z);
            trace.outputs.push(above);
        }
        let top = self.layers.len();
        trace.loss = self.loss(&trace.z[top - 1], &trace.outputs[top], None);
        trace
    }

    /// L when layer `first` has this Z and norm, and which smooth pieces it is on.
    pub(super) fn loss_with(
        &self,
        first: usize,
        mut z: Vec<f64>,
        norm: Option<&Norm>,
        trace: &Trace,
    ) -> (f64, Vec<u8>) {
        let mut pieces = Vec::new();
        // The outputs of `first` and of the layers above it.
        let mut outputs: Vec<Vec<f64>> = Vec::new();
        for (i, layer) in self.layers.iter().enumerate().skip(first) {
            if i > first {
                z = linear(&layer.linear, &outputs[i - first - 1]);
            }
            let norm = if i == first { norm } else { layer.norm.as_ref() };
            let source = |back: usize| {
                let from = i + 1 - back;
                if from <= first { &trace.outputs[from] } else { &outputs[from - first - 1] }
            };
            let above = layer.above(&z, norm, source, Some(&mut pieces));
            outputs.push(above);
        }
        let loss = self.loss(&z, &outputs[outputs.len() - 1], Some(&mut pieces));
        (loss, pieces)
    }

    /// The targets, n_out values a row.
    pub(super) fn targets(&self, n_out: usize) -> Cow<'a, [f64]> {
        match self.target {
            Target::Values(y) => Cow::Borrowed(y),
            Target::Labels(l) => Cow::Owned(one_hot(l, n_out)),
        }
    }

    fn loss(&self, z: &[f64], a: &[f64], pieces: Option<&mut Vec<u8>>) -> f64 {
        let n_out = self.layers[self.layers.len() - 1].linear.n_out;
        let output = if self.loss.is_on_logits() { z } else { a };
        if let Some(pieces) = pieces {
            kinks::of_loss(&self.loss, output, &self.targets(n_out), pieces);
        }
        loss_forward(&self.loss, output, self.target, None, n_out)
    }
}

impl PlainLayer {
    /// From Z to the outputs. `source` returns the outputs of so many layers before this one.
    fn above<'s>(
        &self,
        z: &[f64],
        norm: Option<&Norm>,
        source: impl Fn(usize) -> &'s Vec<f64>,
        pieces: Option<&mut Vec<u8>>,
    ) -> Vec<f64> {
        let (activation, columns) = (self.linear.activation, self.linear.columns());
        let y = norm.map(|norm| norm.forward(z, columns));
        let y = y.as_deref().unwrap_or(z);
        if let Some(pieces) = pieces {
            kinks::of_layer(activation, y, pieces);
        }
        let mut a = activation_forward(activation, y, columns);
        if let Some(mask) = &self.mask {
            a.iter_mut().zip(mask).for_each(|(a, m)| *a *= m);
        }
        if self.residual > 0 {
            a.iter_mut().zip(source(self.residual)).for_each(|(a, x)| *a += x);
        }
        a
    }
}

impl Norm {
    pub(super) fn forward(&self, z: &[f64], columns: usize) -> Vec<f64> {
        let mut y = vec![0.0; z.len()];
        for group in self.groups(z.len(), columns) {
            let values = || group.iter().map(|&at| z[at]);
            let mean = values().sum::<f64>() / group.len() as f64;
            let squares = values().map(|z| (z - mean).powi(2)).sum::<f64>();
            let variance = squares / group.len() as f64;
            for &at in &group {
                let normal = (z[at] - mean) / (variance + 1e-5).sqrt();
                y[at] = self.gamma[at % columns] * normal + self.beta[at % columns];
            }
        }
        y
    }

    /// The places that are normalised together: those of a row, or of a column.
    pub(super) fn groups(
        &self,
        len: usize,
        columns: usize,
    ) -> impl Iterator<Item = Vec<usize>> + use<> {
        let (kind, rows) = (self.kind, len / columns);
        let groups = match kind {
            NormKind::Layer => rows,
            NormKind::Batch => columns,
        };
        (0..groups).map(move |group| match kind {
            NormKind::Layer => (group * columns..(group + 1) * columns).collect(),
            NormKind::Batch => (0..rows).map(|row| row * columns + group).collect(),
        })
    }
}

fn linear(layer: &Layer<f64>, x: &[f64]) -> Vec<f64> {
    let shape = Shape { rows: x.len() / layer.n_in, n_in: layer.n_in, n_out: layer.columns() };
    linear_forward(x, &layer.weight, &layer.bias, shape)
}

/// What dropout multiplies values by in the first step of a session with seed 0; none where it
/// drops nothing. Layer 0 is the inputs.
pub(super) fn mask(
    net: &Mlp,
    rate: f32,
    layer: usize,
    (rows, cols): (usize, usize),
) -> Result<Option<Vec<f64>>> {
    if rate == 0.0 {
        return Ok(None);
    }
    let ones = vec![1.0; rows * cols];
    let mut values = PanelMatrix::from_rows(MatRef::new(&ones, rows, cols)?)?;
    Mask::new(rate, 0, 1, layer).apply(net.level, 0, values.view_mut());
    Ok(Some(values.to_rows().as_slice().iter().map(|&x| f64::from(x)).collect()))
}
