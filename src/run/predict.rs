//! Predictions of a session, between its steps.

use super::training::Training;
use crate::error::Result;
use crate::program::Inference;
use crate::storage::{MatMut, MatRef};

impl Training<'_> {
    /// Predicts with the network as it is now: writes the outputs of each row of `x` (rows x n_in) to `out`
    /// (rows x n_out), with the bits of [`Predictor::predict_into`](crate::Predictor::predict_into):
    /// probabilities where the output layer is softmax, no dropout, running statistics in batch
    /// normalisation. For a loop that asks before it learns, as online learning does.
    ///
    /// Only the first call allocates (at the levels `avx2` and `avx512`). The calling thread works alone;
    /// for many rows of a large network, `training.network().predict(x)` uses the others too. Changes
    /// nothing of the session, also between [`Training::forward`] and [`Training::backward`].
    ///
    /// ```
    /// use deltarule::{Activation, Matrix, Mlp, Sgd, Trainer};
    ///
    /// let net = Mlp::builder(1).dense(1, Activation::Identity).build()?;
    /// let mut training = Trainer::new(Sgd::new(0.3)).session_values(net)?;
    /// let (mut errors, mut y) = (vec![], Matrix::zeros(1, 1));
    /// for i in 0..200 {
    ///     let x = Matrix::from_vec(1, 1, vec![(i % 7) as f32 / 7.0])?;
    ///     let target = Matrix::from_vec(1, 1, vec![2.0 * x.row(0)[0] + 1.0])?;
    ///     training.predict_into(&x, &mut y)?;
    ///     errors.push((y.row(0)[0] - target.row(0)[0]).abs());
    ///     training.step(&x, &target)?;
    /// }
    /// assert!(errors[199] < 0.01);
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if a shape does not fit,
    /// [`Error::FloatEnvironment`](crate::Error::FloatEnvironment) as [`Training::step`],
    /// [`Error::Memory`](crate::Error::Memory) in the first call.
    pub fn predict_into<'x, 'o>(
        &mut self,
        x: impl Into<MatRef<'x>>,
        out: impl Into<MatMut<'o>>,
    ) -> Result<()> {
        let inference = match &mut self.inference {
            Some(inference) => inference,
            None => self.inference.insert(Inference::new(&self.net, self.workspace.rows)?),
        };
        inference.predict(&self.net, x.into(), out.into())
    }
}
