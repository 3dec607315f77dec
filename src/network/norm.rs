//! Normalisation of a layer's z, before its activation.

use super::Mlp;
use super::dense::Dense;
use crate::error::{Error, Result};
use crate::passes::{BatchNorm, EPSILON, LayerNorm};
use crate::simd::{LINE, Line};
use crate::storage::{PanelMatrix, lanes};

/// How a layer's z = x·W + b is normalised; then y = γ ⊙ ẑ + β goes into the activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NormKind {
    /// Over the neurons of each row: ẑ = (z − μ)/√(v + 1e-5) (Ba, Kiros and Hinton 2016).
    Layer,
    /// Over the batch, neuron by neuron (Ioffe and Szegedy 2015); predicting takes running means
    /// and variances, which each training step moves by a tenth towards the batch's (its variance
    /// with n − 1), as in PyTorch. A batch of one row, such as the last of an epoch may be, has no
    /// variance: it leaves the running statistics as they are, and its ẑ is 0. Batches of one row
    /// alone are refused. Each row counts once, whatever its sample weighs; a row of weight 0 is not
    /// there.
    Batch,
}

/// A norm's kind, and the running statistics of batch normalisation.
#[derive(Clone)]
pub(crate) struct Norm {
    pub(crate) kind: NormKind,
    /// Mean and variance, each a value a neuron in whole panels. What is beyond the last neuron is no
    /// padding: files and digests have had it from the beginning, as the statistics of neurons
    /// whose z is always 0.
    pub(crate) running: PanelMatrix,
}

/// The share of a batch in the running statistics.
const MOMENTUM: f32 = 0.1;

impl Norm {
    pub(super) fn new(kind: NormKind, n_out: usize) -> Result<Self> {
        let panels = match kind {
            NormKind::Layer => 0,
            NormKind::Batch => n_out.div_ceil(LINE),
        };
        let mut running = PanelMatrix::with_stride(1, 2 * panels * LINE, 1)?;
        running.lines_mut()[panels..].fill(Line([1.0; LINE]));
        Ok(Norm { kind, running })
    }

    /// Mean or variance, one line a panel.
    pub(crate) fn running(&self, which: usize) -> &[Line] {
        let lines = self.running.lines();
        &lines[which * lines.len() / 2..][..lines.len() / 2]
    }

    /// Moves the running statistics of `n_out` neurons towards those of a batch of `rows` rows. One row
    /// has no spread, so it changes nothing.
    pub(crate) fn observe(&mut self, [mean, variance]: [&[Line]; 2], n_out: usize, rows: usize) {
        if rows < 2 {
            return;
        }
        let correction = rows as f32 / (rows - 1) as f32;
        let lines = self.running.lines_mut();
        let (means, variances) = lines.split_at_mut(lines.len() / 2);
        for (running, now, factor) in [(means, mean, 1.0), (variances, variance, correction)] {
            for (p, (running, now)) in running.iter_mut().zip(now).enumerate() {
                let mut zeros_beyond = Line::ZERO;
                let lanes = lanes(n_out, p);
                zeros_beyond.0[..lanes].copy_from_slice(&now.0[..lanes]);
                for (running, now) in running.0.iter_mut().zip(zeros_beyond.0) {
                    *running = (1.0 - MOMENTUM) * *running + MOMENTUM * (factor * now);
                }
            }
        }
    }
}

impl Dense {
    /// γ and β of layer normalisation.
    pub(crate) fn layer_norm(&self) -> LayerNorm<'_> {
        LayerNorm { gamma: self.vector(1), beta: self.vector(2) }
    }

    /// γ and β of batch normalisation, with the statistics that normalise.
    pub(crate) fn batch_norm<'a>(
        &'a self,
        mean: &'a [Line],
        variance: &'a [Line],
    ) -> BatchNorm<'a> {
        BatchNorm { gamma: self.vector(1), beta: self.vector(2), mean, variance }
    }
}

/// The parameters of a layer's norm, one value a neuron.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NormParameters {
    /// The scale γ.
    pub gamma: Vec<f32>,
    /// The shift β.
    pub beta: Vec<f32>,
    /// Running means of batch normalisation; empty for layer normalisation.
    pub mean: Vec<f32>,
    /// Running variances of batch normalisation; empty for layer normalisation.
    pub variance: Vec<f32>,
}

