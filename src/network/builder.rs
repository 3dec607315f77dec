//! Building a network.

use super::architecture::Architecture;
use super::init::Init;
use super::layer::Layer;
use super::mlp::Mlp;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::simd::Level;
use std::fmt;
use std::sync::Arc;

/// Describes a network, layer by layer. Everything is checked by [`MlpBuilder::build`].
///
/// ```
/// use deltarule::{Activation, Init, Layer, Mlp};
///
/// let net = Mlp::builder(784)
///     .dense(128, Activation::Relu)
///     .dense(10, Activation::Softmax)
///     .init(Init::He)
///     .seed(1)
///     .build()?;
/// assert_eq!(net.n_parameters(), 784 * 128 + 128 + 128 * 10 + 10);
///
/// // Layers can also be values, and options can follow a layer.
/// let block = Layer::dense(240, Activation::Relu).batch_norm().residual(1);
/// let net = Mlp::builder(784)
///     .dropout(0.2) // of the inputs
///     .maxout(240, 5)
///     .dropout(0.5) // of the maxout layer's outputs
///     .layer(block)
///     .layer(block)
///     .dense(10, Activation::Softmax)
///     .build()?;
/// # Ok::<(), deltarule::Error>(())
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct MlpBuilder {
    architecture: Architecture,
    init: Option<Init>,
    init_with: Option<InitWith>,
    seed: u64,
    level: Option<Level>,
    /// The first call that came where it makes no sense.
    misplaced: Option<&'static str>,
}

/// A function of a user's.
#[derive(Clone)]
struct InitWith(Arc<dyn Fn(usize, usize, usize) -> f32 + Send + Sync>);

impl fmt::Debug for InitWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InitWith")
    }
}

impl Mlp {
    /// Begins a network with `n_in` inputs.
    pub fn builder(n_in: usize) -> MlpBuilder {
        MlpBuilder {
            architecture: Architecture { n_in, input_dropout: 0.0, layers: Vec::new() },
            init: None,
            init_with: None,
            seed: 0,
            level: None,
            misplaced: None,
        }
    }
}

impl MlpBuilder {
    /// Adds a layer.
    pub fn layer(mut self, layer: Layer) -> Self {
        self.architecture.layers.push(layer);
        self
    }

    /// Adds a dense layer of `n_out` neurons: [`Layer::dense`].
    pub fn dense(self, n_out: usize, activation: Activation) -> Self {
        self.layer(Layer::dense(n_out, activation))
    }

    /// Adds a layer of `n_out` maxout neurons with `units` linear functions each: [`Layer::maxout`].
    pub fn maxout(self, n_out: usize, units: usize) -> Self {
        self.layer(Layer::maxout(n_out, units))
    }

    /// Adds a learned scale and shift per feature: [`Layer::affine`].
    pub fn affine(self) -> Self {
        self.layer(Layer::affine())
    }

    /// Dropout of the outputs of the last layer: [`Layer::dropout`]; before the first layer, of the
    /// inputs.
    pub fn dropout(mut self, rate: f32) -> Self {
        match self.architecture.layers.last_mut() {
            Some(layer) => layer.dropout = rate,
            None => self.architecture.input_dropout = rate,
        }
        self
    }

    /// Layer normalisation in the last layer: [`Layer::layer_norm`].
    pub fn layer_norm(self) -> Self {
        self.change_last("a norm", Layer::layer_norm)
    }

    /// Batch normalisation in the last layer: [`Layer::batch_norm`].
    pub fn batch_norm(self) -> Self {
        self.change_last("a norm", Layer::batch_norm)
    }

    /// Makes the last `layers` layers a residual block: [`Layer::residual`].
    pub fn residual(self, layers: usize) -> Self {
        self.change_last("a residual connection", |layer| layer.residual(layers))
    }

    fn change_last(mut self, what: &'static str, change: impl FnOnce(Layer) -> Layer) -> Self {
        match self.architecture.layers.last_mut() {
            Some(layer) => *layer = change(*layer),
            None => self.misplaced = self.misplaced.or(Some(what)),
        }
        self
    }

    /// The initialisation of all weights. By default it depends on the layer's activation: [`Init::He`]
    /// for ReLU, leaky ReLU, ELU, GELU and SiLU, [`Init::LeCun`] for SELU and maxout,
    /// [`Init::Glorot`] for the others.
    pub fn init(mut self, init: Init) -> Self {
        self.init = Some(init);
        self
    }

    /// Initialises all weights with a function `weight(layer, row, column)`; the row is the input, the
    /// column the neuron, as in [`Mlp::weights`]. Biases are zero.
    pub fn init_with(
        mut self,
        weight: impl Fn(usize, usize, usize) -> f32 + Send + Sync + 'static,
    ) -> Self {
        self.init_with = Some(InitWith(Arc::new(weight)));
        self
    }

    /// The seed of the initial weights (0 by default).
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The SIMD level to run at, instead of [`Level::from_env`].
    pub fn level(mut self, level: Level) -> Self {
        self.level = Some(level);
        self
    }

    /// Builds the network.
    ///
    /// # Errors
    /// [`Error::Config`] for an empty network, a layer without neurons, softmax below the output
    /// layer, a norm, dropout, residual connection or maxout at the output layer, a residual
    /// connection between different widths, a normalised maxout or affine layer, two initialisations, or
    /// a parameter out of range; [`Error::Value`] when the function of [`MlpBuilder::init_with`] returns
    /// a weight that is not finite; [`Error::Level`] when `DELTARULE_SIMD` names a level that this CPU
    /// lacks.
    pub fn build(self) -> Result<Mlp> {
        let mut net = self.zeros()?;
        for i in 0..net.layers.len() {
            let layer = &mut net.layers[i];
            match &self.init_with {
                Some(InitWith(weight)) => {
                    let mut weights = layer.weights();
                    let columns = weights.cols();
                    for (at, w) in weights.as_mut_slice().iter_mut().enumerate() {
                        *w = weight(i, at / columns, at % columns);
                    }
                    let biases = layer.biases();
                    net.set_parameters(i, weights.view(), &biases)?;
                }
                None => {
                    let suited = || Init::for_activation(layer.spec.activation());
                    self.init.unwrap_or_else(suited).fill(layer, (self.seed, i));
                }
            }
        }
        Ok(net)
    }

    /// The network with all weights and biases zero, after all checks.
    pub(crate) fn zeros(&self) -> Result<Mlp> {
        if let Some(what) = self.misplaced {
            return Err(Error::config(what, "belongs after a layer"));
        }
        if self.init.is_some() && self.init_with.is_some() {
            return Err(Error::config("initialisation", "a kind or a function; choose one"));
        }
        self.init.map_or(Ok(()), Init::validate)?;
        Mlp::zeros(&self.architecture, self.level.map_or_else(Level::from_env, Ok)?)
    }
}
