//! Building a network.

use super::Mlp;
use super::dense::Dense;
use super::init::Init;
use super::norm::NormKind;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::simd::Level;
use std::fmt;
use std::sync::Arc;

/// Describes a network, layer by layer. Everything is checked by [`Builder::build`].
///
/// ```
/// use deltarule::{Activation, Init, Mlp};
///
/// let net = Mlp::builder(784)
///     .dense(128, Activation::Relu)
///     .dense(10, Activation::Softmax)
///     .init(Init::He)
///     .seed(1)
///     .build()?;
/// assert_eq!(net.n_parameters(), 784 * 128 + 128 + 128 * 10 + 10);
/// # Ok::<(), deltarule::Error>(())
/// ```
///
/// What stands around a layer follows it:
///
/// ```
/// use deltarule::{Activation, Mlp};
///
/// let net = Mlp::builder(784)
///     .dropout(0.2) // of the inputs
///     .maxout(240, 5)
///     .dropout(0.5)
///     .dense(240, Activation::Relu)
///     .batch_norm()
///     .residual(1)
///     .dense(10, Activation::Softmax)
///     .build()?;
/// # Ok::<(), deltarule::Error>(())
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct Builder {
    n_in: usize,
    layers: Vec<Plan>,
    input_dropout: f32,
    init: Option<Init>,
    init_with: Option<InitWith>,
    seed: u64,
    level: Option<Level>,
    /// The first call that came where it makes no sense.
    misplaced: Option<&'static str>,
}

/// What a layer will be.
#[derive(Clone, Debug)]
struct Plan {
    n_out: usize,
    activation: Activation,
    norm: Option<NormKind>,
    dropout: f32,
    residual: usize,
}

/// A function of a user's.
#[derive(Clone)]
struct InitWith(Arc<dyn Fn(usize, usize, usize) -> f32 + Send + Sync>);

impl fmt::Debug for InitWith {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InitWith")
    }
}

impl Builder {
    pub(super) fn new(n_in: usize) -> Self {
        Builder {
            n_in,
            layers: Vec::new(),
            input_dropout: 0.0,
            init: None,
            init_with: None,
            seed: 0,
            level: None,
            misplaced: None,
        }
    }

    /// Adds a dense layer of `n_out` neurons.
    pub fn dense(mut self, n_out: usize, activation: Activation) -> Self {
        self.layers.push(Plan { n_out, activation, norm: None, dropout: 0.0, residual: 0 });
        self
    }

    /// Adds a layer of `n_out` maxout neurons, each the largest of `pieces` linear functions: the
    /// same as a dense layer with [`Activation::Maxout`].
    pub fn maxout(self, n_out: usize, pieces: usize) -> Self {
        self.dense(n_out, Activation::Maxout { pieces })
    }

    /// Dropout in training: each output of the last layer (each input, before the first layer) is
    /// set to zero with probability `rate` and else divided by 1 − `rate` (Srivastava et al. 2014).
    /// Which ones is a function of the trainer's seed, the step, the layer, row and column. Rates
    /// are multiples of 1/65536.
    pub fn dropout(mut self, rate: f32) -> Self {
        match self.layers.last_mut() {
            Some(layer) => layer.dropout = rate,
            None => self.input_dropout = rate,
        }
        self
    }

    /// Normalises the last layer's z = x·W + b over its neurons, before the activation:
    /// [`NormKind::Layer`].
    pub fn layer_norm(self) -> Self {
        self.around_last("a norm", |layer| layer.norm = Some(NormKind::Layer))
    }

    /// Normalises the last layer's z = x·W + b over the batch, before the activation:
    /// [`NormKind::Batch`].
    pub fn batch_norm(self) -> Self {
        self.around_last("a norm", |layer| layer.norm = Some(NormKind::Batch))
    }

    /// Makes the last `layers` layers a residual block (He et al. 2016): what goes into the first
    /// of them is added to what comes out of the last, after its activation and dropout. The two
    /// must be of equal width.
    pub fn residual(self, layers: usize) -> Self {
        let layers = if layers == 0 { usize::MAX } else { layers };
        self.around_last("a residual connection", |layer| layer.residual = layers)
    }

    fn around_last(mut self, what: &'static str, change: impl FnOnce(&mut Plan)) -> Self {
        match self.layers.last_mut() {
            Some(layer) => change(layer),
            None => self.misplaced = self.misplaced.or(Some(what)),
        }
        self
    }

    /// How all weights begin. Without it each layer takes what suits its activation: He's
    /// initialisation for ReLU, leaky ReLU, ELU, GELU and SiLU, LeCun's for SELU and maxout,
    /// Glorot's for the others.
    pub fn init(mut self, init: Init) -> Self {
        self.init = Some(init);
        self
    }

