//! The description of a layer, without its parameters: what a builder takes, what a summary prints,
//! and the words of files.
//!
//! A new kind of layer is a variant of [`LayerKind`], with its words in [`Layer::words`] and
//! [`Layer::from_str`]; the compiler names the other places.

use crate::activation::Activation;
use crate::error::{Error, Result};
use std::fmt;
use std::str::FromStr;

/// The description of a layer; [`MlpBuilder::layer`](crate::MlpBuilder::layer) adds it to a network.
///
/// Text form, as in the files of networks: the number of neurons and the activation, or `affine`; then the
/// options in any order: `128 relu batch-norm dropout:0.5 residual:1`.
///
/// ```
/// use deltarule::{Activation, Layer};
///
/// let layer = Layer::dense(128, Activation::Relu).batch_norm().dropout(0.5);
/// assert_eq!(layer.to_string(), "128 relu batch-norm dropout:0.5");
/// assert_eq!(layer, "128 relu batch-norm dropout:0.5".parse()?);
/// # Ok::<(), deltarule::Error>(())
/// ```
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Layer {
    /// What the layer computes.
    pub kind: LayerKind,
    /// Normalisation of z before the activation.
    pub norm: Option<NormKind>,
    /// Probability that an output is dropped in training.
    pub dropout: f32,
    /// Length of the residual block that ends with this layer, in layers; 0 for none.
    pub residual: usize,
}

/// What a layer computes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum LayerKind {
    /// a = σ(x·W + b)
    Dense {
        /// Number of neurons.
        n_out: usize,
        /// σ
        activation: Activation,
    },
    /// a = γ ⊙ x + β: a learned scale and shift per feature, with as many outputs as inputs
    Affine,
}

/// How a layer's z = x·W + b is normalised to ẑ; the activation takes γ ⊙ ẑ + β.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NormKind {
    /// Over the neurons of each row: ẑ = (z − μ)/√(v + 1e-5) (Ba, Kiros and Hinton 2016).
    Layer,
    /// Over the batch, per neuron (Ioffe and Szegedy 2015). Predictions use running means and
    /// variances. Each training step moves them by a tenth towards those of the batch (its variance
    /// with n − 1), as in PyTorch. A batch of one row, such as the last of an epoch, has no variance:
    /// the running statistics stay as they are, and ẑ is 0. Training with batches of one row only is
    /// refused. Each row counts once, whatever its sample weight; a row of weight 0 is left out.
    Batch,
}

/// A layer of a network, with its numbers of inputs and outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerShape {
    /// Number of inputs.
    pub n_in: usize,
    /// Number of outputs.
    pub n_out: usize,
    /// The description.
    pub layer: Layer,
}

impl NormKind {
    const ALL: [NormKind; 2] = [NormKind::Layer, NormKind::Batch];

    /// The word of files.
    fn word(self) -> &'static str {
        match self {
            NormKind::Layer => "layer-norm",
            NormKind::Batch => "batch-norm",
        }
    }
}

/// The word of files for [`LayerKind::Affine`].
const AFFINE: &str = "affine";

impl Layer {
    fn new(kind: LayerKind) -> Self {
        Layer { kind, norm: None, dropout: 0.0, residual: 0 }
    }

    /// A dense layer: a = σ(x·W + b), with `n_out` neurons.
    pub fn dense(n_out: usize, activation: Activation) -> Self {
        Layer::new(LayerKind::Dense { n_out, activation })
    }

    /// A learned scale and shift per feature: a = γ ⊙ x + β, with as many outputs as inputs. γ begins as
    /// 1 and β as 0, whatever the initialisation. [`Mlp::norm_parameters`](crate::Mlp::norm_parameters)
    /// returns both. Below the first dense layer it learns the scale of the inputs.
    pub fn affine() -> Self {
        Layer::new(LayerKind::Affine)
    }

    /// A dense layer with [`Activation::Maxout`]: each of the `n_out` neurons is the largest of `units`
    /// linear functions.
    pub fn maxout(n_out: usize, units: usize) -> Self {
        Layer::dense(n_out, Activation::Maxout { units })
    }

    /// With layer normalisation: [`NormKind::Layer`].
    pub fn layer_norm(mut self) -> Self {
        self.norm = Some(NormKind::Layer);
        self
    }