impl NormParameters {
    /// Each vector with its name.
    fn vectors(&self) -> [(&'static str, &[f32]); 4] {
        let NormParameters { gamma, beta, mean, variance } = self;
        [("gamma", gamma), ("beta", beta), ("mean", mean), ("variance", variance)]
    }
}

impl Mlp {
    /// A copy of the parameters of layer `layer`'s norm; `None` where it has none.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such layer.
    pub fn norm_parameters(&self, layer: usize) -> Result<Option<NormParameters>> {
        let dense = self.layer(layer)?;
        let Some(norm) = &dense.norm else { return Ok(None) };
        let running = |which: usize| {
            let values = norm.running(which).iter().flat_map(|line| line.0);
            values.take(dense.n_out()).collect()
        };
        Ok(Some(NormParameters {
            gamma: dense.norm_vector(1),
            beta: dense.norm_vector(2),
            mean: running(0),
            variance: running(1),
        }))
    }

    /// Replaces the parameters of layer `layer`'s norm.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such layer or it has no norm, [`Error::Shape`] when a
    /// vector has another length than now, [`Error::Value`] when a value is not finite or a variance
    /// negative; then nothing is changed.
    pub fn set_norm_parameters(&mut self, layer: usize, new: &NormParameters) -> Result<()> {
        let Some(now) = self.norm_parameters(layer)? else {
            return Err(Error::config(format!("layer {layer}"), "has no norm"));
        };
        for ((name, new), (_, now)) in new.vectors().into_iter().zip(now.vectors()) {
            let place = format!("layer {layer}: {name}");
            if new.len() != now.len() {
                return Err(Error::shape(place, now.len(), new.len()));
            }
            let allowed = |x: f32| x.is_finite() && (name != "variance" || x >= 0.0);
            if let Some(value) = new.iter().find(|x| !allowed(**x)) {
                return Err(Error::value(place, "finite numbers, variances of at least 0", value));
            }
        }
        let dense = &mut self.layers[layer];
        for c in 0..dense.n_out() {
            *dense.vector_mut(1, c) = new.gamma[c];
            *dense.vector_mut(2, c) = new.beta[c];
        }
        if let Some(norm) = &mut dense.norm {
            let lines = norm.running.lines_mut();
            let half = lines.len() / 2;
            for (first, values) in [(0, &new.mean), (half, &new.variance)] {
                for (c, value) in values.iter().enumerate() {
                    lines[first + c / LINE].0[c % LINE] = *value;
                }
            }
        }
        Ok(())
    }

    /// The same function without batch normalisation and dropout, for serving and export: with
    /// s = γ/√(running variance + 1e-5), W becomes W·s and b becomes (b − running mean)·s + β. Layer
    /// normalisation cannot be folded and stays.
    ///
    /// # Errors
    /// [`Error::Memory`] when there is no memory for the copy.
    pub fn folded(&self) -> Result<Mlp> {
        let mut net = self.clone();
        net.input_dropout = 0.0;
        for dense in &mut net.layers {
            dense.dropout = 0.0;
            if dense.norm.as_ref().is_some_and(|norm| norm.kind == NormKind::Batch) {
                *dense = dense.without_batch_norm()?;
            }
        }
        Ok(net)
    }
}

impl Dense {
    /// The same layer with its running statistics folded into weights and biases.
    fn without_batch_norm(&self) -> Result<Dense> {
        let mut folded = Dense::zeros(self.n_in(), self.n_out(), self.activation, None)?;
        folded.residual = self.residual;
        let Some(norm) = &self.norm else { return Ok(folded) };
        for c in 0..self.n_out() {
            let value = |lines: &[Line]| f64::from(lines[c / LINE].0[c % LINE]);
            let spread = value(norm.running(1)) + f64::from(EPSILON);
            let scale = value(self.vector(1)) / spread.sqrt();
            let bias = (value(self.vector(0)) - value(norm.running(0))) * scale;
            *folded.bias_mut(c) = (bias + value(self.vector(2))) as f32;
            for r in 0..self.n_in() {
                *folded.weight_mut(r, c) = (f64::from(self.w.at(r, c)) * scale) as f32;
            }
        }
        Ok(folded)
    }
}
