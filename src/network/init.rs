//! Initial weights.

mod text;

use super::parameters::LayerParameters;
use crate::activation::Activation;
use crate::error::{Error, Result};
use crate::math::{Purpose, RandomStream};

/// The distribution of initial weights. Biases are zero, except with [`Init::Normal`].
///
/// Fan-in is the number of inputs of a layer, fan-out of its outputs. Every weight is a function
/// of (seed, layer, row, column) alone.
///
/// Text form: the name, and the number after a colon: `he`, `normal:0.1`; see
/// [its `FromStr`](#impl-FromStr-for-Init).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case")
)]
#[non_exhaustive]
pub enum Init {
    /// Normal with variance 2/fan-in (He et al. 2015): for ReLU and its variants.
    He,
    /// Uniform with variance 2/fan-in.
    HeUniform,
    /// Normal with variance 2/(fan-in + fan-out) (Glorot and Bengio 2010): for tanh.
    Glorot,
    /// Uniform with variance 2/(fan-in + fan-out).
    GlorotUniform,
    /// Normal with variance 1/fan-in (LeCun et al. 1998): for sigmoid and SELU.
    #[cfg_attr(feature = "serde", serde(rename = "lecun"))]
    LeCun,
    /// Uniform with variance 1/fan-in.
    #[cfg_attr(feature = "serde", serde(rename = "lecun-uniform"))]
    LeCunUniform,
    /// Normal with this standard deviation, weights and biases, as in the first chapter of
    /// Nielsen's book (with 1).
    Normal(f32),
    /// Every weight is this.
    Constant(f32),
    /// Uniform between ± this.
    Uniform(f32),
    /// A random matrix times this gain, with orthonormal columns, or orthonormal rows where there
    /// are more columns than rows (Saxe et al. 2014): a normal matrix after Gram and Schmidt.
    Orthogonal(f32),
}

impl Init {
    /// The default for layers with this activation.
    pub(super) fn for_activation(activation: Activation) -> Init {
        match activation {
            Activation::Relu
            | Activation::LeakyRelu { .. }
            | Activation::Elu { .. }
            | Activation::Gelu
            | Activation::Silu => Init::He,
            Activation::Selu | Activation::Maxout { .. } => Init::LeCun,
            Activation::Identity
            | Activation::Sigmoid
            | Activation::Tanh
            | Activation::Softplus
            | Activation::Softsign
            | Activation::HardTanh
            | Activation::Step
            | Activation::Softmax => Init::Glorot,
        }
    }

    /// Checks the parameter.
    ///
    /// # Errors
    /// [`Error::Config`] when it is not finite (or, as a deviation or limit, negative).
    pub fn validate(self) -> Result<()> {
        let (what, x, min) = match self {
            Init::Normal(x) => ("standard deviation of at least 0", x, 0.0),
            Init::Uniform(x) => ("limit of at least 0", x, 0.0),
            Init::Constant(x) => ("constant", x, f32::MIN),
            Init::Orthogonal(x) => ("gain", x, f32::MIN),
            Init::He
            | Init::HeUniform
            | Init::Glorot
            | Init::GlorotUniform
            | Init::LeCun
            | Init::LeCunUniform => return Ok(()),
        };
        if x.is_finite() && x >= min {
            return Ok(());
        }
        Err(Error::config("initialisation", format!("expected a finite {what}, got {x}")))
    }

    /// Fills the weights and biases of a layer that are all zero.
    pub(super) fn fill(self, layer: &mut LayerParameters, (seed, index): (u64, usize)) {
        let (rows, columns) = (layer.n_in(), layer.n_columns());
        let (fan_in, fan_both) = (rows as f64, (rows + layer.n_out()) as f64);
        let normal = |variance: f64| {
            let deviation = variance.sqrt();
            move |s: &mut RandomStream| (deviation * s.normal()) as f32
        };
        let within =
            |limit: f64| move |s: &mut RandomStream| (limit * (2.0 * s.uniform() - 1.0)) as f32;
        // A uniform distribution on [-a, a) has variance a²/3.
        let uniform = |variance: f64| within((3.0 * variance).sqrt());
        let draw: Box<dyn Fn(&mut RandomStream) -> f32> = match self {
            Init::He => Box::new(normal(2.0 / fan_in)),
            Init::HeUniform => Box::new(uniform(2.0 / fan_in)),
            Init::Glorot => Box::new(normal(2.0 / fan_both)),
            Init::GlorotUniform => Box::new(uniform(2.0 / fan_both)),
            Init::LeCun => Box::new(normal(1.0 / fan_in)),
            Init::LeCunUniform => Box::new(uniform(1.0 / fan_in)),
            Init::Normal(deviation) => Box::new(normal(f64::from(deviation).powi(2))),
            Init::Uniform(limit) => Box::new(within(f64::from(limit))),
            Init::Constant(value) => Box::new(move |_| value),
            Init::Orthogonal(gain) => return orthogonal(layer, f64::from(gain), (seed, index)),
        };
        for row in 0..rows {
            let mut stream = RandomStream::new(seed, Purpose::Init, index as u64, row as u64);
            (0..columns).for_each(|col| *layer.weight_mut(row, col) = draw(&mut stream));
        }
        if matches!(self, Init::Normal(_)) {
            let mut stream = RandomStream::new(seed, Purpose::Init, index as u64, rows as u64);
            (0..columns).for_each(|col| *layer.bias_mut(col) = draw(&mut stream));
        }
    }
}

