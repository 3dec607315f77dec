//! The parameters of another network: taken over, or moved towards.

use super::layer::Layer;
use super::mlp::Mlp;
use crate::error::{Error, Result};
use crate::simd::{Kernel, LINE, Line, Simd, dispatch};

impl Mlp {
    /// Moves all parameters towards those of another network: w ← (1 − τ)·w + τ·w′, with running
    /// statistics of batch normalisation among them. τ = 0 changes no bit, and τ = 1 makes the bits of
    /// `other`. Allocates nothing.
    ///
    /// Of networks that learn it is the update of a target network (Lillicrap et al. 2016) and, with
    /// τ = 1 − decay, an exponential average of a network in training.
    ///
    /// ```
    /// use deltarule::{Activation, Mlp};
    ///
    /// let net = |seed| Mlp::builder(4).dense(2, Activation::Identity).seed(seed).build();
    /// let (online, mut target) = (net(1)?, net(2)?);
    /// for _ in 0..3000 {
    ///     target.blend(&online, 0.005)?;
    /// }
    /// let distance = |i: usize, j: usize| -> Result<f32, deltarule::Error> {
    ///     Ok((online.weights(0)?.row(i)[j] - target.weights(0)?.row(i)[j]).abs())
    /// };
    /// assert!(distance(3, 1)? < 1e-5);
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Config`] if τ is not in 0..=1, [`Error::Shape`] if the networks differ in more than
    /// dropout and level; then nothing is changed.
    pub fn blend(&mut self, other: &Mlp, tau: f32) -> Result<()> {
        if !(0.0..=1.0).contains(&tau) {
            let reason = format!("expected a number in 0..=1, got {tau}");
            return Err(Error::config("τ of a blend", reason));
        }
        self.check_same(other)?;
        let level = self.level;
        self.each_tensor(other, |w, other| dispatch(level, Blend { w, other, tau }));
        Ok(())
    }

    /// Takes over all parameters of a network of the same shape, with running statistics. Allocates
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Shape`] if the networks differ in more than dropout and level; then nothing is changed.
    pub fn copy_from(&mut self, other: &Mlp) -> Result<()> {
        self.check_same(other)?;
        self.each_tensor(other, |w, other| w.copy_from_slice(other));
        Ok(())
    }

    fn check_same(&self, other: &Mlp) -> Result<()> {
        let function = |layer: &Layer| Layer { dropout: 0.0, ..*layer };
        let layers = |net: &Mlp| net.layers.len();
        let mut pairs = self.layers.iter().zip(&other.layers);
        let is_same = self.n_in() == other.n_in()
            && layers(self) == layers(other)
            && pairs.all(|(a, b)| function(&a.spec) == function(&b.spec));
        match is_same {
            true => Ok(()),
            false => {
                let [expected, got] = [self, other].map(Mlp::architecture);
                Err(Error::shape("the other network", expected, got))
            }
        }
    }

    /// Calls a function with the lines of each tensor, and those of the other network's.
    fn each_tensor(&mut self, other: &Mlp, mut change: impl FnMut(&mut [Line], &[Line])) {
        for (layer, other) in self.layers.iter_mut().zip(&other.layers) {
            for ((_, tensor), (_, other)) in layer.tensors_mut().zip(other.tensors()) {
                change(tensor.lines_mut(), other.lines());
            }
        }
    }
}

struct Blend<'a> {
    w: &'a mut [Line],
    other: &'a [Line],
    tau: f32,
}

