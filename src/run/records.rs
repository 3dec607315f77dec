//! What a session saw in its last step.

use super::training::Training;
use crate::program::Deferred;

impl Training<'_> {
    /// The loss of each row of the batch of the last step, before its update; the step has returned their
    /// mean. With the weights of classes and without those of samples, as PyTorch's losses without a
    /// reduction; NaN for rows that weigh 0, which no step computes. After [`Training::loss_gradient`]
    /// those of its rows. Empty before the first step and after one that returned an error.
    ///
    /// ```
    /// use deltarule::{Activation, MatRef, Matrix, Mlp, Sgd, Trainer};
    ///
    /// // Every step trains on the harder half of the rows (Shrivastava et al. 2016).
    /// let x = MatRef::new(&[0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0], 4, 2)?;
    /// let labels = [0, 0, 0, 1];
    /// let mut net = Mlp::builder(2).dense(2, Activation::Softmax).build()?;
    /// let mut training = Trainer::new(Sgd::new(0.5)).session(&mut net)?;
    /// let mut dy = Matrix::zeros(4, 2);
    /// for _ in 0..200 {
    ///     training.forward(x)?;
    ///     training.loss_gradient(&labels, &mut dy)?;
    ///     let losses = training.row_losses();
    ///     let harder = |row: usize| losses.iter().filter(|loss| **loss > losses[row]).count();
    ///     for row in (0..4).filter(|row| harder(*row) >= 2) {
    ///         dy.view_mut().row_mut(row).fill(0.0);
    ///     }
    ///     training.backward(&dy)?;
    ///     training.update()?;
    /// }
    /// let p = net.predict(x)?;
    /// assert!((0..4).all(|row| p.row(row)[labels[row] as usize] > 0.5));
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    #[must_use]
    pub fn row_losses(&self) -> &[f64] {
        let batch = &self.workspace.batch;
        &batch.losses[..batch.loss_rows]
    }

    /// The norm of the gradient of each layer in the last update, with
    /// [`Trainer::record_gradient_norms`](crate::Trainer::record_gradient_norms), which says of what; else,
    /// and before the first update, empty.
    #[must_use]
    pub fn gradient_norms(&self) -> &[f64] {
        self.workspace.deferred.as_ref().map_or(&[], Deferred::norms)
    }
}