/// Rows or columns, whichever are longer vectors, made orthonormal one after the other by the
/// modified Gram–Schmidt process, twice, because the first time leaves rounding errors.
fn orthogonal(layer: &mut LayerParameters, gain: f64, (seed, index): (u64, usize)) {
    let (rows, columns) = (layer.n_in(), layer.n_columns());
    let (vectors, length) = (rows.min(columns), rows.max(columns));
    let mut q: Vec<f64> = Vec::with_capacity(vectors * length);
    for i in 0..vectors {
        let mut stream = RandomStream::new(seed, Purpose::Init, index as u64, i as u64);
        q.extend((0..length).map(|_| stream.normal()));
        let (before, new) = q.split_at_mut(i * length);
        for _ in 0..2 {
            for old in before.chunks_exact(length) {
                let dot: f64 = old.iter().zip(&*new).map(|(a, b)| a * b).sum();
                new.iter_mut().zip(old).for_each(|(new, old)| *new -= dot * old);
            }
        }
        let norm = new.iter().map(|x| x * x).sum::<f64>().sqrt();
        new.iter_mut().for_each(|x| *x /= norm);
    }
    for (i, vector) in q.chunks_exact(length).enumerate() {
        for (j, value) in vector.iter().enumerate() {
            let (row, column) = if rows > columns { (j, i) } else { (i, j) };
            *layer.weight_mut(row, column) = (gain * value) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::{Layer, LayerShape};

    fn layer(n_in: usize, n_out: usize, init: Init, seed: u64) -> LayerParameters {
        let layer = Layer::dense(n_out, Activation::Relu);
        let mut layer = LayerParameters::zeros(LayerShape { n_in, n_out, layer }).unwrap();
        init.fill(&mut layer, (seed, 0));
        layer
    }

    fn weights(init: Init, seed: u64) -> Vec<f32> {
        layer(300, 100, init, seed).weights().as_slice().to_vec()
    }

    #[test]
    fn variances_are_those_of_the_papers() {
        for (init, want) in [
            (Init::He, 2.0 / 300.0),
            (Init::HeUniform, 2.0 / 300.0),
            (Init::Glorot, 2.0 / 400.0),
            (Init::GlorotUniform, 2.0 / 400.0),
            (Init::LeCun, 1.0 / 300.0),
            (Init::LeCunUniform, 1.0 / 300.0),
            (Init::Normal(0.5), 0.25),
            (Init::Uniform(0.6), 0.12),
            (Init::Orthogonal(2.0), 4.0 / 300.0),
        ] {
            let w = weights(init, 5);
            let n = w.len() as f64;
            let mean = w.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
            let variance = w.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n;
            // Five standard errors of a mean, and of a normal variance (a uniform's is smaller).
            assert!(mean.abs() < 5.0 * (want / n).sqrt(), "{init:?}: mean {mean}");
            let error = (variance / want - 1.0).abs();
            assert!(error < 5.0 * (2.0 / n).sqrt(), "{init:?}: variance {variance}, want {want}");
        }
    }

    #[test]
    fn the_seed_decides() {
        assert_eq!(weights(Init::He, 1), weights(Init::He, 1));
        assert_ne!(weights(Init::He, 1), weights(Init::He, 2));
        assert!(weights(Init::Constant(0.5), 1).iter().all(|&w| w == 0.5));
        assert!(Init::Normal(f32::NAN).validate().is_err());
        assert!(Init::Normal(-1.0).validate().is_err());
        assert!(Init::Uniform(-1.0).validate().is_err());
        assert!(Init::Orthogonal(f32::INFINITY).validate().is_err());
        assert!(Init::Constant(-1.0).validate().is_ok());
    }

    #[test]
    fn orthogonal_vectors_are() {
        for (n_in, n_out) in [(70, 33), (33, 70), (40, 40)] {
            let w = layer(n_in, n_out, Init::Orthogonal(3.0), 1).weights();
            let value = |vector: usize, i: usize| {
                let (r, c) = if n_in > n_out { (i, vector) } else { (vector, i) };
                f64::from(w.row(r)[c])
            };
            for a in 0..n_in.min(n_out) {
                for b in 0..=a {
                    let dot: f64 = (0..n_in.max(n_out)).map(|i| value(a, i) * value(b, i)).sum();
                    let want = if a == b { 9.0 } else { 0.0 };
                    assert!((dot - want).abs() < 1e-5, "{a} {b}: {dot}");
                }
            }
        }
    }
}
