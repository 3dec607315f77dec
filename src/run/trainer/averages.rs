//! Averages of the weights.

use super::super::average::Averaging;
use super::Trainer;

impl Trainer<'_> {
    /// Averages the weights of the run with weights that fall exponentially: the average is the network
    /// after the first update, and after each other one it becomes decay · average + (1 − decay) · network
    /// (Polyak and Juditsky 1992; `get_ema_multi_avg_fn` of PyTorch). `decay` in 0..1, such as 0.999: the
    /// average is about that of the last 1/(1 − decay) updates.
    ///
    /// The average is what is validated and what early stopping keeps, and the network becomes it at the
    /// end of the run, however that ends. Training goes on from the plain weights. Running statistics of
    /// batch normalisation are averaged too, as with PyTorch's `use_buffers=True`. A checkpoint has both
    /// networks, and [`Mlp::load`](crate::Mlp::load) reads the plain one. An update takes one more pass over the parameters.
    ///
    /// Replaces [`Trainer::stochastic_average`]. Only for runs over a data set; a loop of one's own calls
    /// [`Mlp::blend`](crate::Mlp::blend).
    ///
    /// A run returns [`Error::Config`](crate::Error::Config) if `decay` is out of range.
    ///
    /// ```
    /// use deltarule::{Activation, Adam, Mlp, Trainer, data};
    ///
    /// let (train, test) = data::digits().split_at(1500)?;
    /// let mut net = Mlp::builder(64)
    ///     .dense(32, Activation::Relu)
    ///     .dense(10, Activation::Softmax)
    ///     .build()?;
    /// let trainer = Trainer::new(Adam::new(0.01)).epochs(10).exponential_average(0.99);
    /// let history = trainer.validation(&test).fit(&mut net, &train)?;
    /// let last = history.epochs[9].validation.as_ref().map(|v| v.loss);
    /// assert_eq!(last, Some(net.evaluate(&test)?.loss));
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    pub fn exponential_average(mut self, decay: f32) -> Self {
        self.averaging = Some(Averaging::Exponential { decay });
        self
    }

    /// Averages the weights at the ends of the epochs from `first_epoch` on, counted from 1, all with equal
    /// weights: stochastic weight averaging (Izmailov et al. 2018; `AveragedModel` of PyTorch), best with
    /// a rate that stays large or restarts. Before the first of these epochs has ended, the plain network
    /// is validated, and early stopping compares its values with those of the average later. The rest is
    /// as in [`Trainer::exponential_average`], which this replaces.
    ///
    /// A run returns [`Error::Config`](crate::Error::Config) if `first_epoch` is 0 or after the last epoch.
    pub fn stochastic_average(mut self, first_epoch: usize) -> Self {
        self.averaging = Some(Averaging::Stochastic { first_epoch });
        self
    }
}
