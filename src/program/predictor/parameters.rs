//! New parameters for the network of a predictor.

use super::Predictor;
use crate::error::Result;
use crate::network::Mlp;
use crate::program::scratch::Scratch;

impl Predictor<'_> {
    /// Takes over all parameters of a network of the same shape. A predictor that borrows or shares its
    /// network copies it first, and has its own from then on; one that owns its network allocates
    /// nothing. For a network that is trained elsewhere at the same time, as those that act in
    /// reinforcement learning.
    ///
    /// ```
    /// use deltarule::{Activation, Adam, Mlp, Predictor, Threads, Trainer};
    ///
    /// let net = Mlp::builder(4).dense(2, Activation::Identity).build()?;
    /// let mut acting = Predictor::new(net.clone(), 1, Threads::One)?;
    /// let mut training = Trainer::new(Adam::new(0.1)).session_values(net)?;
    /// # let x = deltarule::Matrix::from_vec(1, 4, vec![1.0; 4])?;
    /// # let y = deltarule::Matrix::from_vec(1, 2, vec![1.0; 2])?;
    /// training.step(&x, &y)?;
    /// acting.copy_from(training.network())?;
    /// assert_eq!(acting.network().digest(), training.network().digest());
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Mlp::copy_from`]; then nothing is changed.
    pub fn copy_from(&mut self, net: &Mlp) -> Result<()> {
        self.change(|own| own.copy_from(net))
    }

    /// Moves all parameters towards those of another network, by [`Mlp::blend`]; otherwise as
    /// [`Predictor::copy_from`]. For target networks.
    ///
    /// # Errors
    /// As [`Mlp::blend`]; then nothing is changed.
    pub fn blend(&mut self, net: &Mlp, tau: f32) -> Result<()> {
        self.change(|own| own.blend(net, tau))
    }

    /// Changes the parameters of the network, which becomes the predictor's own.
    ///
    /// # Errors
    /// Those of `change`, which then has changed nothing.
    fn change(&mut self, change: impl FnOnce(&mut Mlp) -> Result<()>) -> Result<()> {
        let net = self.net.make_mut();
        change(net)?;
        self.scratch.iter_mut().for_each(Scratch::forget_weights);
        if let Some(split) = &mut self.split {
            split.fill(net);
        }
        if let Some(gradient) = &mut self.gradient {
            gradient.shared.copy_parameters(net);
        }
        Ok(())
    }
}
