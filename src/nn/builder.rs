//! Building a network.

use super::{Dense, Init, Mlp};
use crate::activation::Activation;
use crate::simd::Level;
use crate::{Error, Result};

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
#[derive(Clone, Debug)]
pub struct Builder {
    n_in: usize,
    layers: Vec<(usize, Activation)>,
    init: Option<Init>,
    seed: u64,
    level: Option<Level>,
}

impl Builder {
    pub(super) fn new(n_in: usize) -> Self {
        Builder { n_in, layers: Vec::new(), init: None, seed: 0, level: None }
    }

    /// Adds a dense layer of `n_out` neurons.
    pub fn dense(mut self, n_out: usize, activation: Activation) -> Self {
        self.layers.push((n_out, activation));
        self
    }

    /// How all weights begin. Without it each layer takes what suits its activation: He's
    /// initialisation for ReLU, leaky ReLU, ELU, GELU and SiLU, LeCun's for SELU, Glorot's for the
    /// others.
    pub fn init(mut self, init: Init) -> Self {
        self.init = Some(init);
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
    /// layer, or a parameter out of range; [`Error::Level`] when `DELTARULE_SIMD` names a level
    /// that this CPU lacks.
    pub fn build(self) -> Result<Mlp> {
        let mut net = self.zeros()?;
        for (i, Dense { w, b, activation }) in net.layers.iter_mut().enumerate() {
            let init = self.init.unwrap_or_else(|| Init::for_activation(*activation));
            init.fill(
                (self.seed, i),
                (w.rows(), w.cols()),
                |r, c, value| *w.at_mut(r, c) = value,
                |c, value| *b.at_mut(0, c) = value,
            );
        }
        Ok(net)
    }

    /// The network with all parameters zero, after all checks.
    pub(crate) fn zeros(&self) -> Result<Mlp> {
        if self.n_in == 0 {
            return Err(Error::config("network", "expected at least one input, got 0"));
        }
        if self.layers.is_empty() {
            return Err(Error::config("network", "expected at least one layer, got none"));
        }
        let level = self.level.map_or_else(Level::from_env, Ok)?;
        let last = self.layers.len() - 1;
        let mut layers = Vec::with_capacity(self.layers.len());
        let mut n_in = self.n_in;
        for (i, &(n_out, activation)) in self.layers.iter().enumerate() {
            let place = || format!("layer {i}");
            if n_out == 0 {
                return Err(Error::config(place(), "expected at least one neuron, got 0"));
            }
            if activation == Activation::Softmax && i != last {
                return Err(Error::config(place(), "softmax belongs to the output layer"));
            }
            activation.validate()?;
            self.init.unwrap_or_else(|| Init::for_activation(activation)).validate()?;
            layers.push(Dense::zeros(n_in, n_out, activation)?);
            n_in = n_out;
        }
        Ok(Mlp { layers, level })
    }
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
            Activation::Selu => Init::LeCun,
            _ => Init::Glorot,
        }
    }
}