impl Kernel for Blend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let tau = s.splat(self.tau);
        for (w, other) in self.w.iter_mut().zip(self.other) {
            for lane in (0..LINE).step_by(S::LANES) {
                let old = s.load(&w.0[lane..]);
                // In this order 0 and 1 are exact, and nothing overflows.
                let kept = s.neg_mul_add(tau, old, old);
                s.store(s.mul_add(tau, s.load(&other.0[lane..]), kept), &mut w.0[lane..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::simd::Level;

    fn net(seed: u64) -> Mlp {
        let builder = Mlp::builder(7).dense(19, Activation::Relu).batch_norm().maxout(5, 3);
        builder.dense(3, Activation::Softmax).seed(seed).build().unwrap()
    }

    /// Up to four roundings of half a unit each, of numbers that are not larger than the larger weight.
    #[test]
    fn a_blend_is_the_formula_at_every_level() {
        let other = net(2);
        for tau in [0.0, 1e-6, 0.005, 0.3, 0.999, 1.0] {
            let mut digests = Vec::new();
            for level in Level::available() {
                let mut blended = net(1).with_level(level);
                blended.blend(&other, tau).unwrap();
                if level != Level::portable() {
                    digests.push(blended.digest());
                }
                let pairs = net(1).layers.into_iter().zip(&other.layers).zip(&blended.layers);
                for ((old, other), new) in pairs {
                    for ((old, other), new) in old.values().zip(other.values()).zip(new.values()) {
                        let tau = f64::from(tau);
                        let want = f64::from(old) * (1.0 - tau) + f64::from(other) * tau;
                        let unit = f64::from(old.abs().max(other.abs())) * f64::from(f32::EPSILON);
                        assert!((f64::from(new) - want).abs() <= 2.0 * unit, "{new}, not {want}");
                    }
                }
            }
            digests.dedup();
            assert!(digests.len() <= 1, "{tau}");
        }
        let mut kept = net(1);
        kept.blend(&other, 0.0).unwrap();
        assert_eq!(kept.digest(), net(1).digest());
        kept.blend(&other, 1.0).unwrap();
        assert_eq!(kept.digest(), other.digest());
        let mut copy = net(1);
        copy.copy_from(&other).unwrap();
        assert_eq!(copy.digest(), other.digest());
    }

    #[test]
    fn largest_weights_do_not_overflow() {
        let fill = |value: f32| {
            let mut net = Mlp::builder(1).dense(1, Activation::Identity).build().unwrap();
            let weights = crate::storage::Matrix::from_vec(1, 1, vec![value]).unwrap();
            net.set_parameters(0, weights.view(), &[value]).unwrap();
            net
        };
        let mut net = fill(f32::MAX);
        net.blend(&fill(-f32::MAX), 0.5).unwrap();
        assert_eq!(net.weights(0).unwrap().row(0), [0.0]);
    }

    #[test]
    fn other_networks_are_refused_and_nothing_changes() {
        let mut now = net(1);
        for tau in [-1e-9, 1.000_001, f32::NAN, f32::INFINITY] {
            let error = now.blend(&net(2), tau).unwrap_err().to_string();
            assert!(error.starts_with("τ of a blend: expected"), "{error}");
        }
        let other = |builder: crate::network::MlpBuilder| builder.build().unwrap();
        // The network of `net`, but for one thing each.
        let like = |activation, has_norm: bool, units| {
            let builder = Mlp::builder(7).dense(19, activation);
            let builder = if has_norm { builder.batch_norm() } else { builder };
            other(builder.maxout(5, units).dense(3, Activation::Softmax))
        };
        let others = [
            other(Mlp::builder(8).dense(19, Activation::Relu)),
            other(Mlp::builder(7).dense(19, Activation::Relu)),
            like(Activation::Tanh, true, 3),
            like(Activation::Relu, false, 3),
            like(Activation::Relu, true, 4),
        ];
        for other in &others {
            for error in [now.blend(other, 0.5), now.copy_from(other)] {
                let error = error.unwrap_err().to_string();
                assert!(error.starts_with("the other network: expected 7, 19 relu"), "{error}");
            }
        }
        assert_eq!(now.digest(), net(1).digest());
        // Dropout is no parameter.
        let dropping = Mlp::builder(7).dropout(0.1).dense(19, Activation::Relu).batch_norm();
        let dropping = dropping.dropout(0.5).maxout(5, 3).dense(3, Activation::Softmax);
        assert!(now.blend(&other(dropping), 0.5).is_ok());
    }
}
