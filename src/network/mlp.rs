//! A network: its layers and their parameters.

use super::architecture::Architecture;
use super::layer::LayerShape;
use super::parameters::LayerParameters;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::simd::Level;
use crate::storage::{MatRef, Matrix};
use std::fmt;

/// A multilayer perceptron: [layers](crate::Layer) that follow each other, with their parameters.
/// [`Mlp::builder`] makes one, [`Trainer`](crate::Trainer) trains it, [`Mlp::save`] and [`Mlp::load`] keep
/// it in a file.
///
/// ```
/// use deltarule::{Activation, MatRef, Mlp};
///
/// let net = Mlp::builder(2).dense(8, Activation::Relu).dense(3, Activation::Softmax).build()?;
/// // Two samples in, a row of three probabilities out for each.
/// let y = net.predict(MatRef::new(&[0.5, -1.0, 2.0, 0.0], 2, 2)?)?;
/// assert_eq!((y.rows(), y.cols()), (2, 3));
/// assert!((y.row(0).iter().sum::<f32>() - 1.0).abs() < 1e-6);
/// # Ok::<(), deltarule::Error>(())
/// ```
///
/// It is `Send + Sync`; predicting takes `&self`, so one network behind an `Arc` serves any number
/// of threads.
#[derive(Clone)]
pub struct Mlp {
    pub(crate) layers: Vec<LayerParameters>,
    /// Probability that an input is dropped in training.
    pub(crate) input_dropout: f32,
    pub(crate) level: Level,
}

impl Mlp {
    /// The network with all weights and biases zero, after all checks.
    pub(crate) fn zeros(architecture: &Architecture, level: Level) -> Result<Mlp> {
        architecture.check()?;
        let layers = architecture.shapes().map(LayerParameters::zeros).collect::<Result<_>>()?;
        Ok(Mlp { layers, input_dropout: architecture.input_dropout, level })
    }

    /// The description of the network. With the tensors of the layers it is the whole of it.
    pub(crate) fn architecture(&self) -> Architecture {
        // Every field by name: what is in neither is lost in a file.
        let Mlp { layers, input_dropout, level: _ } = self;
        let layers = layers.iter().map(|layer| layer.spec).collect();
        Architecture { n_in: self.n_in(), input_dropout: *input_dropout, layers }
    }

    /// Number of inputs.
    #[must_use]
    pub fn n_in(&self) -> usize {
        self.layers[0].n_in()
    }

    /// Number of outputs.
    #[must_use]
    pub fn n_out(&self) -> usize {
        self.layers[self.layers.len() - 1].n_out()
    }

    pub(crate) fn output_activation(&self) -> Activation {
        self.layers[self.layers.len() - 1].spec.activation()
    }

    /// The description and the widths of each layer, from the input on.
    pub fn layers(&self) -> impl ExactSizeIterator<Item = LayerShape> + '_ {
        self.layers.iter().map(LayerParameters::shape)
    }

    /// Probability that an input is dropped in training.
    #[must_use]
    pub fn input_dropout(&self) -> f32 {
        self.input_dropout
    }

    /// Number of parameters: weights and biases, and the scales and shifts of norms and affine layers.
    #[must_use]
    pub fn n_parameters(&self) -> usize {
        self.layers().map(|layer| layer.n_parameters()).sum()
    }

    /// The SIMD level at which the network runs.
    #[must_use]
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
    /// n_in x (n_out · units), the units of a neuron side by side. An affine layer has no weights
    /// (n_in x 0) and no biases; [`Mlp::norm_parameters`] returns its γ and β.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such layer.
    pub fn weights(&self, layer: usize) -> Result<Matrix> {
        Ok(self.layer(layer)?.weights())
    }

    /// A copy of the n_out biases of layer `layer`; for maxout n_out · units, for an affine layer none.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such layer.
    pub fn biases(&self, layer: usize) -> Result<Vec<f32>> {
        Ok(self.layer(layer)?.biases())
    }

    /// Replaces the weights and biases of layer `layer`, with the shapes of [`Mlp::weights`] and
    /// [`Mlp::biases`]. [`Mlp::set_norm_parameters`] replaces those of a norm or an affine layer.
    ///
    /// # Errors
    /// [`Error::Config`] when there is no such layer, [`Error::Shape`] when a shape differs,
    /// [`Error::Value`] when a value is not finite; then nothing is changed.
    pub fn set_parameters(&mut self, layer: usize, weights: MatRef, biases: &[f32]) -> Result<()> {
        let parameters = self.layer(layer)?;
        let (n_in, n_out) = (parameters.n_in(), parameters.n_columns());
        let place = |what: &str| format!("layer {layer}: {what}");
        if (weights.rows(), weights.cols()) != (n_in, n_out) {
            let got = format!("{} x {}", weights.rows(), weights.cols());
            return Err(Error::shape(place("weights"), format!("{n_in} x {n_out}"), got));
        }
        if biases.len() != n_out {
            return Err(Error::shape(place("biases"), n_out, biases.len()));
        }
        let rows = || (0..n_in).map(|r| weights.row(r)).chain([biases]).enumerate();
        for (r, row) in rows() {
            if let Some((c, value)) = row.iter().enumerate().find(|(_, x)| !x.is_finite()) {
                let what =
                    if r < n_in { format!("weight ({r}, {c})") } else { format!("bias {c}") };
                return Err(Error::value(place(&what), "a finite number", value));
            }
        }
        let parameters = &mut self.layers[layer];
        for (r, row) in rows() {
            for (c, &value) in row.iter().enumerate() {
                *match r < n_in {
                    true => parameters.weight_mut(r, c),
                    false => parameters.bias_mut(c),
                } = value;
            }
        }
        Ok(())
    }

    pub(super) fn layer(&self, layer: usize) -> Result<&LayerParameters> {
        self.layers.get(layer).ok_or_else(|| {
            let reason = format!("expected one below {}, got {layer}", self.layers.len());
            Error::config("layer", reason)
        })
    }

    /// A hash of the bits of every parameter: FNV-1a over 64 bits. Per layer come the weights
    /// row by row, the biases, the scales and shifts of a norm or an affine layer, and a norm's running
    /// statistics in groups of 16, as files hold them. Equal digests mean, in practice, equal bits.
    #[must_use]
    pub fn digest(&self) -> u64 {
        // Offset basis and prime of the definition.
        let values = self.layers.iter().flat_map(LayerParameters::values);
        values.fold(0xcbf2_9ce4_8422_2325, |hash, value| {
            value.to_bits().to_le_bytes().into_iter().fold(hash, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
            })
        })
    }
}

impl fmt::Debug for Mlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers = self.architecture().to_string().replace(", ", " -> ");
        let (n, level) = (self.n_parameters(), self.level.name());
        write!(f, "Mlp {{ {layers}, {n} parameters, {level} }}")
    }
}
