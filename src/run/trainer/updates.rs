//! What updates do besides the optimiser's rule.

use super::Trainer;

impl Trainer<'_> {
    /// Adds λ·Σ|w| to the minimised loss, not to the reported one.
    pub fn l1(mut self, lambda: f32) -> Self {
        self.setup.adjustments.l1 = lambda;
        self
    }

    /// Adds ½λ·Σw² to the minimised loss, not to the reported one: `weight_decay` of PyTorch's SGD and
    /// Adam.
    pub fn l2(mut self, lambda: f32) -> Self {
        self.setup.adjustments.l2 = lambda;
        self
    }

    /// Decoupled decay: w ← (1 − lr·λ)·w before each update, with lr·λ below 1 at every rate. AdamW and
    /// Lion have their own option for it.
    pub fn weight_decay(mut self, lambda: f32) -> Self {
        self.setup.adjustments.decay = lambda;
        self
    }

    /// Whether L1, L2 and decay apply to biases, γ and β; `true` by default, as in PyTorch.
    pub fn decay_biases(mut self, decay: bool) -> Self {
        self.setup.adjustments.biases = decay;
        self
    }

    /// Limits the norm of the weights into each neuron (each linear unit of a maxout neuron): an update
    /// scales larger ones down.
    pub fn max_norm(mut self, norm: f32) -> Self {
        self.setup.adjustments.max_norm = Some(norm);
        self
    }

    /// Clips each element of the gradient to ± `limit`.
    pub fn clip_value(mut self, limit: f32) -> Self {
        self.setup.adjustments.clip_value = Some(limit);
        self
    }

    /// Scales the gradient down if its norm over all parameters is above `norm`. The last bits of the
    /// norm may depend on the trainer's batch size.
    pub fn clip_norm(mut self, norm: f32) -> Self {
        self.setup.adjustments.clip_norm = Some(norm);
        self
    }

    /// Makes one update per `batches` batches, and one from the rest at the end of an epoch. It is the
    /// update of one batch of all their samples, except that batch normalisation uses the statistics of
    /// each batch and dropout the mask of each step.
    pub fn accumulate(mut self, batches: usize) -> Self {
        self.setup.adjustments.accumulate = batches;
        self
    }

    /// Freezes layer `layer`, counted from 0: its weights, biases, γ and β keep their bits. May be called
    /// for several layers. Clipping by norm leaves the gradients of frozen layers out, as does everything
    /// else that an update does, and the optimiser has no state for them. The backward pass ends at the
    /// lowest layer that is trained, so that freezing the layers below it saves time. Dropout and the
    /// running statistics of batch normalisation go on as in the other layers; PyTorch does the same
    /// where parameters have `requires_grad=False`.
    ///
    /// A run or session returns [`Error::Config`](crate::Error::Config) if the network has no such layer,
    /// or no other.
    ///
    /// ```
    /// use deltarule::{Activation, Adam, Mlp, Trainer, data};
    ///
    /// let data = data::digits();
    /// let mut net = Mlp::builder(64)
    ///     .dense(32, Activation::Relu)
    ///     .dense(10, Activation::Softmax)
    ///     .build()?;
    /// let before = net.clone();
    /// Trainer::new(Adam::new(0.01)).freeze(0).fit(&mut net, &data)?;
    /// assert_eq!(net.weights(0)?, before.weights(0)?);
    /// assert_ne!(net.weights(1)?, before.weights(1)?);
    /// # Ok::<(), deltarule::Error>(())
    /// ```
    pub fn freeze(mut self, layer: usize) -> Self {
        self.setup.rates.frozen.insert(layer);
        self
    }

    /// Multiplies the learning rate of layer `layer`, counted from 0, by `factor`, after any schedule:
    /// for fine-tuning (a smaller rate for layers that were trained before; Howard and Ruder 2018), as
    /// PyTorch's parameter groups with rates of their own. Decoupled weight decay uses the layer's rate.
    /// A second call for the same layer replaces the first.
    ///
    /// A run or session returns [`Error::Config`](crate::Error::Config) if the network has no such layer,
    /// if `factor` is negative or not finite, if the layer is [frozen](Trainer::freeze), or if
    /// 1 − lr·`factor`·λ with the λ of a decoupled decay is not above 0.
    pub fn learning_rate_factor(mut self, layer: usize, factor: f32) -> Self {
        self.setup.rates.factors.insert(layer, factor);
        self
    }
}
