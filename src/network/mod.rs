//! Networks: layers, their parameters, and how they begin. Nothing here knows of training.

mod builder;
mod dense;
mod init;
mod norm;
mod summary;

pub use builder::Builder;
pub(crate) use dense::Dense;
pub use init::Init;
pub(crate) use norm::Norm;
pub use norm::{NormKind, NormParameters};
pub use summary::{LayerSummary, Summary};

use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::simd::Level;
use crate::storage::{MatRef, Matrix};
use std::fmt;

/// A multilayer perceptron: dense layers, each a = σ(x·W + b).
///
/// It is `Send + Sync`; predicting takes `&self`, so one network behind an `Arc` serves any number
/// of threads.
#[derive(Clone)]
pub struct Mlp {
    pub(crate) layers: Vec<Dense>,
    /// Probability that an input is dropped in training.
    pub(crate) input_dropout: f32,
    pub(crate) level: Level,
}

/// One layer's shape, activation, and what stands around it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerShape {
    /// Inputs.
    pub n_in: usize,
    /// Neurons.
    pub n_out: usize,
    /// σ
    pub activation: Activation,
    /// How z is normalised before σ.
    pub norm: Option<NormKind>,
    /// Probability that an output is dropped in training.
    pub dropout: f32,
    /// The outputs of the layer so many layers before are added to the outputs; 0 for none.
    pub residual: usize,
}

impl Mlp {
    /// Begins a network with so many inputs.
    pub fn builder(n_in: usize) -> Builder {
        Builder::new(n_in)
    }

    /// Number of inputs.
    pub fn n_in(&self) -> usize {
        self.layers[0].n_in()
    }

    /// Number of outputs.
    pub fn n_out(&self) -> usize {
        self.layers[self.layers.len() - 1].n_out()
    }

    /// The shape and activation of each layer, from the input on.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = LayerShape> + '_ {
        self.layers.iter().map(|l| LayerShape {
            n_in: l.n_in(),
            n_out: l.n_out(),
            activation: l.activation,
            norm: l.norm.as_ref().map(|norm| norm.kind),
            dropout: l.dropout,
            residual: l.residual,
        })
    }

    /// Probability that an input is dropped in training.
    pub fn input_dropout(&self) -> f32 {
        self.input_dropout
    }

    /// Number of parameters: weights and biases, and the scales and shifts of norms.
    pub fn n_parameters(&self) -> usize {
        self.layers.iter().map(Dense::n_parameters).sum()
    }

    /// The SIMD level it runs at.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The same network at another level.
    #[must_use]
    pub fn with_level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// A row-major copy of the weights of layer `layer`, n_in x n_out; for maxout
    /// n_in x (n_out · pieces), the pieces of a neuron side by side.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such layer.
    pub fn weights(&self, layer: usize) -> Result<Matrix> {
        Ok(self.layer(layer)?.weights())
    }

    /// A copy of the biases of layer `layer`.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such layer.
    pub fn biases(&self, layer: usize) -> Result<Vec<f32>> {
        Ok(self.layer(layer)?.biases())
    }

    /// Replaces the parameters of layer `layer`: weights n_in x n_out and n_out biases (for maxout
    /// n_out · pieces of them, as [`Mlp::weights`] returns). For a norm's see
    /// [`Mlp::set_norm_parameters`].
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such layer, [`Error::Shape`] when a shape differs,
    /// [`Error::Value`] when a value is not finite; then nothing is changed.
    pub fn set_parameters(&mut self, layer: usize, weights: MatRef, biases: &[f32]) -> Result<()> {
        self.layer(layer)?;
        let dense = &mut self.layers[layer];
        let (n_in, n_out) = (dense.n_in(), dense.n_columns());
        let place = |what: &str| format!("layer {layer}: {what}");
        if (weights.rows(), weights.cols()) != (n_in, n_out) {
            let got = format!("{} x {}", weights.rows(), weights.cols());
            return Err(Error::shape(place("weights"), format!("{n_in} x {n_out}"), got));
        }
        if biases.len() != n_out {
            return Err(Error::shape(place("biases"), n_out, biases.len()));
        }
        let rows = (0..n_in).map(|r| weights.row(r));
        for (r, row) in rows.chain([biases]).enumerate() {
            if let Some((c, value)) = row.iter().enumerate().find(|(_, x)| !x.is_finite()) {
                let what =
                    if r < n_in { format!("weight ({r}, {c})") } else { format!("bias {c}") };
                return Err(Error::value(place(&what), "a finite number", value));
            }
        }
        for r in 0..n_in {
            for (c, value) in weights.row(r).iter().enumerate() {
                *dense.weight_mut(r, c) = *value;
            }
        }
        for (c, value) in biases.iter().enumerate() {
            *dense.bias_mut(c) = *value;
        }
        Ok(())
    }

    fn layer(&self, layer: usize) -> Result<&Dense> {
        self.layers.get(layer).ok_or_else(|| {
            let reason = format!("expected one below {}, got {layer}", self.layers.len());
            Error::config("layer", reason)
        })
    }

    /// A hash of the bits of every parameter, layer by layer, weights row-major and then biases
    /// (then a norm's scales and shifts, and its running statistics in groups of 16, as files hold
    /// them): FNV-1a over 64 bits. Two runs agree
    /// bit for bit exactly when (in practice) their digests do.
    pub fn digest(&self) -> u64 {
        let running = |l: &'_ Dense| {
            let lines = l.norm.iter().flat_map(|norm| norm.running.lines()).copied();
            lines.flat_map(|line| line.0).collect::<Vec<_>>()
        };
        let parameters = self.layers.iter().flat_map(|l| l.parameters().chain(running(l)));
        parameters.fold(0xcbf2_9ce4_8422_2325, |hash, value| {
            value.to_bits().to_le_bytes().into_iter().fold(hash, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
        })
    }
}

/// Neurons and activation, and what stands around them: `128 relu batch-norm dropout:0.5
/// residual:1`.
impl fmt::Display for LayerShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.n_out, self.activation)?;
        f.write_str(match self.norm {
            Some(NormKind::Layer) => " layer-norm",
            Some(NormKind::Batch) => " batch-norm",
            None => "",
        })?;
        if self.dropout > 0.0 {
            write!(f, " dropout:{}", self.dropout)?;
        }
        match self.residual {
            0 => Ok(()),
            layers => write!(f, " residual:{layers}"),
        }
    }
}

impl fmt::Debug for Mlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mlp {{ {}", self.n_in())?;
        if self.input_dropout > 0.0 {
            write!(f, " dropout:{}", self.input_dropout)?;
        }
        for l in self.layers() {
            write!(f, " -> {l}")?;
        }
        write!(f, ", {} parameters, {} }}", self.n_parameters(), self.level.name())
    }
}
