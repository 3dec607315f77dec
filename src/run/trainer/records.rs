//! What is recorded of a run.

use super::Trainer;

impl Trainer<'_> {
    /// Records every step in [`History::step_records`](crate::History::step_records).
    pub fn record_steps(mut self) -> Self {
        self.record_steps = true;
        self
    }

    /// Records the loss of each sample of the training set in [`History::sample_losses`], as it was in the
    /// sample's last step: for samples that are hard, or labelled wrongly. [`Progress::row_losses`] has
    /// those of each step without a record.
    ///
    /// ```
    /// use deltarule::{Activation, Adam, Mlp, Trainer, data};
    ///
    /// let data = data::digits();
    /// let mut net = Mlp::builder(64).dense(10, Activation::Softmax).build()?;
    /// let mut trainer = Trainer::new(Adam::new(0.01)).epochs(3).record_sample_losses();
    /// let losses = trainer.fit(&mut net, &data)?.sample_losses;
    /// let mut hardest: Vec<usize> = (0..data.len()).collect();
    /// hardest.sort_by(|a, b| losses[*b].total_cmp(&losses[*a]));
    /// hardest.truncate(10);
    /// assert!(hardest.iter().all(|sample| losses[*sample] > 1.0));
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    ///
    /// [`History::sample_losses`]: crate::History::sample_losses
    /// [`Progress::row_losses`]: crate::Progress::row_losses
    pub fn record_sample_losses(mut self) -> Self {
        self.record_sample_losses = true;
        self
    }

    /// Records the Euclidean norm of the gradient of each layer, over all its parameters: in
    /// [`Progress::gradient_norms`], in the records of [`Trainer::record_steps`], and in
    /// [`Training::gradient_norms`]. The gradient is that of the mean loss over all batches of the update,
    /// before clipping, penalties and decay; 0 for frozen layers. The parameters keep their bits; an update
    /// takes more time, since gradients are kept first and read twice. The last bits of the norms may
    /// depend on the trainer's batch size.
    ///
    /// [`Progress::gradient_norms`]: crate::Progress::gradient_norms
    /// [`Training::gradient_norms`]: crate::Training::gradient_norms
    pub fn record_gradient_norms(mut self) -> Self {
        self.setup.norms = true;
        self
    }
}
