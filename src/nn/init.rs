//! Initial weights.

use crate::random::{Purpose, Stream};
use crate::{Error, Result};

/// How weights begin; biases begin at zero (Nielsen's [`Init::Normal`] draws them too).
///
/// Fan-in is the number of inputs of a layer, fan-out of its outputs. Every weight is a function
/// of (seed, layer, row, column) alone.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Init {
    /// Normal with variance 2/fan-in (He et al. 2015): for ReLU and its kin.
    He,
    /// Uniform with variance 2/fan-in.
    HeUniform,
    /// Normal with variance 2/(fan-in + fan-out) (Glorot and Bengio 2010): for tanh.
    Glorot,
    /// Uniform with variance 2/(fan-in + fan-out).
    GlorotUniform,
    /// Normal with variance 1/fan-in (LeCun et al. 1998): for sigmoid and SELU.
    LeCun,
    /// Uniform with variance 1/fan-in.
    LeCunUniform,
    /// Normal with this standard deviation, weights and biases, as in the first chapter of
    /// Nielsen's book (with 1).
    Normal(f32),
    /// Every weight is this.
    Constant(f32),
}

impl Init {
    /// Checks the parameter.
    ///
    /// # Errors
    /// [`Error::Config`] when it is not finite (or, as a deviation, negative).
    pub fn validate(self) -> Result<()> {
        match self {
            Init::Normal(x) if !(x.is_finite() && x >= 0.0) => Err(Error::config(
                "initialisation",
                format!("expected a finite standard deviation of at least 0, got {x}"),
            )),
            Init::Constant(x) if !x.is_finite() => {
                Err(Error::config("initialisation", format!("expected a finite constant, got {x}")))
            }
            _ => Ok(()),
        }
    }

    /// Calls `weight(row, column, value)` for each weight of a layer and `bias(column, value)` for
    /// each bias.
    pub(crate) fn fill(
        self,
        (seed, layer): (u64, usize),
        (n_in, n_out): (usize, usize),
        mut weight: impl FnMut(usize, usize, f32),
        mut bias: impl FnMut(usize, f32),
    ) {
        let (fan_in, fan_both) = (n_in as f64, (n_in + n_out) as f64);
        let normal = |variance: f64| {
            let deviation = variance.sqrt();
            move |s: &mut Stream| (deviation * s.normal()) as f32
        };
        // A uniform distribution on [-a, a) has variance a²/3.
        let uniform = |variance: f64| {
            let limit = (3.0 * variance).sqrt();
            move |s: &mut Stream| (limit * (2.0 * s.uniform() - 1.0)) as f32
        };
        let draw: Box<dyn Fn(&mut Stream) -> f32> = match self {
            Init::He => Box::new(normal(2.0 / fan_in)),
            Init::HeUniform => Box::new(uniform(2.0 / fan_in)),
            Init::Glorot => Box::new(normal(2.0 / fan_both)),
            Init::GlorotUniform => Box::new(uniform(2.0 / fan_both)),
            Init::LeCun => Box::new(normal(1.0 / fan_in)),
            Init::LeCunUniform => Box::new(uniform(1.0 / fan_in)),
            Init::Normal(deviation) => Box::new(normal(f64::from(deviation).powi(2))),
            Init::Constant(value) => Box::new(move |_| value),
        };
        for row in 0..n_in {
            let mut stream = Stream::new(seed, Purpose::Init, layer as u64, row as u64);
            (0..n_out).for_each(|col| weight(row, col, draw(&mut stream)));
        }
        let mut stream = Stream::new(seed, Purpose::Init, layer as u64, n_in as u64);
        for col in 0..n_out {
            bias(col, if matches!(self, Init::Normal(_)) { draw(&mut stream) } else { 0.0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(init: Init, seed: u64) -> Vec<f32> {
        let mut out = Vec::new();
        init.fill((seed, 0), (300, 100), |_, _, w| out.push(w), |_, _| ());
        out
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
    }
}
