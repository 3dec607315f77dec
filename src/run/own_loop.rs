//! A step as separate calls, for losses and gradients that the crate does not know.

use super::training::Training;
use crate::error::{Error, Result, check_option};
use crate::program::{BatchTargets, Call, Next, SampleWeights, check_shape, check_targets};
use crate::storage::{MatMut, MatRef, Matrix};

impl Training<'_> {
    /// The forward pass of a batch in training mode: dropout drops, batch normalisation uses the batch's
    /// statistics. `x` is rows x n_in, with at most as many rows as the trainer's batch size. Returns the
    /// outputs (rows x n_out) as the session's loss takes them: logits for a softmax layer and for binary
    /// cross-entropy, else the values of the output layer.
    ///
    /// [`Training::backward`] follows. The three calls make the step of [`Training::step`], to the same
    /// bits if the gradient is that of [`Training::loss_gradient`]:
    ///
    /// ```
    /// use deltarule::{Activation, Adam, Matrix, Mlp, Trainer};
    ///
    /// let net = Mlp::builder(4).dense(64, Activation::Relu).dense(2, Activation::Identity).build()?;
    /// let mut training = Trainer::new(Adam::new(1e-3)).session_values(net)?;
    /// let x = Matrix::from_vec(2, 4, vec![0.1, 0.2, 0.3, 0.4, 0.4, 0.3, 0.2, 0.1])?;
    /// let (actions, returns) = ([1, 0], [1.0, 0.5]);
    ///
    /// // One step of Q-learning: a squared error at the action taken, the mean over the batch.
    /// let q = training.forward(&x)?;
    /// let mut dq = Matrix::zeros(2, 2);
    /// for (row, (action, target)) in actions.into_iter().zip(returns).enumerate() {
    ///     dq.as_mut_slice()[row * 2 + action] = (q.row(row)[action] - target) / 2.0;
    /// }
    /// training.backward(&dq)?;
    /// training.update()?;
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`] if `x` does not fit, [`Error::Value`] if it has a value that is not finite,
    /// [`Error::NonFinite`] if an output is not finite; [`Error::Config`] if the forward pass before it
    /// has had no backward pass, or the trainer accumulates batches (gradients of backward passes add up
    /// by themselves). The session is then as before.
    pub fn forward<'x>(&mut self, x: impl Into<MatRef<'x>>) -> Result<MatRef<'_>> {
        let x = x.into();
        let (n_in, n_out) = (self.net.n_in(), self.net.n_out());
        if x.rows() == 0 || x.cols() != n_in {
            let got = format!("{} x {}", x.rows(), x.cols());
            return Err(Error::shape("x", format!("at least one row of {n_in}"), got));
        }
        self.check_batch_size(x)?;
        let reason = "gradients of backward passes add up by themselves; expected 1";
        check_option(self.setup.adjustments.accumulate <= 1, "accumulation", reason)?;
        self.check_threads()?;
        if self.outputs.cols() == 0 {
            self.outputs = Matrix::try_zeros(self.workspace.rows, n_out)?;
        }
        let mut outputs = std::mem::replace(&mut self.outputs, Matrix::zeros(0, 0));
        let (rows, out) = (x.rows(), outputs.as_mut_slice());
        let out = MatMut::sub(&mut out[..x.rows() * n_out], x.rows(), n_out, n_out);
        let done = self.call(|call| call.forward(x, out));
        self.outputs = outputs;
        done?;
        Ok(self.outputs.view().row_range(0, rows))
    }

    /// The session's loss of the outputs of the last [`Training::forward`]: returns the mean over the rows, and
    /// fills `dy` (rows x n_out) with ∂L/∂outputs of this mean, for [`Training::backward`].
    ///
    /// # Errors
    /// [`Error::Config`] without a forward pass, if the targets are not of the session's kind, or if
    /// cross-entropy has class weights ([`Training::step`] has them); [`Error::Shape`] or
    /// [`Error::Value`] if targets do not fit or `dy` has another shape.
    pub fn loss_gradient<'x>(
        &mut self,
        targets: impl Into<BatchTargets<'x>>,
        dy: impl Into<MatMut<'x>>,
    ) -> Result<f32> {
        let (targets, dy) = (targets.into(), dy.into());
        let rows = self.pending_rows("loss_gradient")?;
        let loss = self.setup.loss(&self.net);
        check_targets(&self.net, loss, rows, targets, self.values)?;
        let weighs_rows = loss.weighs_classes();
        let fits = !weighs_rows || self.setup.class_weights.is_empty();
        check_option(fits, "class weights", "expected none in `loss_gradient`; `step` has them")?;
        check_shape("dy", (dy.rows(), dy.cols()), (rows, self.net.n_out()))?;
        self.check_threads()?;
        let outputs = std::mem::replace(&mut self.outputs, Matrix::zeros(0, 0));
        let done =
            self.call(|call| call.loss_gradient(targets, outputs.view().row_range(0, rows), dy));
        self.outputs = outputs;
        Ok(done? as f32)
    }

    /// The backward pass of the last [`Training::forward`], which it uses up: `dy` (rows x n_out) is ∂L/∂outputs.
    /// L is the loss of the whole batch: for a mean over the rows, `dy` is divided by their number, as in
    /// PyTorch. The gradients of several backward passes add up until [`Training::update`]. Counts as a
    /// step in [`Training::steps`].
    ///
    /// # Errors
    /// [`Error::Config`] without a forward pass; [`Error::Shape`] if `dy` has another shape,
    /// [`Error::Value`] if one of its values is not finite: the session is then as before.
    /// [`Error::NonFinite`] if a gradient overflows: the forward pass is then used up, and nothing else
    /// has changed.
    pub fn backward<'x>(&mut self, dy: impl Into<MatRef<'x>>) -> Result<()> {
        self.backward_views(dy.into(), None)
    }

    /// As [`Training::backward`], and fills `dx` (rows x n_in) with ∂L/∂x: for the losses of a network
    /// whose outputs are the inputs of this one, as in actor-critic methods. The first call allocates.
    ///
    /// # Errors
    /// As [`Training::backward`]; [`Error::Shape`] if `dx` has another shape.
    pub fn backward_to_inputs<'x>(
        &mut self,
        dy: impl Into<MatRef<'x>>,
        dx: impl Into<MatMut<'x>>,
    ) -> Result<()> {
        self.backward_views(dy.into(), Some(dx.into()))
    }

    fn backward_views(&mut self, dy: MatRef, dx: Option<MatMut>) -> Result<()> {
        let rows = self.pending_rows("backward")?;
        check_shape("dy", (dy.rows(), dy.cols()), (rows, self.net.n_out()))?;
        if let Some(dx) = &dx {
            check_shape("dx", (dx.rows(), dx.cols()), (rows, self.net.n_in()))?;
        }
        dy.check_finite("dy")?;
        self.check_threads()?;
        self.call(|call| call.backward(dy, dx))?;
        self.counts.steps += 1;
        Ok(())
    }

    /// Updates the parameters from the sum of the gradients of all backward passes since the last update,
    /// with the optimiser and the options of the trainer.
    ///
    /// # Errors
    /// [`Error::Config`] without a backward pass since the last update, or if a forward pass has had none;
    /// [`Error::NonFinite`] if the update would make a weight or the optimiser's state infinite: nothing
    /// is updated, and the gradients still wait ([`Training::clear_gradients`] drops them).
    pub fn update(&mut self) -> Result<()> {
        let pending = self.workspace.pending.map(|pending| pending.next);
        let fits = pending != Some(Next::Backward);
        check_option(fits, "update", "the last forward pass has had no backward pass")?;
        self.check_threads()?;
        self.call(|call| call.update())?;
        self.counts.updates += 1;
        Ok(())
    }

    /// Drops a forward pass without a backward pass, and the gradients that wait for an update.
    pub fn clear_gradients(&mut self) {
        self.workspace.clear_gradients();
    }

    /// Checks that no separate step is under way.
    pub(super) fn check_nothing_pending(&self, call: &str) -> Result<()> {
        let is_plain = self.setup.adjustments.accumulate <= 1;
        let fits =
            self.workspace.pending.is_none() && !(is_plain && self.workspace.gradients_wait());
        check_option(
            fits,
            call,
            "a forward or backward pass waits for `update` or `clear_gradients`",
        )
    }

    fn pending_rows(&self, call: &str) -> Result<usize> {
        match self.workspace.pending {
            Some(pending) if pending.next == Next::Backward => Ok(pending.rows),
            Some(_) | None => Err(Error::config(call, "expected a forward pass before it")),
        }
    }

    fn call<T>(&mut self, work: impl FnOnce(&mut Call) -> T) -> T {
        let step = self.setup.step(&self.net, SampleWeights::Equal, self.counts);
        let (net, ws, team) = (&mut *self.net, &mut self.workspace, &mut self.team);
        work(&mut Call { net, ws, team, step })
    }
}