    /// How all weights begin, by a function of your own: `weight(layer, row, column)`, with the
    /// input's number as the row and the neuron's as the column (as in [`Mlp::weights`]). Biases
    /// begin at zero.
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
    /// connection between different widths, a normalised maxout layer, two ways to begin, or a
    /// parameter out of range; [`Error::Value`] when a function of yours gives a weight that is not
    /// finite; [`Error::Level`] when `DELTARULE_SIMD` names a level that this CPU lacks.
    pub fn build(self) -> Result<Mlp> {
        let mut net = self.zeros()?;
        for (i, dense) in net.layers.iter_mut().enumerate() {
            match &self.init_with {
                Some(InitWith(weight)) => fill_with(dense, i, weight.as_ref())?,
                None => {
                    let init = self.init.unwrap_or_else(|| Init::for_activation(dense.activation));
                    init.fill(dense, (self.seed, i));
                }
            }
        }
        Ok(net)
    }

    /// The network with all weights and biases zero, after all checks.
    pub(crate) fn zeros(&self) -> Result<Mlp> {
        if self.n_in == 0 {
            return Err(Error::config("network", "expected at least one input, got 0"));
        }
        if self.layers.is_empty() {
            return Err(Error::config("network", "expected at least one layer, got none"));
        }
        if let Some(what) = self.misplaced {
            return Err(Error::config(what, "belongs after a layer"));
        }
        check_dropout("dropout of the inputs", self.input_dropout)?;
        if self.init.is_some() && self.init_with.is_some() {
            return Err(Error::config("initialisation", "a kind or a function; choose one"));
        }
        if let Some(init) = self.init {
            init.validate()?;
        }
        let level = self.level.map_or_else(Level::from_env, Ok)?;
        let mut layers = Vec::with_capacity(self.layers.len());
        for i in 0..self.layers.len() {
            self.check_layer(i)?;
            let Plan { n_out, activation, norm, dropout, residual } = self.layers[i];
            let mut dense = Dense::zeros(self.width(i), n_out, activation, norm)?;
            (dense.dropout, dense.residual) = (dropout, residual);
            layers.push(dense);
        }
        Ok(Mlp { layers, input_dropout: self.input_dropout, level })
    }

    /// Values that go into layer `i`.
    fn width(&self, i: usize) -> usize {
        if i == 0 { self.n_in } else { self.layers[i - 1].n_out }
    }

    fn check_layer(&self, i: usize) -> Result<()> {
        let refuse = |reason: &str| Err(Error::config(format!("layer {i}"), reason));
        let layer = &self.layers[i];
        let maxout = layer.activation.pieces() > 1;
        let plain = layer.norm.is_none() && layer.residual == 0 && layer.dropout == 0.0;
        if layer.n_out == 0 {
            return refuse("expected at least one neuron, got 0");
        }
        layer.activation.validate()?;
        check_dropout(&format!("layer {i}: dropout"), layer.dropout)?;
        if i + 1 == self.layers.len() {
            match (maxout, plain) {
                (true, _) => return refuse("maxout belongs below the output layer"),
                (_, false) => {
                    return refuse(
                        "norms, dropout and residual connections belong below the output layer",
                    );
                }
                _ => return Ok(()),
            }
        }
        if layer.activation == Activation::Softmax {
            return refuse("softmax belongs to the output layer");
        }
        if maxout && layer.norm.is_some() {
            return refuse("a maxout layer cannot be normalised");
        }
        if layer.residual > i + 1 {
            let reason = format!("a residual block of 1 to {} layers", i + 1);
            return Err(Error::config(format!("layer {i}"), format!("expected {reason}")));
        }
        if layer.residual > 0 && self.width(i + 1 - layer.residual) != layer.n_out {
            let from = self.width(i + 1 - layer.residual);
            let reason = format!("a residual connection from {from} to {} values", layer.n_out);
            return Err(Error::config(format!("layer {i}"), reason));
        }
        Ok(())
    }
}

fn check_dropout(option: &str, rate: f32) -> Result<()> {
    // Above that all values are dropped.
    crate::error::check_range(option, rate, 0.0..1.0 - 1.0 / 65536.0)
}

/// Weights that a user's function gives.
fn fill_with(
    dense: &mut Dense,
    layer: usize,
    weight: &(dyn Fn(usize, usize, usize) -> f32 + Send + Sync),
) -> Result<()> {
    for row in 0..dense.n_in() {
        for column in 0..dense.n_columns() {
            let value = weight(layer, row, column);
            if !value.is_finite() {
                let place = format!("layer {layer}: weight ({row}, {column})");
                return Err(Error::value(place, "a finite number", value));
            }
            *dense.weight_mut(row, column) = value;
        }
    }
    Ok(())
}

impl Init {
    /// What suits an activation.
    fn for_activation(activation: Activation) -> Init {
        match activation {
            Activation::Relu
            | Activation::LeakyRelu { .. }
            | Activation::Elu { .. }
            | Activation::Gelu
            | Activation::Silu => Init::He,
            Activation::Selu | Activation::Maxout { .. } => Init::LeCun,
            _ => Init::Glorot,
        }
    }
}