    /// With batch normalisation: [`NormKind::Batch`].
    pub fn batch_norm(mut self) -> Self {
        self.norm = Some(NormKind::Batch);
        self
    }

    /// With dropout in training: each output is set to zero with probability `rate`, and else divided
    /// by 1 − `rate` (Srivastava et al. 2014). The choice is a function of the trainer's seed, the step,
    /// the layer, the row and the column. Rates are multiples of 1/65536.
    pub fn dropout(mut self, rate: f32) -> Self {
        self.dropout = rate;
        self
    }

    /// Ends a residual block of `layers` layers (He et al. 2016): the input of the first is added to
    /// the output of this one, the last, after its activation and dropout. The widths must be equal.
    pub fn residual(mut self, layers: usize) -> Self {
        // A block of no layers is refused like one that is too long.
        self.residual = if layers == 0 { usize::MAX } else { layers };
        self
    }

    /// The activation; the identity for kinds that have none.
    #[must_use]
    pub fn activation(&self) -> Activation {
        match self.kind {
            LayerKind::Dense { activation, .. } => activation,
            LayerKind::Affine => Activation::Identity,
        }
    }

    /// Number of outputs, for `n_in` inputs.
    pub(crate) fn n_out(&self, n_in: usize) -> usize {
        match self.kind {
            LayerKind::Dense { n_out, .. } => n_out,
            LayerKind::Affine => n_in,
        }
    }

    /// The text form without the number of neurons.
    pub(crate) fn words(&self) -> String {
        // Every field by name: what is neither here nor among the parameters is lost in a file.
        let Layer { kind, norm, dropout, residual } = self;
        let mut words = match kind {
            LayerKind::Dense { n_out: _, activation } => activation.to_string(),
            LayerKind::Affine => AFFINE.into(),
        };
        if let Some(norm) = norm {
            words += &format!(" {}", norm.word());
        }
        if *dropout > 0.0 {
            words += &format!(" dropout:{dropout}");
        }
        if *residual > 0 {
            words += &format!(" residual:{residual}");
        }
        words
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            LayerKind::Dense { n_out, .. } => write!(f, "{n_out} ")?,
            LayerKind::Affine => {}
        }
        f.write_str(&self.words())
    }
}

/// Its text form. A layer whose numbers that form cannot hold, such as a negative rate of dropout, is
/// an error.
#[cfg(feature = "serde")]
impl serde::Serialize for Layer {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        let text = self.to_string();
        match text.parse() {
            Ok(layer) if *self == layer => s.serialize_str(&text),
            Ok(_) | Err(_) => Err(serde::ser::Error::custom(format!("{self:?} has no text form"))),
        }
    }
}

/// From its text form. Whether the layer fits a network is checked when that is built.
#[cfg(feature = "serde")]
impl<'de> serde::Deserialize<'de> for Layer {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        let text: String = serde::Deserialize::deserialize(d)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl FromStr for Layer {
    type Err = Error;

    /// # Errors
    /// [`Error::Config`] for a word that is unknown. Whether the layer fits a network is checked when
    /// that is built.
    fn from_str(text: &str) -> Result<Layer> {
        let refuse = |reason: &str| Error::config("layer", reason);
        let mut words = text.split(' ');
        let mut layer = match words.next() {
            Some(AFFINE) => Layer::affine(),
            n_out => {
                let n_out = n_out.and_then(|n| n.parse().ok());
                let n_out = n_out.ok_or_else(|| refuse("expected a number of neurons"))?;
                let activation = words.next().ok_or_else(|| refuse("expected an activation"))?;
                Layer::dense(n_out, activation.parse()?)
            }
        };
        for word in words {
            let unknown = || refuse(&format!("{word:?} is unknown"));
            match word.split_once(':') {
                None => {
                    let norm = NormKind::ALL.into_iter().find(|norm| norm.word() == word);
                    layer.norm = Some(norm.ok_or_else(unknown)?);
                }
                Some(("dropout", rate)) => layer.dropout = rate.parse().map_err(|_| unknown())?,
                Some(("residual", n)) => layer.residual = n.parse().map_err(|_| unknown())?,
                Some(_) => return Err(unknown()),
            }
        }
        Ok(layer)
    }
}
