//! New parameters for a network in training.

use super::training::Training;
use crate::error::{Result, check_option};
use crate::network::{Mlp, NormParameters};
use crate::program::Next;
use crate::storage::MatRef;

impl Training<'_> {
    /// Replaces the weights and biases of layer `layer`, as [`Mlp::set_parameters`]. The optimiser keeps its
    /// state, and gradients that wait for an update go on waiting.
    ///
    /// # Errors
    /// As [`Mlp::set_parameters`]; [`Error::Config`](crate::Error::Config) if a forward pass has had no
    /// backward pass, which needs the parameters of the forward pass. Then nothing is changed.
    pub fn set_parameters<'x>(
        &mut self,
        layer: usize,
        weights: impl Into<MatRef<'x>>,
        biases: &[f32],
    ) -> Result<()> {
        let weights = weights.into();
        self.change("set_parameters", |net| net.set_parameters(layer, weights, biases))
    }

    /// Replaces the parameters of layer `layer`'s norm or of an affine layer, as
    /// [`Mlp::set_norm_parameters`]. The rest is as in [`Training::set_parameters`].
    ///
    /// # Errors
    /// As [`Mlp::set_norm_parameters`] and [`Training::set_parameters`]. Then nothing is changed.
    pub fn set_norm_parameters(&mut self, layer: usize, new: &NormParameters) -> Result<()> {
        self.change("set_norm_parameters", |net| net.set_norm_parameters(layer, new))
    }

    /// Takes over all parameters of a network of the same shape, as [`Mlp::copy_from`]: for workers that
    /// train by themselves and continue from the mean of their networks. The rest is as in
    /// [`Training::set_parameters`].
    ///
    /// # Errors
    /// As [`Mlp::copy_from`] and [`Training::set_parameters`]. Then nothing is changed.
    pub fn copy_from(&mut self, net: &Mlp) -> Result<()> {
        self.change("copy_from", |own| own.copy_from(net))
    }

    fn change(&mut self, call: &str, change: impl FnOnce(&mut Mlp) -> Result<()>) -> Result<()> {
        let fits = self.workspace.pending.is_none_or(|pending| pending.next != Next::Backward);
        check_option(fits, call, "the last forward pass has had no backward pass")?;
        change(&mut self.net)?;
        self.replaced();
        Ok(())
    }

    /// Replaces the network by one of the same shape.
    pub(super) fn restore(&mut self, net: &Mlp) {
        self.net.clone_from(net);
        self.replaced();
    }

    /// Drops what was kept of weights before these.
    pub(super) fn replaced(&mut self) {
        self.workspace.copy_weights(&self.net);
        self.inference = None;
    }
}
